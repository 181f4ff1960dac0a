"""Fitting the confidence of a network to the J it really has."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from tqdm import tqdm

from vosfw.data.dataset import VideoDataset
from vosfw.data.video import Video
from vosfw.engine.confidence import Logistic, evidence
from vosfw.errors import DatasetError
from vosfw.interfaces import Segmenter
from vosfw.predictor import Predictor

__all__ = ["Case", "collect", "fit", "report"]

BINS = 5
"""Ranges of confidence that a report shows."""


class Case(NamedTuple):
    """One object in one predicted frame, where its mask is not empty."""

    confidence: float
    entropy: float
    """Mean over the mask, in nats."""
    mass: float
    """Affinity mass, mean over the mask; 0 if the network keeps none."""
    j: float


def collect(model: Segmenter[Any], videos: VideoDataset, device: str | None = None) -> Iterator[Case]:
    """Confidence, what it is made of, and J of every predicted mask of some videos."""
    predictor = Predictor(model, device)
    for index in tqdm(range(len(videos)), "calibrate", unit="video"):
        yield from _cases(predictor, videos.video(index))


def _cases(predictor: Predictor, video: Video) -> Iterator[Case]:
    predictor.reset()
    given = {t: _ids(video, video.given_mask(t)) for t in video.given}
    for t in range(len(video)):
        if t in given:
            predictor.add_object(given[t])
        last = t == len(video) - 1
        for prediction in [*predictor.step(video.frame(t)), *(predictor.flush() if last else ())]:
            if prediction.index not in video.annotated:
                continue
            truth = video.id_map(prediction.index).numpy()
            confidence = prediction.confidence
            entropy, mass, present = (part.tolist() for part in evidence(prediction.scores, prediction.mass))
            for k, id_ in enumerate(prediction.ids):
                if present[k] and id_ not in prediction.given:
                    area, true = prediction.labels == id_, truth == id_
                    j = float((area & true).sum() / (area | true).sum())
                    yield Case(confidence[id_], entropy[k], mass[k], j)


def _ids(video: Video, slots: Tensor) -> Any:
    table = np.zeros(256, np.int64)
    table[1 : len(video.ids) + 1] = video.ids
    return table[slots.numpy()]


def fit(cases: Sequence[Case]) -> Logistic:
    """The weights with the least cross-entropy between confidence and J.

    Raises:
        DatasetError: If there is nothing to fit to.
    """
    if not cases:
        raise DatasetError("no predicted mask to fit to: the validation videos show no object after its first frame")
    _, entropy, mass, j = torch.tensor(cases, dtype=torch.float64).T
    inputs = torch.stack([entropy, mass, torch.ones_like(j)], 1)
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        # A little weight decay keeps the weight of what never changes at zero.
        value = nn.functional.binary_cross_entropy_with_logits(inputs @ weights, j) + 1e-6 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return Logistic(*(round(value, 3) for value in weights.tolist()))


def report(cases: Sequence[Case]) -> str:
    """How well confidence tells J, as text: correlation, means, and a line per range of confidence.

    Raises:
        DatasetError: If there are fewer than two masks.
    """
    if len(cases) < 2:
        raise DatasetError(f"{len(cases)} predicted masks tell nothing about confidence; wanted at least 2")
    table = torch.tensor(cases)
    confidence, j = table[:, 0], table[:, 3]
    pearson, spearman = pearson_corrcoef(confidence, j), spearman_corrcoef(confidence, j)
    means = f"mean confidence {confidence.mean():.3f}, mean J {j.mean():.3f}"
    away = (confidence - j).abs().mean()
    lines = [f"{len(cases)} masks: Pearson {pearson:.3f}, Spearman {spearman:.3f}, {means}, mean difference {away:.3f}"]
    place = (confidence * BINS).long().clamp(0, BINS - 1)
    lines += ["confidence      masks  mean confidence  mean J"]
    for k in range(BINS):
        if (inside := place == k).any():
            means = f"{confidence[inside].mean():15.3f}  {j[inside].mean():6.3f}"
            lines.append(f"{k / BINS:.1f} to {(k + 1) / BINS:.1f}  {int(inside.sum()):9d}  {means}")
    return "\n".join(lines)
