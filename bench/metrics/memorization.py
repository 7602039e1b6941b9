"""Has the generator copied its training images? Distances of synthetic images to train, beside held-out real ones.

Where features are [8, N, D] the first axis holds the eight flips and rotations of an image (see
:func:`bench.metrics.features.symmetric_features`), and the distance to a training image is the smallest of the eight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics.arrays import Features, Float, Int, Share, canonical_order, features, in_canonical_order, same_width
from bench.metrics.neighbours import k_nearest


class Nearest(NamedTuple):
    """Row int64 [N] of the nearest reference image (the lowest on ties) and the distance float64 [N] to it."""

    rows: Int
    distances: Float


def nearest(images: ArrayLike, reference: ArrayLike, name: str = "images") -> Nearest:
    """The nearest of ``reference`` [T, D] to each of ``images`` [N, D], exactly.

    images [8, N, D] holds orientations: the nearest over all of them. Raises :class:`DataError` on NaN.
    """
    targets = features(reference, "reference")
    found = []
    for rows in _orientations(images, name):
        same_width(images=rows, reference=targets)
        neighbours = k_nearest(rows, targets)
        found.append(Nearest(neighbours.row[:, 0], neighbours.distance[:, 0]))
    return closest_of(found)


def closest_of(found: Sequence[Nearest]) -> Nearest:
    """Of several searches for the same images the nearest find of each, that of the first search on ties."""
    best = found[0]
    for other in found[1:]:
        closer = other.distances < best.distances
        best = Nearest(np.where(closer, other.rows, best.rows), np.where(closer, other.distances, best.distances))
    return best


def _orientations(images: ArrayLike, name: str) -> list[Features]:
    array = np.asarray(images)
    parts = [array] if array.ndim == 2 else list(array)
    if not parts:
        raise DataError(f"{name}: an array of no orientations, expected [N, D] or [8, N, D]")
    return [features(part, name) for part in parts]


class TrainNeighbours(NamedTuple):
    """Of each image: row int64 [N] of its nearest training image, the distance to it, and that to another group's."""

    rows: Int
    distances: Float
    foreign: Float


