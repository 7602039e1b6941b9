"""Parts of image sets: real images repeated, nested shares of the groups, nested parts of one synthetic pool.

Sweeps are nested: every size holds the images of the smaller ones, so that a curve over sizes differs by what was added
and by nothing else, and one stage of sampling serves all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Labels
from bench.lab import Fitted, Lab


def oversample(images: Images, labels: Labels, seed: int) -> Images:
    """A random real image of ``images`` for each of ``labels`` [M]; classes without images are left out."""
    rng = np.random.default_rng(seed)
    members = {k: np.flatnonzero(images.labels == k) for k in np.unique(labels)}
    rows = [rng.choice(members[k]) for k in labels if len(members[k])]
    return images.take(np.array(rows, dtype=np.int64))


def nested_share(images: Images, fraction: float, seed: int) -> Images:
    """All images of about ``fraction`` (0..1) of the groups of each class, in their order; at least one group of each.

    A group is never torn and counts to the rarest class in it. The groups of a class are ordered by a hash of ``seed``
    and their name, so a share holds every smaller one and does not depend on the order of rows.
    """
    return images.take(_place(images, seed) < fraction)


def halves(images: Images, seed: int) -> tuple[Images, Images]:
    """Two parts that share no group: every other group of each class, in the order of a seeded hash."""
    position = _position(images, seed)[0]
    return images.take(position % 2 == 0), images.take(position % 2 == 1)


def draw_pool(lab: Lab, generator: Fitted, wanted: Iterable[Labels], *, stream: str) -> Images:
    """One stage of sampling from which each of the label sets ``wanted`` can be taken by :func:`part_of`."""
    counts = [np.bincount(labels, minlength=lab.task.num_classes) for labels in wanted]
    largest = np.max(counts, axis=0)
    return lab.sample(generator, np.repeat(np.arange(len(largest), dtype=np.int64), largest), stream=stream)


def part_of(pool: Images, labels: Labels) -> Images:
    """The first images of each class of ``pool``, as many as ``labels`` [M] asks for, in the order of the pool."""
    counts = np.bincount(labels, minlength=pool.num_classes)
    rows = [np.flatnonzero(pool.labels == k)[:count] for k, count in enumerate(counts)]
    return pool.take(np.sort(np.concatenate(rows)))


def _place(images: Images, seed: int) -> NDArray[np.float64]:
    """Place of each image's group among those of its class, float64 [N] in 0..1 (the first is 0)."""
    position, among = _position(images, seed)
    return position / among


def _position(images: Images, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place 0, 1, .. of each image's group in its class, and the number of groups there; both int64 [N]."""
    names, inverse = np.unique(images.groups, return_inverse=True)
    rarity = np.argsort(np.argsort(-images.counts(), kind="stable"), kind="stable")  # 0: the most frequent class
    kind = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(kind, inverse, rarity[images.labels])
    ticket = np.array([hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in names.tolist()])
    position = np.empty(len(names), dtype=np.int64)
    for k in np.unique(kind):
        of_kind = np.flatnonzero(kind == k)
        position[of_kind[np.argsort(ticket[of_kind], kind="stable")]] = np.arange(len(of_kind))
    return position[inverse], np.bincount(kind)[kind][inverse]
