"""Semi-supervised video object segmentation: networks as compositions of parts, one engine for all."""

from vosfw.hub import list_models, load
from vosfw.predictor import Predictor
from vosfw.segment import segment_video

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "list_models", "load", "segment_video"]