def train_neighbours(images: ArrayLike, train: ArrayLike, groups: Any = None, name: str = "images") -> TrainNeighbours:
    """Nearest training images of ``images`` [N, D] or [8, N, D], once for all that is read from them.

    train [T, D], T >= 2; groups names [T] (lesion or patient) or None (each training image its own). ``foreign``
    [N]: distance to the nearest training image of another group than the nearest one's. Raises
    :class:`UndefinedMetric` when all training images are of one group.
    """
    reference = features(train, "train", least=2)
    names = np.arange(len(reference)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(names)
    if len(sizes) < 2:
        raise UndefinedMetric("undefined, because all training images are of one group")
    near = min(len(reference), int(sizes.max()) + 1)
    found = [k_nearest(rows, reference, near) for rows in _orientations(images, name)]
    distance = np.concatenate([f.distance for f in found], axis=1)  # [N, orientations x near]
    row = np.concatenate([f.row for f in found], axis=1)
    first = distance.argmin(axis=1)[:, None]
    owner = np.take_along_axis(row, first, axis=1)
    foreign = np.where(names[row] != names[owner], distance, np.inf).min(axis=1)
    return TrainNeighbours(owner[:, 0], np.take_along_axis(distance, first, axis=1)[:, 0], foreign)


class CopyRate(Share):
    """Share of synthetic images nearer to train than ``threshold`` (distance), itself set on held-out images."""

    threshold: float
    fpr: float
    held_out_share: float

    @classmethod
    def of(cls, synthetic: Float, held_out: Float, fpr: float = 0.01) -> Self:
        """From the distances to train of synthetic [M] and held-out [H] images."""
        if not 0 < fpr < 1:
            raise ConfigError(f"fpr must lie in (0, 1), got {fpr}")
        if len(held_out) * fpr < 1:
            least, n = round(1 / fpr), len(held_out)
            raise UndefinedMetric(f"undefined, because a {fpr:g} quantile needs {least} held-out images, n = {n}")
        threshold = float(np.quantile(held_out, fpr, method="inverted_cdf"))
        self = cls(int(np.sum(synthetic < threshold)), len(synthetic))
        self.threshold, self.fpr, self.held_out_share = threshold, fpr, float(np.mean(held_out < threshold))
        return self


def copy_rate(train: ArrayLike, held_out: ArrayLike, synthetic: ArrayLike, fpr: float = 0.01) -> CopyRate:
    """Share of ``synthetic`` nearer to ``train`` than the ``fpr`` quantile of the held-out images' distances to train.

    train [T, D]; held_out [H, D] or [8, H, D]; synthetic [M, D] or [8, M, D]. At most a share ``fpr`` of held-out
    images counts as copies, so about ``fpr`` is expected of a generator that copies nothing; planted copies raise it
    by their share. The interval is binomial given the threshold. Raises :class:`UndefinedMetric` with fewer held-out
    images than 1 / fpr, as their quantile is then their minimum.
    """
    null = nearest(held_out, train, "held_out").distances
    return CopyRate.of(nearest(synthetic, train, "synthetic").distances, null, fpr)


def authenticity(train: ArrayLike, synthetic: ArrayLike) -> Share:
    """Share of synthetic images farther from their nearest training image than that one is from the rest of train.

    train [T, D], T >= 2; synthetic [M, D] or [8, M, D] (Alaa et al. 2022, arXiv:2102.08921, section 4). 0 for copies,
    1 for noise, and about .7, not 1, for held-out reals. Of equally near training images the one counts that is
    farthest from the rest (see :func:`tie_order`).
    """
    reference = features(train, "train", least=2)
    reference = reference[tie_order(reference)]
    rows, distances = nearest(synthetic, reference, "synthetic")
    return authenticity_of(rows, distances, own_distances(reference))


def own_distances(train: ArrayLike) -> Float:
    """Distance float64 [T] of each training image to the nearest other one."""
    reference = features(train, "train", least=2)
    return k_nearest(reference, reference, same=True).distance[:, 0]


def tie_order(train: ArrayLike) -> Int:
    """Positions int64 [T] of the rows of ``train`` [T, D] with those first that are farthest from the rest.

    Of equally near images the first is found. In this order that choice depends on distances alone, which neither the
    order given nor a shift of all features changes; rows at one distance from the rest stand in canonical order.
    """
    order = canonical_order(features(train, "train"))
    if len(order) < 2:
        return order
    own = own_distances(np.asarray(train)[order])
    return order[np.argsort(-own, kind="stable")]


def authenticity_of(rows: Int, distances: Float, own: Float) -> Share:
    """Authenticity from nearest training rows [M], distances [M] and the training images' own distances [T]."""
    return Share(int(np.sum(distances > own[rows])), len(rows))


def nn_ratio(train: ArrayLike, synthetic: ArrayLike, groups: Any = None) -> Float:
    """Distance to the nearest training image over that to the nearest one of another group, float64 [M] in [0, 1].

    Arguments as of :func:`train_neighbours`. Near 0 means an outstandingly close image, near 1 that several are
    equally near. 1 where both distances are 0.
    """
    return ratio_of(train_neighbours(synthetic, train, groups, "synthetic"))


def ratio_of(found: TrainNeighbours) -> Float:
    """The ratio [M] from neighbours already found."""
    out = np.ones_like(found.distances)
    return np.asarray(np.divide(found.distances, found.foreign, out=out, where=found.foreign > 0))


def share_nearer_train(train: ArrayLike, held_out: ArrayLike, synthetic: ArrayLike, seed: int = 0) -> Share:
    """Share of synthetic images nearer to train than to held-out reals, ties half; .5 if nothing was copied.

    train [T, D], held_out [H, D]; the larger of the two is subsampled (seeded) to n = min(T, H), as more images are
    nearer by number alone. synthetic [M, D] or [8, M, D].
    """
    a, b = (in_canonical_order(features(z, name)) for z, name in ((train, "train"), (held_out, "held_out")))
    n = min(len(a), len(b))
    rng = np.random.default_rng(seed)
    a, b = (rows if len(rows) == n else rows[np.sort(rng.choice(len(rows), n, replace=False))] for rows in (a, b))
    to_train, to_held_out = nearest(synthetic, a, "synthetic").distances, nearest(synthetic, b, "synthetic").distances
    return Share(float(np.sum(to_train < to_held_out) + np.sum(to_train == to_held_out) / 2), len(to_train))


def c_t(
    held_out: ArrayLike,
    synthetic: ArrayLike,
    train: ArrayLike,
    cells: tuple[Any, Any, Any] | None = None,
    least_share: float | None = None,
) -> float:
    """Data-copying statistic C_T (Meehan et al. 2020, arXiv:2004.05675): below about -3 the synthetic set copies train.

    held_out [H, D], synthetic [M, D], train [T, D]. In each cell the distances to the train images of the cell are
    compared by the z of Mann-Whitney's U (continuity 1/2 as in the authors' code); cells weigh by their held-out
    share, and those with a synthetic share below ``least_share`` (default 20 / M) are left out. ``cells``: cell
    numbers (held_out, synthetic, train), e.g. of k-means on train; None: one cell. Raises :class:`UndefinedMetric`
    when a cell lacks train or held-out images.
    """
    found = cell_distances(held_out, synthetic, train, cells, least_share)
    scores = [mann_whitney_z(cell.held_out, cell.synthetic) for cell in found]
    return float(np.average(scores, weights=[cell.weight for cell in found]))


class CellDistances(NamedTuple):
    """Of a cell: its held-out share, and the distances to its training images of its held-out and synthetic images."""

    weight: float
    held_out: Float
    synthetic: Float


def cell_distances(
    held_out: ArrayLike,
    synthetic: ArrayLike,
    train: ArrayLike,
    cells: tuple[Any, Any, Any] | None = None,
    least_share: float | None = None,
) -> list[CellDistances]:
    """What :func:`c_t` compares, of each cell that counts. Arguments and errors as there."""
    p, q, t = features(held_out, "held_out"), features(synthetic, "synthetic"), features(train, "train")
    same_width(held_out=p, synthetic=q, train=t)
    parts = [np.zeros(len(rows), dtype=np.int64) for rows in (p, q, t)] if cells is None else cells
    in_p, in_q, in_t = (_cell_numbers(c, len(rows)) for c, rows in zip(parts, (p, q, t), strict=True))
    least = 20 / len(q) if least_share is None else least_share
    out = []
    for cell in np.unique(np.concatenate([in_p, in_q, in_t])):
        own_p, own_q, own_t = p[in_p == cell], q[in_q == cell], t[in_t == cell]
        if not len(own_p) or not len(own_t):
            lacking = "training" if len(own_p) else "held-out"
            raise UndefinedMetric(f"undefined, because cell {cell} holds no {lacking} image: use fewer cells")
        if len(own_q) / len(q) >= least:
            weight, distances = len(own_p) / len(p), (nearest(own_p, own_t).distances, nearest(own_q, own_t).distances)
            out.append(CellDistances(weight, *distances))
    if not out:
        raise UndefinedMetric(f"undefined, because no cell holds a share of {least:g} of the {len(q)} synthetic images")
    return out


def mann_whitney_z(p: Float, q: Float) -> float:
    """z of the number of pairs with q > p (ties half) among p [n] and q [m]: negative when q tends to be smaller."""
    from bench.stats.roc import midranks

    n, m = len(p), len(q)
    wins = midranks(np.concatenate([p, q]))[n:].sum() - m * (m + 1) / 2
    return float((wins - (n * m / 2 - 0.5)) / np.sqrt(n * m * (n + m + 1) / 12))


def _cell_numbers(cells: Any, n: int) -> Int:
    numbers = np.asarray(cells, dtype=np.int64)
    if numbers.shape != (n,):
        raise DataError(f"cell numbers have shape {numbers.shape}, the features {(n,)}")
    return numbers
