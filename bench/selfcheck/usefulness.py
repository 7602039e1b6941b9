"""Claims 10, 15, 16 and 20: what images are worth to train on, and how two trained classifiers are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels
from bench.metrics.arrays import Features, Float
from bench.metrics.frechet import frechet_distance
from bench.selfcheck.check import Verdict, all_of, claim
from bench.selfcheck.fidelity import fid_error
from bench.selfcheck.ground import Ground
from bench.selfcheck.probe import probe_scores
from bench.stats import ArmDifference, delong, delong_paired, mcnemar, two_level_bootstrap

SEEDS, SEEDS_OF_COPIES = 5, 10  # few seeds make wide intervals: too wide to tell that copies add nothing
REPLICATES = 4000
ALPHA = 0.0027  # 3 SE, as in the rest of the list
RIVALS = ("copy", "copy-flip", "copy-blur", "mixup", "pca-gaussian", "noise")


@claim(10, "mixtures of two: bad FID and yet useful, so both axes stay", "fid", "tstr auc")
def mixtures(ground: Ground) -> Verdict:
    """FID beyond the oracle's by 3 SE; the AUC of a probe trained on mixtures alone beyond .5 by 3 SE."""
    held_out, mixed = ground.x("held_out"), ground.draw("mixup")
    fids = [float(frechet_distance(held_out, x)) for x in (mixed.x, ground.x("oracle"))]
    se = fid_error(held_out, mixed.x, ground.x("oracle"))
    y = ground.judge.labels == ground.positive
    found = delong(y, probe_scores(mixed.x, mixed.labels, ground.positive, ground.x("judge")))
    clauses = {"fid": fids[0] - fids[1] > 3 * se, "tstr auc": found.auc - 0.5 > 3 * found.se}
    observed = f"FID {fids[0]:.3g} (oracle {fids[1]:.3g}); TSTR AUC {found.auc:.3f} ± {3 * found.se:.3f}"
    values = {"fid": fids[0], "oracle_fid": fids[1], "fid_se": se, "auc": found.auc, "auc_se": found.se}
    return all_of(clauses, observed, "FID > oracle, AUC > .5, by 3 SE", values)


@claim(15, "adding copies is oversampling", "augmented auc")
def copies_are_oversampling(ground: Ground) -> Verdict:
    """Half as many copies against half as many repeated training images, ten paired seeds: the interval holds 0."""
    found = difference(ground, "copy", None, SEEDS_OF_COPIES)
    observed = f"AUC difference {found.value:+z.4f} [{found.low:+z.4f}, {found.high:+z.4f}]"
    return Verdict(found.low <= 0 <= found.high, observed, "0 in the interval", _interval(found))


@claim(16, "adding real images is at least as good as adding any generator's, else look for a leak", "augmented auc")
def oracle_is_best(ground: Ground) -> Verdict:
    """No control of RIVALS beats the oracle beyond the interval (SEEDS paired seeds, two-level bootstrap)."""
    gaps = {rival: difference(ground, "oracle", rival) for rival in RIVALS}
    worst = min(gaps, key=lambda rival: gaps[rival].high)
    better = [rival for rival, gap in gaps.items() if gap.high < 0]
    note = f"check for a leak: {', '.join(better)} beat held-out real images" if better else ""
    observed = "oracle - " + ", ".join(f"{rival} {gap.value:+z.3f}" for rival, gap in gaps.items())
    observed += f"; lowest upper limit {gaps[worst].high:+z.3f} ({worst})"
    values = {rival: gap.value for rival, gap in gaps.items()} | {"lowest_high": gaps[worst].high}
    return Verdict(not better, observed, "no upper limit below 0", values, note)


def difference(ground: Ground, first: str, second: str | None, seeds: int = SEEDS) -> ArmDifference:
    """AUC of train + images of control ``first`` minus train + images of ``second`` (None: oversampling), by seeds."""
    y = ground.judge.labels == ground.positive
    a, b = (np.stack([_augmented(ground, control, seed) for seed in range(seeds)]) for control in (first, second))
    return two_level_bootstrap(y, a, b, groups=ground.judge.groups, replicates=REPLICATES, seed=0, alpha=ALPHA)


def _augmented(ground: Ground, control: str | None, seed: int) -> Float:
    """Scores float64 [N] on ``judge`` of a probe trained on train and half as many images more, of the same shares."""
    rng = np.random.default_rng(seed)
    labels = ground.labels[np.sort(rng.permutation(ground.n)[: ground.n // 2])]
    extra = _repeats(ground, labels, rng) if control is None else ground.draw(control, labels, seed=seed).x
    x: Features = np.concatenate([ground.x("train"), extra])
    return probe_scores(x, np.concatenate([ground.labels, labels]), ground.positive, ground.x("judge"))


def _repeats(ground: Ground, labels: Labels, rng: np.random.Generator) -> Features:
    rows: NDArray[np.int64] = np.array([rng.choice(np.flatnonzero(ground.labels == k)) for k in labels], dtype=np.int64)
    return ground.x("train")[rows]


def _interval(found: ArmDifference) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


@claim(20, "identical classifiers give p = 1; swapping two arms flips only the sign", "comparison of arms")
def comparisons(ground: Ground) -> Verdict:
    """DeLong, McNemar and the two-level bootstrap on probes trained on real images and on mixtures."""
    y = ground.judge.labels == ground.positive
    drawn = [(ground.x("train"), ground.labels), (ground.draw("mixup").x, ground.draw("mixup").labels)]
    a, b = (probe_scores(x, labels, ground.positive, ground.x("judge")) for x, labels in drawn)
    calls = [scores > np.median(scores) for scores in (a, b)]
    same = [
        delong_paired(y, a, a).p,
        mcnemar(y, calls[0], calls[0]).p,
        two_level_bootstrap(y, a[None], a[None], replicates=REPLICATES).p,
    ]
    there, back = delong_paired(y, a, b), delong_paired(y, b, a)
    there_m, back_m = mcnemar(y, *calls), mcnemar(y, *calls[::-1])
    there_b, back_b = (two_level_bootstrap(y, p[None], q[None], replicates=REPLICATES) for p, q in ((a, b), (b, a)))
    flips = (
        (there.difference, there.p) == (-back.difference, back.p)
        and (there_m.only_a, there_m.only_b, there_m.p) == (back_m.only_b, back_m.only_a, back_m.p)
        and np.isclose(there_b.value, -back_b.value, rtol=0, atol=1e-12)
        and np.allclose([there_b.low, there_b.high], [-back_b.high, -back_b.low], rtol=0, atol=1e-12)
        and there_b.p == back_b.p
    )
    observed = f"identical: p = {', '.join(f'{p:g}' for p in same)}; swapped: {there.difference:+z.4f} and "
    observed += f"{back.difference:+z.4f}, p = {there.p:.3g} and {back.p:.3g}"
    values = {"difference": there.difference, "p": there.p, "lowest_p_of_identical": min(same)}
    return Verdict(all(p == 1 for p in same) and bool(flips), observed, "p = 1; only the sign differs", values)
