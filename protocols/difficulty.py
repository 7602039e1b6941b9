"""Which training cases are hard: judged out of fold, so that no classifier is asked about what it learnt by heart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Probabilities, Threshold


def cross_entropy(probabilities: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Loss -log p(true) of each case, float64 [N]; probabilities [N, K] are kept off 0 by 1e-7."""
    p_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(p_true, 1e-7, 1.0))


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
