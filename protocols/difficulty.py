"""Which training cases are hard: judged out of fold, so that no classifier is asked about what it learnt by heart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Probabilities, Threshold


def cross_entropy(probabilities: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Loss -log p(true) of each case, float64 [N]; probabilities [N, K] are kept off 0 by 1e-7."""
    p_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(p_true, 1e-7, 1.0))


def margin(probabilities: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Largest probability of a wrong class minus that of the true one, float64 [N]; above 0: misclassified."""
    p = probabilities.astype(np.float64)
    true = p[np.arange(len(labels)), labels]
    p[np.arange(len(labels)), labels] = -np.inf
    return p.max(axis=1) - true


def entropy(probabilities: Probabilities) -> NDArray[np.float64]:
    """Entropy of the predicted distribution in nats, float64 [N]."""
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    return -(p * np.log(p)).sum(axis=1)


def gaussian_hardness(features: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much likelier features [N, D] are under the nearest other class than under their own, float64 [N].

    Gaussians of the classes with one shared covariance, shrunk by a hundredth of its mean variance; log-likelihood
    ratio (Lee et al. 2018, arXiv:1807.03888, use the same distances to find the unusual).
    """
    x = features.astype(np.float64)
    classes, own = np.unique(labels, return_inverse=True)
    means = np.stack([x[labels == k].mean(axis=0) for k in classes])
    within = x - means[own]
    covariance = within.T @ within / len(x)
    covariance += np.eye(len(covariance)) * (np.trace(covariance) / len(covariance) * 0.01 + 1e-12)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    squares = np.stack([np.square((x - mean) @ root).sum(axis=1) for mean in means], axis=1)
    mine = squares[np.arange(len(x)), own]
    squares[np.arange(len(x)), own] = np.inf
    return (mine - squares.min(axis=1)) / 2


Difficulty = Callable[[Probabilities, NDArray[np.int64], int, float], NDArray[np.float64]]
FUNCTIONS: dict[str, Difficulty] = {
    "loss": lambda p, y, positive, cut: cross_entropy(p, y),
    "margin": lambda p, y, positive, cut: margin(p, y),
    "entropy": lambda p, y, positive, cut: entropy(p),
    "misclassified": lambda p, y, positive, cut: ((p[:, positive] >= cut) != (y == positive)).astype(np.float64),
    "edge": lambda p, y, positive, cut: -np.abs(p[:, positive].astype(np.float64) - cut),
}
"""Difficulty float64 [N], higher is harder, of probabilities [N, K], labels [N], the positive class and its threshold:
loss, margin, entropy, misclassified (0 or 1), and nearness to the threshold."""


def difficulty_bins(
    difficulty: NDArray[np.float64],
    labels: NDArray[np.int64],
    bins: int,
    drop_highest: float,
    loss: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Bin int64 [N] of each case within its class: 0 the easiest of ``bins`` equal ones, ``bins`` for what is left out.

    Left out is the share ``drop_highest`` of each class with the highest ``loss`` [N], whatever measures difficulty;
    of cases that are equally hard, too, those of the higher loss count as the harder.
    """
    out = np.empty(len(labels), dtype=np.int64)
    for k in np.unique(labels):
        rows = np.flatnonzero(labels == k)
        by_loss = rows[np.argsort(loss[rows], kind="stable")]
        kept = by_loss[: len(rows) - int(np.ceil(drop_highest * len(rows)))]
        out[rows] = bins
        out[kept[np.lexsort((loss[kept], difficulty[kept]))]] = np.arange(len(kept)) * bins // max(len(kept), 1)
    return out


def misclassified(
    probabilities: Probabilities, labels: NDArray[np.int64], positive: int, threshold: Threshold
) -> NDArray[np.bool_]:
    """Cases on the wrong side of the threshold on the positive score, bool [N]."""
    return (probabilities[:, positive] >= threshold.value) != (labels == positive)


def hard_cases(
    images: Images,
    probabilities: Probabilities,
    positive: int,
    threshold: Threshold,
    *,
    p_true_below: float = 0.75,
    drop_highest: float = 0.05,
) -> NDArray[np.int64]:
    """Rows of the hard cases, hardest first, int64 [M].

    Hard: misclassified at the validation threshold, or p(true) below ``p_true_below``; without the share
    ``drop_highest`` of all cases with the highest loss, which is mostly label noise.
    """
    loss = cross_entropy(probabilities, images.labels)
    p_true = probabilities[np.arange(len(images)), images.labels]
    hard = misclassified(probabilities, images.labels, positive, threshold) | (p_true < p_true_below)
    noisy = np.argsort(-loss, kind="stable")[: int(np.ceil(drop_highest * len(images)))]
    hard[noisy] = False
    rows = np.flatnonzero(hard)
    return rows[np.argsort(-loss[rows], kind="stable")]
