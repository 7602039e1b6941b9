"""How far probabilities can be believed: Brier score, log-loss, expected calibration error, reliability curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError
from bench.stats.checks import Float, Int, probabilities


def brier(y: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared difference of probability [N] and outcome 0/1 [N] (Brier 1950); 0 is best."""
    return float(np.mean(brier_terms(y, probability)))


def brier_terms(y: ArrayLike, probability: ArrayLike) -> Float:
    """Each case's squared error, float64 [N]."""
    labels, p = probabilities(y, probability)
    return (p - labels) ** 2


def log_loss(y: ArrayLike, probability: ArrayLike, clip: float = 1e-15) -> float:
    """Mean negative log-likelihood in nats; probabilities are kept ``clip`` away from 0 and 1."""
    return float(np.mean(log_loss_terms(y, probability, clip)))


def log_loss_terms(y: ArrayLike, probability: ArrayLike, clip: float = 1e-15) -> Float:
    """Each case's negative log-likelihood, float64 [N]."""
    labels, p = probabilities(y, probability)
    kept = np.clip(p, clip, 1 - clip)
    return -np.where(labels, np.log(kept), np.log1p(-kept))


class Reliability(NamedTuple):
    """Reliability curve: mean probability and observed frequency of each non-empty bin, with its number of cases."""

    probability: Float
    frequency: Float
    cases: Int
    edges: Float


def reliability_curve(y: ArrayLike, probability: ArrayLike, bins: int = 15) -> Reliability:
    """Equal-width bins (lo, hi] of the positive's probability; arrays of the B' <= ``bins`` non-empty ones."""
    labels, p = probabilities(y, probability)
    index = bin_index(p, bins)
    count = np.bincount(index, minlength=bins)
    used = count > 0
    mean = np.bincount(index, weights=p, minlength=bins)[used] / count[used]
    observed = np.bincount(index, weights=labels, minlength=bins)[used] / count[used]
    return Reliability(mean, observed, count[used], np.linspace(0, 1, bins + 1))


def bin_index(p: Float, bins: int) -> Int:
    """Bin 0..bins-1 of each probability; bins are open below and closed above, 0 joins the first."""
    if bins < 1:
        raise ConfigError(f"at least one bin is needed, got {bins}")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(inner, p, side="left").astype(np.int64)


def expected_calibration_error(y: ArrayLike, probability: ArrayLike, bins: int = 15) -> float:
    """Count-weighted mean of |frequency - mean probability| over equal-width bins (Naeini et al. 2015).

    On the positive's probability, not on the top label's. Biased upward at small n: compare at equal n only.
    """
    curve = reliability_curve(y, probability, bins)
    return float(np.sum(curve.cases * np.abs(curve.frequency - curve.probability)) / np.sum(curve.cases))
