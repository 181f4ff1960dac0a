"""Diagnostics of a network on a video: tensors, and small pictures of them."""

from vosfw.analysis.embedding import EmbeddingPCA, draw_embeddings, embedding_pca
from vosfw.analysis.perturbation import draw_perturbations, plot_robustness
from vosfw.analysis.picture import contact_sheet, write_picture
from vosfw.analysis.reliability import ReliabilityMap, draw_reliability, reliability_map

__all__ = [
    "EmbeddingPCA",
    "ReliabilityMap",
    "contact_sheet",
    "draw_embeddings",
    "draw_perturbations",
    "draw_reliability",
    "embedding_pca",
    "plot_robustness",
    "reliability_map",
    "write_picture",
]
