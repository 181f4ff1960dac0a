"""J, F and J&F: functions on label maps, a torchmetrics class on top, and tables of what it found."""

from vosfw.metrics.boundary import boundary_f, boundary_radius
from vosfw.metrics.j_and_f import JAndF, j_and_f
from vosfw.metrics.jaccard import jaccard
from vosfw.metrics.result import JAndFResult, ObjectResult, Score, SequenceResult
from vosfw.metrics.statistics import Statistics, statistics
from vosfw.metrics.table import to_csv, to_json, to_text

__all__ = [
    "JAndF",
    "JAndFResult",
    "ObjectResult",
    "Score",
    "SequenceResult",
    "Statistics",
    "boundary_f",
    "boundary_radius",
    "j_and_f",
    "jaccard",
    "statistics",
    "to_csv",
    "to_json",
    "to_text",
]
