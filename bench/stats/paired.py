"""Two classifiers on the same cases: McNemar's exact test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import DataError
from bench.stats.checks import binary_labels


class McNemar(NamedTuple):
    """Discordant cases and the exact two-sided ``p``: only a right, only b right."""

    only_a: int
    only_b: int
    p: float


def mcnemar(y: ArrayLike, a: ArrayLike, b: ArrayLike) -> McNemar:
    """Exact two-sided binomial test of equal accuracy (McNemar 1947, Psychometrika 12:153).

    y 0/1 [N]; a, b the two classifiers' decisions 0/1 [N]. Given the positives only it compares sensitivities, given
    the negatives only specificities. No discordant case (identical decisions) gives p = 1.
    """
    labels, first, second = binary_labels(y), binary_labels(a), binary_labels(b)
    if not len(labels) == len(first) == len(second):
        raise DataError(f"labels and decisions differ in length: {len(labels)}, {len(first)}, {len(second)}")
    right_a, right_b = first == labels, second == labels
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    if only_a == only_b:
        return McNemar(only_a, only_b, 1.0)
    from scipy.special import bdtr

    return McNemar(only_a, only_b, min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))))
