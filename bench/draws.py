"""Labels and rows of generators that hand stored images out, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels
from bench.errors import DataError


def check_labels(labels: Labels, class_names: Sequence[str]) -> Labels:
    """``labels`` as int64 [M]; raises :class:`DataError` for one outside 0..K-1."""
    labels = np.asarray(labels, dtype=np.int64)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong):
        raise DataError(
            f"label {labels[wrong[0]]} (row {wrong[0]}) is no class: "
            f"use 0..{len(class_names) - 1} ({', '.join(class_names)})"
        )
    return labels


def draw_rows(members: NDArray[np.int64], n: int, seed: int, label: int) -> NDArray[np.int64]:
    """``n`` of ``members`` int64 [m] in random order; a second round starts only when all have been used.

    The first k of n draws are the k draws: a longer call repeats a shorter one.
    """
    rounds = -(-n // len(members))
    orders = [np.random.default_rng([seed, label, r]).permutation(members) for r in range(rounds)]
    return np.concatenate([members[:0], *orders])[:n]
