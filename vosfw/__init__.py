"""Semi-supervised video object segmentation: networks as compositions of parts, one engine for all."""

__version__ = "0.1.0"
