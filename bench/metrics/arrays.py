"""Checks of feature arrays, and numbers that carry their uncertainty."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import DataError, UndefinedMetric

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]
Features = NDArray[np.floating[Any]]


class Frechet(float):
    """A Fréchet distance clamped at 0; ``raw`` before clamping, ``mean_term`` + ``trace_term`` = raw."""

    raw: float
    mean_term: float
    trace_term: float

    def __new__(cls, mean_term: float, trace_term: float) -> Self:
        self = super().__new__(cls, max(0.0, mean_term + trace_term))
        self.raw, self.mean_term, self.trace_term = mean_term + trace_term, mean_term, trace_term
        return self


class Kernel(float):
    """An unbiased squared kernel distance (may be negative) with its standard error ``se``."""

    se: float

    def __new__(cls, value: float, se: float) -> Self:
        self = super().__new__(cls, value)
        self.se = se
        return self


class Share(float):
    """A share ``k`` of ``n`` with its Wilson interval ``low`` .. ``high`` (95 %)."""

    k: float
    n: int
    low: float
    high: float

    def __new__(cls, k: float, n: int) -> Self:
        from bench.stats import proportion_interval

        if n == 0:
            raise UndefinedMetric("undefined, because there are no images to count (n = 0)")
        self = super().__new__(cls, k / n)
        self.k, self.n = k, n
        method = "clopper-pearson" if k in (0, n) else "wilson"
        self.low, self.high = proportion_interval(k, n, method)  # type: ignore[arg-type]
        return self


def features(values: ArrayLike, name: str, least: int = 1) -> Features:
    """``values`` as float32 or float64 [N, D] with N >= ``least``.

    Raises :class:`DataError` on another shape or on NaN and infinity (naming array and row), :class:`UndefinedMetric`
    on too few rows.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"{name}: features must be [N, D] with D >= 1, got shape {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    for start in range(0, len(array), 4096):
        bad = np.flatnonzero(~np.isfinite(array[start : start + 4096]).all(axis=1))
        if len(bad):
            raise DataError(f"{name}: row {start + bad[0]} holds NaN or infinity; check that image and its extractor")
    if len(array) < least:
        raise UndefinedMetric(f"undefined, because {name} has n = {len(array)} and at least {least} are needed")
    return array


def same_width(**arrays: Features) -> None:
    """Raise :class:`DataError` unless all arrays have the same number of columns."""
    if len({a.shape[1] for a in arrays.values()}) > 1:
        widths = ", ".join(f"{name} {a.shape[1]}" for name, a in arrays.items())
        raise DataError(f"features of different extractors cannot be compared: widths are {widths}")


def in_canonical_order(rows: Features) -> Features:
    """The rows of ``rows`` [N, D] sorted by their bytes: sums over them then do not depend on the order given, to the
    last bit, and neither does a seeded choice among them."""
    return np.ascontiguousarray(rows)[canonical_order(rows)]


def canonical_order(rows: Features) -> Int:
    """Positions int64 [N] of the rows of ``rows`` [N, D] when sorted by their bytes; as given where there are none."""
    plain = np.ascontiguousarray(rows)
    if plain.ndim != 2 or not plain.size:
        return np.arange(len(plain))
    return np.argsort(plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).ravel(), kind="stable")
