"""What the checks stand on: four sets of real images that share no patient or lesion, and controls made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.capabilities import NeedsHeldOut
from bench.context import StageContext
from bench.contracts import Images, Labels, Strings
from bench.data.base import CanDraw, DataConfig, Dataset, Prepared
from bench.data.tasks import MALIGNANT
from bench.errors import DataError
from bench.metrics.arrays import Float32
from bench.pixels import PixelArray, UInt8

PARTS = ("train", "held_out", "oracle", "judge", "spare")
LEAST = 120  # images a set: a 1 % quantile needs 100
KEPT_BYTES = 2**30


class Extractor(Protocol):
    """What the checks ask of an extractor: a name that tells network, weights and resize policy, and rows."""

    @property
    def identity(self) -> str:
        """Equal identities mean comparable features."""

    def __call__(self, pixels: UInt8) -> Float32:
        """Features float32 [N, D] of uint8 [N, H, W, 3]."""


@dataclass(frozen=True)
class Drawn:
    """What a control made: pixels uint8 [M, H, W, 3], the labels int64 [M] it was asked for, features float32 [M, D].

    parents str [M]: ids of the training images behind them, "" where there is none; None if the control names none.
    """

    pixels: UInt8
    labels: Labels
    x: Float32
    parents: Strings | None


@dataclass
class Ground:
    """Real images in sets of equal size and equal class counts, one image a group, and their features.

    train      what controls are fitted on
    held_out   the reference of fidelity and the null of memorization
    oracle     what the oracle may hand out
    judge      what classifiers are tested on
    spare      for an extractor that has to be trained
    positive   index of the class whose AUC is measured
    """

    name: str
    train: Images
    held_out: Images
    oracle: Images
    judge: Images
    spare: Images
    positive: int
    extractor: Extractor
    workdir: Path
    _rows: dict[bytes, Float32] = field(default_factory=dict)
    _drawn: dict[str, Drawn] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Images in each set."""
        return len(self.train)

    @property
    def labels(self) -> Labels:
        """Labels int64 [n] that controls are asked for by default: those of ``train``."""
        return self.train.labels

    def features(self, pixels: PixelArray) -> Float32:
        """float32 [N, D] of uint8 [N, H, W, 3]; an image that was seen before is not computed again."""
        names = [hashlib.blake2b(pixels[i].tobytes(), digest_size=16).digest() for i in range(len(pixels))]
        fresh = {name: i for i, name in enumerate(names) if name not in self._rows}
        if fresh:
            rows = np.fromiter(fresh.values(), dtype=np.int64)
            found = np.asarray(self.extractor(np.asarray(pixels[rows])), dtype=np.float32)
            self._rows.update(zip(fresh, found, strict=True))
        return np.stack([self._rows[name] for name in names])

    def x(self, part: str) -> Float32:
        """Features float32 [n, D] of one of PARTS."""
        return self.features(getattr(self, part).pixels)

    def draw(
        self, control: str, labels: Labels | None = None, *, seed: int = 0, fit_seed: int = 0, **options: Any
    ) -> Drawn:
        """Images of the registered ``control``, one for each of ``labels`` (by default those of ``train``)."""
        labels = self.labels if labels is None else labels
        key = f"{control}/{seed}/{fit_seed}/{options}/{hashlib.sha256(labels.tobytes()).hexdigest()}"
        if key not in self._drawn:
            model = self._fitted(control, fit_seed, options)
            pixels = model.sample(labels, StageContext(seed, self.workdir / "sample"))
            parents = getattr(model, "last_parents", None)
            if sum(kept.pixels.nbytes for kept in self._drawn.values()) + pixels.nbytes > KEPT_BYTES:
                self._drawn.clear()  # drawn again when needed; their features are kept
            self._drawn[key] = Drawn(pixels, labels, self.features(pixels), parents)
        return self._drawn[key]

    def _fitted(self, control: str, seed: int, options: Mapping[str, Any]) -> Any:
        cls = registry.load("generator", control)
        model = cls(registry.effective_config("generator", control, cls, "", dict(options)))
        ctx = StageContext(seed, self.workdir / "fit")
        if isinstance(model, NeedsHeldOut):
            model.fit_held_out(self.train, self.oracle, ctx)
        else:
            model.fit(self.train, ctx)
        return model


