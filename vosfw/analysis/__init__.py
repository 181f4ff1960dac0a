"""Diagnostics of a network on a video: tensors, and small pictures of them."""

from vosfw.analysis.calibration import CalibrationSteps, calibration_steps, draw_calibration
from vosfw.analysis.clusters import ClusterMap, cluster_map, draw_clusters
from vosfw.analysis.correlation import CorrelationMap, correlation_map, draw_correlation
from vosfw.analysis.cycle_erf import CycleERF, cycle_erf, draw_cycle_erf, erf_overlay
from vosfw.analysis.embedding import EmbeddingPCA, draw_embeddings, embedding_pca
from vosfw.analysis.frequency import FrequencyResponse, frequency_response, plot_frequency
from vosfw.analysis.perturbation import draw_perturbations, plot_robustness
from vosfw.analysis.picture import contact_sheet, write_picture
from vosfw.analysis.reliability import ReliabilityMap, draw_reliability, reliability_map

__all__ = [
    "CalibrationSteps",
    "ClusterMap",
    "CorrelationMap",
    "CycleERF",
    "EmbeddingPCA",
    "FrequencyResponse",
    "ReliabilityMap",
    "calibration_steps",
    "cluster_map",
    "contact_sheet",
    "correlation_map",
    "cycle_erf",
    "draw_calibration",
    "draw_clusters",
    "draw_correlation",
    "draw_cycle_erf",
    "draw_embeddings",
    "draw_perturbations",
    "draw_reliability",
    "embedding_pca",
    "erf_overlay",
    "frequency_response",
    "plot_frequency",
    "plot_robustness",
    "reliability_map",
    "write_picture",
]
