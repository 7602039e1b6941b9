"""Curves from stored predictions: ROC and reliability, over the seeds of an arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.errors import BenchError
from leaderboard.load import Scores, read_scores
from leaderboard.paired import Float
from leaderboard.rows import Source

GRID = 60
BINS = 10
Point = tuple[float, float]


def stored(sources: Sequence[Source]) -> list[Scores]:
    """Test predictions of those sources that have readable ones."""
    found: list[Scores] = []
    for source in sources:
        if source.arm.predictions is None:
            continue
        try:
            found.append(read_scores(source.entry, source.arm.predictions))
        except BenchError:
            continue  # the row says so already: its rank is missing for it
    return found


def roc(predictions: Sequence[Scores], positive: int) -> list[Point]:
    """(false positive rate, sensitivity): mean over seeds at equal false positive rates; empty with one class only."""
    from bench.stats.roc import roc_curve

    grid = np.linspace(0, 1, GRID + 1) ** 2  # denser where a screening test works
    try:
        curves = [roc_curve(p.y == positive, p.scores[:, positive].astype(np.float64)) for p in predictions]
    except BenchError:
        return []
    if not curves:
        return []
    heights = [curve.tpr[np.searchsorted(curve.fpr, grid, side="right") - 1] for curve in curves]
    return [(0.0, 0.0), *_points(grid, np.mean(heights, axis=0))]


def reliability(predictions: Sequence[Scores], positive: int) -> list[Point]:
    """(mean probability, share of positives) in bins of equal width, all seeds together."""
    from bench.stats.calibration import reliability_curve

    if not predictions:
        return []
    y = np.concatenate([p.y == positive for p in predictions])
    score = np.concatenate([p.scores[:, positive].astype(np.float64) for p in predictions])
    try:
        curve = reliability_curve(y, np.clip(score, 0.0, 1.0), BINS)
    except BenchError:
        return []
    return _points(curve.probability, curve.frequency)


def _points(x: Float, y: Float) -> list[Point]:
    return list(zip(x.tolist(), y.tolist(), strict=True))
