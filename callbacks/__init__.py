"""Lightning callbacks that watch a run or steer it; none changes the maths of a step."""

from callbacks.artifact import BestCheckpointArtifact
from callbacks.feedback_schedule import FeedbackSchedule
from callbacks.last_checkpoint import LastCheckpoint
from callbacks.max_skip_schedule import MaxSkipSchedule
from callbacks.prediction_writer import PredictionWriter
from callbacks.throughput import Throughput
from callbacks.video_logger import VideoLogger

__all__ = [
    "BestCheckpointArtifact",
    "FeedbackSchedule",
    "LastCheckpoint",
    "MaxSkipSchedule",
    "PredictionWriter",
    "Throughput",
    "VideoLogger",
]
