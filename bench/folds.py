"""Grouped, stratified folds that do not depend on the order of the rows."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images


def grouped_folds(images: Images, folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each image, int64 [N] in 0..folds-1; a group is never torn, classes are spread evenly.

    Groups are ordered within their rarest class by a seeded hash and dealt out like cards, largest first.
    Raises ValueError if there are fewer groups than folds.
    """
    names, inverse, sizes = np.unique(images.groups, return_inverse=True, return_counts=True)
    if len(names) < folds:
        raise ValueError(f"{folds} folds need at least as many groups, there are {len(names)}")
    rarity = np.argsort(np.argsort(-images.counts(), kind="stable"), kind="stable")  # 0 = most frequent class
    kind = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(kind, inverse, rarity[images.labels])
    ticket = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names]
    order = sorted(range(len(names)), key=lambda g: (kind[g], -sizes[g], ticket[g]))
    of_group = np.empty(len(names), dtype=np.int64)
    of_group[order] = np.arange(len(names)) % folds
    return of_group[inverse]