def sets_of(dataset: Dataset, prepared: Prepared | None, n: int, seed: int) -> dict[str, Images]:
    """PARTS -> images: fresh draws of a simulated data set (all classes equally often), else dealt from ``prepared``.

    Raises :class:`DataError` if the data set has too few groups.
    """
    if isinstance(dataset, CanDraw):
        classes = dataset.draw(np.zeros(1, dtype=np.int64), seed).num_classes
        labels = np.arange(n, dtype=np.int64) % classes
        return {part: dataset.draw(labels, 7919 * (seed + 1) + i) for i, part in enumerate(PARTS)}
    assert prepared is not None
    return deal(prepared, n, seed)


def deal(prepared: Prepared, n: int, seed: int) -> dict[str, Images]:
    """Up to ``n`` images for each of PARTS, of equal class counts; one image a group, so that images are independent.

    Images of the official test part are left alone. Raises :class:`DataError` with fewer than LEAST a set.
    """
    from bench.data.duplicates import join_groups, stored_duplicates

    groups = join_groups(prepared.images.groups, stored_duplicates(prepared))
    open_rows = np.flatnonzero(prepared.table["part"] != "test")
    rows = one_per_group(open_rows, groups, prepared.images.labels)
    labels = prepared.images.labels[rows]
    each = class_sizes(np.bincount(labels) // len(PARTS), n)
    rng = np.random.default_rng(seed)
    members = [rng.permutation(rows[labels == k]) for k in range(len(each))]
    dealt = {
        part: [own[i * size : (i + 1) * size] for own, size in zip(members, each, strict=True)]
        for i, part in enumerate(PARTS)
    }
    total = sum(each)
    if total < LEAST:
        raise DataError(
            f"{len(rows)} patients or lesions are too few for a self-check: they give {len(PARTS)} sets of {total} "
            f"images and each needs {LEAST}"
        )
    return {part: prepared.images.take(rng.permutation(np.concatenate(chosen))) for part, chosen in dealt.items()}


def class_sizes(available: NDArray[np.int64], n: int) -> list[int]:
    """Images of each class in a set of ``n``: classes alike as far as there are ``available`` [K], then the rest."""
    sizes, left = [0] * len(available), n
    for done, k in enumerate(np.argsort(available, kind="stable").tolist()):
        sizes[k] = min(int(available[k]), left // (len(available) - done))
        left -= sizes[k]
    return sizes


def one_per_group(rows: NDArray[np.int64], groups: Strings, labels: Labels) -> NDArray[np.int64]:
    """One of ``rows`` for each group, of its rarest class."""
    counts = np.bincount(labels[rows])
    order = rows[np.argsort(counts[labels[rows]], kind="stable")]
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])


def positive_class(class_names: tuple[str, ...], task: str) -> int:
    """Index of the positive class: 1 of a binary task, melanoma (or what is malignant, or the last) of many."""
    if task != "classes":
        return 1
    malignant = [k for k, name in enumerate(class_names) if name.lower() in MALIGNANT]
    return malignant[0] if malignant else len(class_names) - 1


def prepare_ground(
    config: DataConfig,
    make_extractor: Callable[[dict[str, Images]], Extractor],
    workdir: Path,
    store: Path,
    n: int = 600,
    seed: int = 0,
) -> Ground:
    """The ground of ``config`` with sets of at most ``n`` images; ``make_extractor`` gets the sets by their names.

    Prepared data come from ``store``; ``workdir`` is scratch. Raises :class:`DataError` if there are too few groups.
    """
    from bench.data.prepare import resolve

    dataset = resolve(config)
    prepared = None if isinstance(dataset, CanDraw) else stored_data(config, dataset, store)
    sets = sets_of(dataset, prepared, n, seed)
    train, held_out, oracle, judge, spare = (sets[part] for part in PARTS)
    positive = positive_class(train.class_names, config.task)
    return Ground(config.spec, train, held_out, oracle, judge, spare, positive, make_extractor(sets), workdir)


def stored_data(config: DataConfig, dataset: Dataset, store: Path) -> Prepared:
    """The prepared data set, made as a stage of runs is, so that a run and a self-check share it."""
    from bench.config import build_config
    from bench.data.base import load_prepared
    from bench.data.prepare import source_key
    from bench.workbench import Workbench

    workbench = Workbench(build_config(preset="cpu", store=store))
    stored = workbench.stage(
        "data", f"prepare {config.spec}", type(dataset), {}, source_key(dataset, config),
        lambda out, ctx: dataset.build(out),
    )  # fmt: skip
    return load_prepared(stored.folder)
