"""Two folders of images -> fidelity and memorization with intervals: what ``bench measure`` prints.

REAL is the reference of fidelity. Where ``train`` is given, REAL are held-out images and copies are looked for in
``train``; else REAL itself is searched for copies, and a note says that fidelity to training images prefers copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Estimate
from bench.errors import ConfigError, UndefinedMetric
from bench.extractors import make
from bench.metrics.arrays import in_canonical_order
from bench.metrics.copying import measure_c_t
from bench.metrics.estimates import defined
from bench.metrics.extrapolation import frechet_infinity
from bench.metrics.folder_failures import INSPECTED, Looks, folder_failures, inspected
from bench.metrics.folders import (
    FeatureSet,
    Say,
    comparable,
    feature_set,
    list_images,
    recipe_for,
)
from bench.metrics.generation import equal_n, measure_class, measure_fidelity, real_floor
from bench.metrics.privacy import Privacy, gate
from bench.metrics.realism import measure_realism
from bench.metrics.unsplit import Unsplit
from bench.store import Store

PAIRS = 20


@dataclass(frozen=True)
class Pair:
    """A synthetic image, the real one it is nearest to (thumbnails, eight orientations), and their distance."""

    synthetic: str
    real: str
    distance: float


@dataclass(frozen=True)
class Measured:
    """What was measured under one extractor; ``floor``: real against real at ``floor_n`` images a side.

    ``failures``: checkerboards, near-duplicates and missing lesions, which are read from the pixels themselves.
    """

    extractor: str
    resize: str
    n_real: int
    n_synthetic: int
    n_train: int
    n: int
    metrics: dict[str, Estimate]
    floor: dict[str, Estimate]
    floor_n: int
    pairs: list[Pair]
    notes: list[str] = field(default_factory=list)
    failures: dict[str, Estimate] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The same as JSON values."""
        rows = {name: {k: vars(e) for k, e in getattr(self, name).items()} for name in ("metrics", "failures", "floor")}
        return {**vars(self), **rows, "pairs": [vars(p) for p in self.pairs]}


def measure_folders(
    real: Path,
    synthetic: Path,
    train: Path | None = None,
    *,
    extractor: str = "pixels",
    resolution: int | None = None,
    seed: int = 0,
    extrapolate: bool = False,
    failures: bool = True,
    device: str = "cpu",
    store: Store,
    say: Say = lambda text: None,
) -> Measured:
    """Measure the images of ``synthetic`` against those of ``real`` (folders, zips or tars; class subfolders or none).

    Features come through one preprocessing: to ``resolution`` x ``resolution``, or as they are where all images are
    square and of one size. They are computed once and kept in ``store``. ``extrapolate`` adds FID at infinite n;
    ``failures`` looks for checkerboards, near-duplicates and missing lesions among at most 500 images a side.
    Raises :class:`DataError` that names unusable files, or two files of different size, :class:`ConfigError` for an
    unknown extractor.
    """
    places = [real, synthetic, *([train] if train is not None else [])]
    if len({p.expanduser().resolve() for p in places}) < len(places):
        raise ConfigError(f"the same place is given twice: {', '.join(map(str, places))}")
    extract = make(extractor, device)
    listings = [list_images(place) for place in places]
    recipe = recipe_for(listings, resolution)
    sets = [feature_set(listing, extract, recipe, store, say) for listing in listings]
    found = measure_sets(*sets, seed=seed, extrapolate=extrapolate)
    if not failures:
        return found
    looks = [feature_set(inspected(listing), Looks(), recipe, store, say) for listing in listings[:2]]
    width, height = (recipe.size, recipe.size) if recipe else listings[0].sizes[0]
    notes = list(found.notes)
    if max(len(listing.names) for listing in listings[:2]) > INSPECTED:
        notes.append(f"checkerboards, duplicates and missing lesions are looked for among {INSPECTED} images a side")
    return replace(found, failures=folder_failures(looks[0], looks[1], (height, width), seed), notes=notes)


def measure_sets(
    real: FeatureSet,
    synthetic: FeatureSet,
    train: FeatureSet | None = None,
    *,
    seed: int = 0,
    extrapolate: bool = False,
) -> Measured:
    """The same from feature sets. Raises :class:`DataError` where extractors or resize policies differ."""
    sets = [real, synthetic, *([train] if train is not None else [])]
    comparable(*sets)
    metrics = measure_fidelity(real.features, synthetic.features, seed)
    x, y, n = equal_n(real.features, synthetic.features, seed)
    metrics["realism"] = defined(partial(measure_realism, x, y, seed), n, "higher")
    if extrapolate:
        metrics["fid_infinity"] = defined(partial(frechet_infinity, x, y, seed=seed), n, "lower")
    metrics |= _by_class(real, synthetic, seed)
    memorized, pairs = _memorization(real, synthetic, train, seed)
    metrics |= gate(memorized, metrics["precision"], len(real))
    floor, floor_n = _floor(real, train, n, seed)
    return Measured(
        extractor=real.extractor,
        resize=real.resize,
        n_real=len(real),
        n_synthetic=len(synthetic),
        n_train=0 if train is None else len(train),
        n=n,
        metrics=metrics,
        floor=floor,
        floor_n=floor_n,
        pairs=pairs,
        notes=_notes(real, synthetic, train, n, floor_n),
    )


