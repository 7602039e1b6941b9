"""Everything the tables say of one synthetic set under one extractor: fidelity, diversity, memorization.

The reference of fidelity is the held-out set, never train: a distance to train prefers copies. FID and the manifold
shares depend on n, so synthetic and reference are brought to the same n (seeded subsample), which every estimate names.
KID does not: it takes all images of both, and leaves out pairs of one lesion or patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Direction, Estimate, FeatureEvidence, Strings
from bench.errors import UndefinedMetric
from bench.metrics.arrays import Features, Float, Int, Kernel, features, in_canonical_order
from bench.metrics.copying import measure_c_t
from bench.metrics.estimates import PREFIX, defined
from bench.metrics.frechet import frechet_with_se
from bench.metrics.kernel import kernel_distance
from bench.metrics.prdc import PRDC, prdc
from bench.metrics.privacy import Privacy, gate
from bench.metrics.realism import measure_realism
from bench.stats.checks import normal_quantile
from bench.stats.resample import draw_counts

MANIFOLD = ("precision", "recall", "density", "coverage")
FIDELITY = ("fid", "kid", *MANIFOLD)
BY_CLASS = (*FIDELITY, "realism")
LEAST_PER_CLASS = 50
NEIGHBOURS = 5
Z95 = normal_quantile(0.975)
OF_IMAGES = "unbiased, all pairs; U-statistic"
OF_GROUPS = "unbiased, all pairs of different groups; U-statistic of groups"
Array = NDArray[Any]


def measure_features(evidence: FeatureEvidence, seed: int, replicates: int = 1_000) -> dict[str, Estimate]:
    """All metrics of one synthetic set: name -> estimate, undefined ones with their reason.

    Fidelity against held-out reals: "fid", "kid", "precision", "recall", "density", "coverage", the same by
    class as "fid[CLASS]"..., and "realism". Memorization against train: "c_t", "copy_rate", "nn_ratio",
    "share_nearer_train", "authenticity", and the last four under each of ``evidence.encoders`` as
    "copy_rate[ENCODER]"... with, beside each, what held-out reals give ("null" in ``extra``) where that is defined.
    """
    out = measure_fidelity(evidence.held_out, evidence.synthetic, seed, replicates, groups=evidence.held_out_groups)
    real, drawn, n = equal_n(evidence.held_out, evidence.synthetic, seed)
    out["realism"] = defined(partial(measure_realism, real, drawn, seed, replicates=replicates), n, "higher")
    for c, name in enumerate(evidence.class_names):
        of_class = evidence.held_out_labels == c
        real, groups = evidence.held_out[of_class], evidence.held_out_groups[of_class]
        synthetic = evidence.synthetic[evidence.synthetic_labels == c]
        found = measure_class(real, synthetic, name, seed, replicates, groups)
        out |= {f"{metric}[{name}]": estimate for metric, estimate in found.items()}
    sets = evidence.train, evidence.held_out, evidence.synthetic
    privacy = Privacy(*sets, evidence.train_groups, seed, replicates).measure()
    copying = partial(measure_c_t, evidence.held_out, evidence.synthetic, evidence.train, None, seed, replicates)
    privacy["c_t"] = defined(copying, len(evidence.synthetic), "none")
    for encoder, arrays in evidence.encoders.items():
        found = Privacy(*arrays, evidence.train_groups, seed, replicates).measure()
        privacy |= {f"{metric}[{encoder}]": estimate for metric, estimate in found.items()}
    return out | gate(privacy, out["precision"], evidence.held_out.shape[0])


def real_floor(
    train: Array,
    held_out: Array,
    seed: int,
    n: int | None = None,
    replicates: int = 1_000,
    train_groups: Strings | None = None,
    held_out_groups: Strings | None = None,
) -> dict[str, Estimate]:
    """The fidelity metrics of real against real: training images in the place of synthetic ones.

    train [T, D], held_out [H, D]; ``n`` (default as many as possible) of each, all of both for KID. No generator can be
    expected to do better, and none is told apart from reality by less.
    """
    rng = np.random.default_rng(seed)
    n = min(len(train), len(held_out)) if n is None else min(n, len(train), len(held_out))
    reals, others = (subsample(in_canonical_order(rows), n, rng) for rows in (held_out, train))
    found = measure_fidelity(reals, others, seed, replicates, only=[name for name in FIDELITY if name != "kid"])
    kid = defined(partial(measure_kid, held_out, train, held_out_groups, train_groups), len(held_out), "lower")
    return {name: kid if name == "kid" else found[name] for name in FIDELITY}


def measure_fidelity(
    real: Array,
    synthetic: Array,
    seed: int,
    replicates: int = 1_000,
    only: Sequence[str] = FIDELITY,
    groups: Strings | None = None,
) -> dict[str, Estimate]:
    """Metrics ``only`` (of FIDELITY) of synthetic [M, D] against real [N, D]: KID of all, the others at equal n.

    ``groups`` str [N]: lesion or patient of each real image; each image is one of its own where they are not known.
    """
    every = partial(measure_kid, real, synthetic, groups)
    real, synthetic, n = equal_n(real, synthetic, seed)
    out: dict[str, Estimate] = {}
    if "fid" in only:
        out["fid"] = defined(partial(measure_fid, real, synthetic), n, "lower")
    if "kid" in only:
        out["kid"] = defined(every, n, "lower")
    shares = [name for name in only if name in MANIFOLD]
    return out | (_manifold(real, synthetic, shares, seed, replicates) if shares else {})


def _manifold(real: Array, synthetic: Array, names: Sequence[str], seed: int, replicates: int) -> dict[str, Estimate]:
    try:
        found = prdc(real, synthetic, NEIGHBOURS)
    except UndefinedMetric as error:
        reason = str(error).removeprefix(PREFIX)
        return {name: Estimate.undefined(reason, n=len(real), direction="higher") for name in names}
    return {name: _of_manifold(found, name, len(real), seed, replicates) for name in names}


def measure_fid(real: Features, synthetic: Features) -> Estimate:
    x, y = features(real, "held_out", least=4), features(synthetic, "synthetic", least=4)
    found, se = frechet_with_se(x, y)
    low, high = max(0.0, found.raw - Z95 * se), max(0.0, found.raw + Z95 * se)
    method = "ddof 1; infinitesimal jackknife"
    return Estimate(float(found), low, high, len(x), "", "lower", method, extra={"raw": found.raw, "se": se})


def measure_kid(
    real: Features, synthetic: Features, groups: Strings | None = None, synthetic_groups: Strings | None = None
) -> Estimate:
    """KID of all images, pairs of one group left out; ``n`` counts the real ones, ``extra`` both sides and groups."""
    found: Kernel = kernel_distance(real, synthetic, groups, synthetic_groups)
    low, high = float(found) - Z95 * found.se, float(found) + Z95 * found.se
    extra: dict[str, Any] = {"se": found.se, "n_synthetic": len(synthetic)}
    distinct = len(real) if groups is None else len(np.unique(groups))
    if distinct < len(real):
        extra["groups"] = distinct
    method = OF_GROUPS if distinct < len(real) else OF_IMAGES
    return Estimate(float(found), low, high, len(real), "", "lower", method, extra=extra)


def _of_manifold(found: PRDC, name: str, n: int, seed: int, replicates: int) -> Estimate:
    each: Array = {
        "precision": found.in_real,
        "density": found.density_of,
        "recall": found.in_synthetic,
        "coverage": found.covered,
    }[name].astype(np.float64)
    low, high = _mean_interval(each, seed, replicates)
    over = "synthetic" if name in ("precision", "density") else "held-out"
    method = f"k = {found.k}, ties {found.ties}; bootstrap over {over} images with fixed balls"
    extra = {"se": float(np.std(each) / np.sqrt(len(each)))}
    return Estimate(found[name], low, high, n, "", "higher", method, extra=extra)


def _mean_interval(values: Float, seed: int, replicates: int) -> tuple[float, float]:
    """Percentile bootstrap limits of a mean; Clopper-Pearson limits where all values are 0 or all are 1."""
    if np.ptp(values) == 0 and values[0] in (0.0, 1.0):
        from bench.stats import proportion_interval

        return proportion_interval(int(values.sum()), len(values), "clopper-pearson")
    kinds, of = np.unique(values, return_inverse=True)
    rng = np.random.default_rng(seed)
    means = draw_counts(rng, len(values), np.sort(of), len(kinds), replicates) @ kinds / len(values)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def measure_class(
    real: Array, synthetic: Array, name: str, seed: int, replicates: int, groups: Strings | None = None
) -> dict[str, Estimate]:
    """Class-conditional fidelity, undefined where a class has too few images to be measured; ``groups`` of ``real``."""
    directions: dict[str, Direction] = {m: "lower" if m in ("fid", "kid") else "higher" for m in BY_CLASS}
    n = min(len(real), len(synthetic))
    if len(synthetic) == 0 and len(real) > 0:
        absent = Estimate(0.0, 0.0, 0.0, len(real), "", "higher", f"no synthetic image of class {name}")
        reason = f"no synthetic image is of class {name}"
        others = {m: Estimate.undefined(reason, n=0, direction=d) for m, d in directions.items()}
        return others | {"coverage": absent}
    if n < LEAST_PER_CLASS:
        reason = f"class {name} has n = {n} and at least {LEAST_PER_CLASS} are needed"
        return {metric: Estimate.undefined(reason, n=n, direction=d) for metric, d in directions.items()}
    x, y, _ = equal_n(real, synthetic, seed)
    found = measure_fidelity(real, synthetic, seed, replicates, groups=groups)
    return found | {"realism": defined(partial(measure_realism, x, y, seed, replicates=replicates), n, "higher")}


def equal_n(real: Array, synthetic: Array, seed: int) -> tuple[Array, Array, int]:
    """Both sets [n, D] at n = min of the two sizes, in canonical order; the larger one loses random rows (seeded)."""
    real, synthetic = in_canonical_order(real), in_canonical_order(synthetic)
    n = min(len(real), len(synthetic))
    rng = np.random.default_rng(seed)
    return subsample(real, n, rng), subsample(synthetic, n, rng), n


def subsample(rows: Array, n: int, rng: np.random.Generator) -> Array:
    """``n`` random rows of ``rows`` [N, ...] in their order; all of them, and no random number, at n = N."""
    if n == len(rows):
        return rows
    chosen: Int = np.sort(rng.choice(len(rows), n, replace=False))
    return rows[chosen]
