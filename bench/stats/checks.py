"""Checks of labels and scores: bad input gets an error that says what is wrong, an undefined number its reason."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import ConfigError, DataError, UndefinedMetric

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]


def binary_labels(y: ArrayLike) -> Bool:
    """``y`` [N] of 0/1 or bool as bool [N]. Raises :class:`DataError` on other values or no rows."""
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise DataError(f"labels must be one-dimensional, got shape {labels.shape}")
    if not len(labels):
        raise DataError("no labels: the evaluation set is empty")
    wrong = np.flatnonzero(~np.isin(labels, (0, 1)))
    if len(wrong):
        raise DataError(f"labels must be 0 or 1; row {wrong[0]} is {labels[wrong[0]]!r}; use y == positive")
    return labels.astype(bool)


def finite_scores(score: ArrayLike, n: int, name: str = "scores") -> Float:
    """``score`` [N] as float64 [N]. Raises :class:`DataError` on NaN, infinity or a length other than ``n``."""
    values = np.asarray(score, dtype=np.float64)
    if values.shape != (n,):
        raise DataError(f"{name} have shape {values.shape}, the labels {(n,)}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise DataError(f"{name} are not finite in {len(wrong)} of {n} rows; the first is row {wrong[0]}")
    return values


def two_classes(y: ArrayLike, score: ArrayLike) -> tuple[Bool, Float]:
    """Checked labels bool [N] and scores float64 [N]. Raises :class:`UndefinedMetric` where one class is absent."""
    labels = binary_labels(y)
    values = finite_scores(score, len(labels))
    positives = int(labels.sum())
    if positives == 0:
        raise UndefinedMetric(f"undefined, because none of the {len(labels)} cases is positive")
    if positives == len(labels):
        raise UndefinedMetric(f"undefined, because all {len(labels)} cases are positive")
    return labels, values


def probabilities(y: ArrayLike, probability: ArrayLike) -> tuple[Bool, Float]:
    """Checked labels bool [N] and probabilities float64 [N]; raises :class:`DataError` outside [0, 1]."""
    labels = binary_labels(y)
    values = finite_scores(probability, len(labels), "probabilities")
    wrong = np.flatnonzero((values < 0) | (values > 1))
    if len(wrong):
        raise DataError(f"probabilities must lie in [0, 1]; row {wrong[0]} is {values[wrong[0]]:g}")
    return labels, values


def group_codes(groups: Any, n: int) -> Int | None:
    """Groups [N] (names or numbers) as codes int64 [N] in sorted order of the names, None as None."""
    if groups is None:
        return None
    names = np.asarray(groups)
    if names.shape != (n,):
        raise DataError(f"groups have shape {names.shape}, the labels {(n,)}")
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def normal_quantile(p: float) -> float:
    """Quantile of the standard normal distribution at ``p`` in (0, 1)."""
    if not (math.isfinite(p) and 0 < p < 1):
        raise ConfigError(f"a probability strictly between 0 and 1 is needed, got {p}")
    return NormalDist().inv_cdf(p)


def t_quantile(p: float, freedom: float) -> float:
    """Quantile at ``p`` of Student's t with ``freedom`` > 0 degrees of freedom; normal if they are infinite."""
    if math.isinf(freedom):
        return normal_quantile(p)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))
