"""J, F and their statistics written straight from their definition with NumPy and OpenCV, one mask at a time.

Independent of ``vosfw.metrics``: the oracle of its tests, and what its benchmark is measured against.
"""

import math

import cv2
import numpy as np


def jaccard(pred, truth):
    """Intersection over union of two boolean masks."""
    union = np.count_nonzero(pred | truth)
    return np.count_nonzero(pred & truth) / union if union else 1.0


def boundary(mask):
    """Pixels whose right, lower or lower-right neighbour differs; the last row and column repeat themselves."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (mask ^ padded[:-1, 1:]) | (mask ^ padded[1:, :-1]) | (mask ^ padded[1:, 1:])


def disk(radius):
    """A footprint of all offsets within ``radius``."""
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def boundary_f(pred, truth, bound_th=0.008):
    """Harmonic mean of boundary precision and recall of two boolean masks."""
    radius = bound_th if bound_th >= 1 else math.ceil(bound_th * np.linalg.norm(pred.shape))
    pred_edge, truth_edge = boundary(pred), boundary(truth)
    near_pred, near_truth = (cv2.dilate(edge.astype(np.uint8), disk(radius)) for edge in (pred_edge, truth_edge))
    pred_length, truth_length = np.count_nonzero(pred_edge), np.count_nonzero(truth_edge)
    if not pred_length and not truth_length:
        return 1.0
    if not pred_length or not truth_length:
        return 0.0
    precision = np.count_nonzero(pred_edge & (near_truth > 0)) / pred_length
    recall = np.count_nonzero(truth_edge & (near_pred > 0)) / truth_length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def j_and_f(pred, truth, slots, void=None, bound_th=0.008):
    """J and F [frames, objects] of label maps [frames, height, width]."""
    values = np.zeros((2, len(pred), slots))
    known = np.ones(pred.shape, bool) if void is None else ~void
    for frame in range(len(pred)):
        for slot in range(slots):
            mask = (pred[frame] == slot + 1) & known[frame]
            true = (truth[frame] == slot + 1) & known[frame]
            values[:, frame, slot] = jaccard(mask, true), boundary_f(mask, true, bound_th)
    return values


def statistics(values):
    """Mean, recall and decay of one object's values."""
    limits = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    quarters = [values[limits[i] : limits[i + 1] + 1] for i in range(4)]
    return np.mean(values), np.mean(np.array(values) > 0.5), np.mean(quarters[0]) - np.mean(quarters[3])


def blobs(frames, objects, size, seed=0, radius=0.15):
    """Label maps of star-shaped objects that drift and overlap, and damaged copies as predictions, both uint8.

    Args:
        frames: How many.
        objects: How many.
        size: Height and width.
        seed: Of shapes, places and damage.
        radius: Mean radius of an object over the shorter side.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    labels = np.zeros((2, frames, *size), np.uint8)
    for slot in range(objects):
        center, drift = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(-0.01, 0.01, 2) * min(size)
        mean, wave, phase = radius * min(size) * rng.uniform(0.6, 1.4), rng.integers(2, 7), rng.uniform(0, 6)
        for side, frame in np.ndindex(2, frames):
            shift = side * rng.normal(0, 0.01 * min(size), 2)
            cy, cx = center + frame * drift + shift
            angle = np.arctan2(y - cy, x - cx)
            limit = mean * (1 + 0.25 * np.sin(wave * angle + phase + 0.1 * side))
            labels[side, frame][np.hypot(y - cy, x - cx) < limit] = slot + 1
    return labels[1], labels[0]
