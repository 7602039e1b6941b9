"""Inception Score of class probabilities (Salimans et al. 2016, arXiv:1606.03498): exp of E_x KL(p(y|x) || p(y)).

Only the full Inception network with its 1,008 or 1,000 class outputs gives a number to compare with others'; a network
without them, or another classifier, gives another number.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from bench.contracts import Estimate
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics.arrays import Float, features, in_canonical_order

TOLERANCE = 1e-4  # of row sums: float32 softmax over a thousand classes


def inception_score(probabilities: ArrayLike, splits: int = 10, seed: int = 2020, keep_order: bool = False) -> Estimate:
    """Inception Score of ``probabilities`` [N, K], N >= splits: mean over ``splits`` parts, t interval over the parts.

    Rows are put in canonical order, then shuffled with ``RandomState(seed)``; ``keep_order`` leaves the first step
    out and so draws the parts of torch-fidelity. ``extra``: "std" (over the parts, ddof 0, as usually printed) and
    "whole" (all N at once). A part of few images against K classes is biased downward. Raises :class:`DataError`
    where rows are not probabilities (logits, for instance), :class:`UndefinedMetric` with too few rows.
    """
    if splits < 1:
        raise ConfigError(f"at least one split is needed, got {splits}")
    p = _checked(probabilities, splits)
    canonical = np.asarray(in_canonical_order(p), dtype=np.float64)
    rows = p if keep_order else canonical
    rows = rows[np.random.RandomState(seed).permutation(len(rows))]
    edges = [i * len(rows) // splits for i in range(splits + 1)]
    parts = np.array([_score(rows[a:b]) for a, b in pairwise(edges)])
    value = float(parts.mean())
    extra = {"std": float(parts.std()), "whole": _score(canonical), "splits": splits, "classes": p.shape[1]}
    if splits == 1:
        return Estimate(value, None, None, len(p), "", "higher", "one split: no interval", extra=extra)
    from scipy.special import stdtrit

    half = float(stdtrit(splits - 1, 0.975) * parts.std(ddof=1) / np.sqrt(splits))
    method = f"mean of {splits} splits; t interval over splits"
    return Estimate(value, max(1.0, value - half), value + half, len(p), "", "higher", method, extra=extra)


def _checked(probabilities: ArrayLike, splits: int) -> Float:
    p = features(probabilities, "probabilities").astype(np.float64)
    if len(p) < splits:
        raise UndefinedMetric(f"undefined, because {splits} splits need as many images and n = {len(p)}")
    wrong = np.flatnonzero((p < 0).any(axis=1) | (np.abs(p.sum(axis=1) - 1) > TOLERANCE))
    if len(wrong):
        raise DataError(f"row {wrong[0]} is not a distribution over {p.shape[1]} classes: apply a softmax to logits")
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def _score(p: Float) -> float:
    """exp of the mean KL divergence of the rows from their mean; 0 log 0 = 0."""
    marginal = p.mean(axis=0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp(np.sum(p * np.log(ratio)) / len(p)))