def _by_class(real: FeatureSet, synthetic: FeatureSet, seed: int) -> dict[str, Estimate]:
    """Class-conditional metrics where both sides have class subfolders."""
    names = sorted(set(real.classes.tolist()))
    if "" in names or "" in synthetic.classes.tolist():
        return {}
    found = {
        name: measure_class(
            real.features[real.classes == name], synthetic.features[synthetic.classes == name], name, seed, 1_000
        )
        for name in names
    }
    return {f"{metric}[{name}]": e for name, estimates in found.items() for metric, e in estimates.items()}


def _memorization(
    real: FeatureSet, synthetic: FeatureSet, train: FeatureSet | None, seed: int
) -> tuple[dict[str, Estimate], list[Pair]]:
    """Metrics and closest pairs: by thumbnails in all orientations, and by features where these are not thumbnails."""
    sets = [synthetic, real, *([train] if train is not None else [])]
    near = _encoder([s.turned() for s in sets], seed)
    found, pairs = near.measure(), closest(synthetic, sets[-1], near)
    if not real.extractor.startswith("pixels"):
        found = _encoder([s.features for s in sets], seed).measure() | {f"{m}[pixels]": e for m, e in found.items()}
    if train is not None:
        cells = partial(measure_c_t, real.features, synthetic.features, train.features, seed=seed)
        found["c_t"] = defined(cells, len(synthetic), "none")
    return found, pairs


def _encoder(arrays: Sequence[NDArray[Any]], seed: int) -> Privacy | Unsplit:
    """Synthetic, real and perhaps training images under one encoder."""
    synthetic, real, *rest = arrays
    return Privacy(rest[0], real, synthetic, None, seed, 1_000) if rest else Unsplit(real, synthetic)


def _floor(real: FeatureSet, train: FeatureSet | None, n: int, seed: int) -> tuple[dict[str, Estimate], int]:
    """Real against real, and at how many images: held-out against train, or one random half of REAL against the other.

    The number falls below ``n`` where there are not reals enough for two sides.
    """
    if train is not None:
        one, other = train.features, real.features
    else:
        order = np.random.default_rng(seed).permutation(len(real))
        rows = in_canonical_order(real.features)
        one, other = rows[order[: len(order) // 2]], rows[order[len(order) // 2 :]]
    size = min(n, len(one), len(other))
    return real_floor(one, other, seed, size), size


def closest(synthetic: FeatureSet, reals: FeatureSet, near: Privacy | Unsplit, show: int = PAIRS) -> list[Pair]:
    """The ``show`` closest pairs of a synthetic image and the real one nearest to it; none where too few are real."""
    try:
        found = near.of_synthetic
    except UndefinedMetric:
        return []
    order = np.argsort(found.distances, kind="stable")[:show]
    names = reals.names[near.order[found.rows]]
    return [Pair(str(synthetic.names[m]), str(names[m]), float(found.distances[m])) for m in order.tolist()]


def _notes(real: FeatureSet, synthetic: FeatureSet, train: FeatureSet | None, n: int, floor_n: int) -> list[str]:
    notes = []
    if len(real) != len(synthetic):
        larger = "real" if len(real) > len(synthetic) else "synthetic"
        notes.append(
            f"{len(real):,} real and {len(synthetic):,} synthetic images are compared at equal n = {n:,}: "
            f"a random subset of the {larger} ones (seeded); KID, which does not depend on n, by all of them"
        )
    if floor_n < n:
        source = "half of the reals against the other half" if train is None else "train against real"
        notes.append(
            f"real against real is measured at n = {floor_n:,} only ({source}): FID and the manifold shares depend on "
            f"n, so compare KID, or measure {floor_n:,} synthetic images"
        )
    if train is None:
        notes.append(
            "no --train: any real image may have been trained on. If these are the training images, their FID, KID and "
            "coverage flatter a generator that copies: give other real images with --held-out"
        )
    if real.extractor.startswith("pixels"):
        notes.append("extractor pixels: sees colour and coarse shape only; not comparable with published FID or KID")
    if ("" in real.classes) != ("" in synthetic.classes):
        notes.append("only one side has class subfolders: no numbers by class")
    return notes
