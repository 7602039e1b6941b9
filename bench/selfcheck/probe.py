"""A linear probe: the cheapest classifier that tells what a training set teaches, in the space of one extractor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels
from bench.errors import UndefinedMetric
from bench.metrics.arrays import Features, Float

SHRINKAGE = 0.1


def probe_scores(x: Features, labels: Labels, positive: int, judged: Features) -> Float:
    """Scores float64 [N] of ``judged`` [N, D] by a shrunken linear discriminant fitted on ``x`` [M, D].

    w = (S + r tr(S)/D I)^-1 (m_positive - m_rest) with the covariance S within the two groups and r = 0.1 (Friedman
    1989, J Am Stat Assoc 84:165). Class shares do not matter, and repeating all images changes nothing.
    Raises :class:`UndefinedMetric` when one of the two groups has no image.
    """
    is_positive = labels == positive
    if is_positive.all() or not is_positive.any():
        lacking = "negatives" if is_positive.any() else "positives"
        raise UndefinedMetric(f"undefined, because there are no {lacking} among the {len(labels)} training images")
    wide = x.astype(np.float64)
    means = wide[is_positive].mean(axis=0), wide[~is_positive].mean(axis=0)
    within = wide - np.where(is_positive[:, None], *means)
    covariance = within.T @ within / len(wide)
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE * np.trace(covariance) / len(covariance) + 1e-12
    direction: NDArray[np.float64] = np.linalg.solve(covariance, means[0] - means[1])
    return np.asarray(judged.astype(np.float64) @ direction)
