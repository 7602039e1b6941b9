"""Claims 1, 2, 6, 8, 9, 11 and 13: what the metrics of fidelity must say of controls."""

from __future__ import annotations

import numpy as np

from bench.metrics.arrays import Features
from bench.metrics.features import pixel_features
from bench.metrics.frechet import frechet_distance, frechet_se
from bench.metrics.kernel import kernel_distance
from bench.metrics.memorization import authenticity
from bench.metrics.prdc import PRDC, prdc
from bench.metrics.privacy import GATE
from bench.selfcheck.check import Verdict, all_of, claim
from bench.selfcheck.ground import Ground

NEAR_ZERO = 0.05
NEARLY_NONE = 0.01
SPLITS = 12
SIGMAS = (1 / 32, 1 / 16, 1 / 8, 1 / 4)  # of the side: 1, 2, 4 and 8 pixels at 32


@claim(1, "FID against train prefers copies to real images", "fid")
def fid_against_train(ground: Ground) -> Verdict:
    """That is why fidelity is measured against held-out images."""
    train = ground.x("train")
    copy, oracle = (float(frechet_distance(train, ground.draw(c).x)) for c in ("copy", "oracle"))
    return Verdict(copy < oracle, f"copy {copy:.4g}, oracle {oracle:.4g}", "copy < oracle", _named(copy, oracle))


@claim(2, "FID against held-out does not prefer copies", "fid")
def fid_against_held_out(ground: Ground) -> Verdict:
    """|copy - oracle| within 3 SE (infinitesimal jackknife of both distances)."""
    held_out = ground.x("held_out")
    drawn = [ground.draw(c).x for c in ("copy", "oracle")]
    copy, oracle = (float(frechet_distance(held_out, x)) for x in drawn)
    noise = 3 * fid_error(held_out, *drawn)
    observed = f"copy {copy:.4g}, oracle {oracle:.4g}"
    values = _named(copy, oracle) | {"noise": noise}
    return Verdict(abs(copy - oracle) <= noise, observed, f"apart by at most {noise:.2g}", values)


def fid_error(real: Features, *sets: Features) -> float:
    """Standard error of a difference of the Fréchet distances of ``sets`` [M, D] to ``real`` [N, D] (jackknife)."""
    return float(np.sqrt(sum(frechet_se(real, x) ** 2 for x in sets)))


def _named(copy: float, oracle: float) -> dict[str, float]:
    return {"copy": copy, "oracle": oracle}


@claim(6, "collapse: recall and coverage near 0, whatever precision says", "recall", "coverage")
def collapse(ground: Ground) -> Verdict:
    """One training image again and again."""
    found = prdc(ground.x("held_out"), ground.draw("collapse").x)
    clauses = {name: found[name] <= NEAR_ZERO for name in ("recall", "coverage")}
    return all_of(clauses, _shares(found), f"recall, coverage ≤ {NEAR_ZERO:g}", _values(found))


@claim(8, "noise: precision, recall and coverage 0", "precision", "recall", "coverage")
def noise(ground: Ground) -> Verdict:
    """Recall is not 0 where noise images, far from each other, have balls so large that reals lie in them.

    A learned space may put a noise image into the ball of an outlier: a share of NEARLY_NONE is let pass, and told.
    """
    found = prdc(ground.x("held_out"), ground.draw("noise").x)
    names = ("precision", "recall", "coverage")
    clauses = {name: found[name] <= NEARLY_NONE for name in names}
    nearly = [name for name in names if 0 < found[name] <= NEARLY_NONE]
    note = f"near 0, but not 0: {', '.join(nearly)}" if nearly else ""
    return all_of(clauses, _shares(found), f"0 (at most {NEARLY_NONE:g})", _values(found), note)


def _shares(found: PRDC) -> str:
    return f"precision {found.precision:.3f}, recall {found.recall:.3f}, coverage {found.coverage:.3f}"


def _values(found: PRDC) -> dict[str, float]:
    return {name: found[name] for name in ("precision", "recall", "density", "coverage")}


@claim(9, "blur: FID rises with it, authenticity too, and fidelity gives it away", "fid", "authenticity")
def blur(ground: Ground) -> Verdict:
    """Blurred copies seem the more private the worse they are. Where authenticity has left 0, FID must show it."""
    held_out, train = ground.x("held_out"), ground.x("train")
    blurred = [ground.draw("copy-blur", sigma=share * ground.train.size[0]).x for share in SIGMAS]
    fids = [float(frechet_distance(held_out, x)) for x in (ground.draw("copy").x, *blurred)]
    authentic = [float(authenticity(train, x)) for x in (ground.draw("copy").x, *blurred)]
    noise = 3 * fid_error(held_out, train, blurred[0])
    floor = fids[0] + noise
    given_away = all(fid > floor for fid, share in zip(fids, authentic, strict=True) if share > NEAR_ZERO)
    precision = prdc(held_out, blurred[-1]).precision
    clauses = {
        "fid": bool(np.all(np.diff(fids[1:]) > 0)) and fids[1] > fids[0] - noise and fids[-1] > floor and given_away,
        "authenticity": bool(np.all(np.diff(authentic) >= 0)) and authentic[-1] > authentic[0],
    }
    shown = f"FID {', '.join(f'{v:.3g}' for v in fids)}; authenticity {', '.join(f'{v:.2f}' for v in authentic)}"
    values = {f"fid_{i}": v for i, v in enumerate(fids)} | {f"authenticity_{i}": v for i, v in enumerate(authentic)}
    values |= {"precision": precision, "gate_closes": float(precision < GATE), "given_away": float(given_away)}
    state = "closes" if precision < GATE else "stays open"
    note = (
        f"the gate of memorization (precision < {GATE:g}) {state}: precision of the strongest blur is {precision:.2f}"
    )
    return all_of(clauses, shown, "both rise; FID beyond its floor where authenticity is", values, note)


@claim(11, "a Gaussian of pixels fools FID in pixel space; KID and precision catch it", "kid", "precision")
def gaussian(ground: Ground) -> Verdict:
    """Fooled: by FID in pixel space the Gaussian is nearer to train than real images are. Caught: beyond 3 SE."""
    made, held_out = ground.draw("pca-gaussian"), ground.x("held_out")
    train, own, real = (pixel_features(p) for p in (ground.train.pixels, made.pixels, ground.oracle.pixels))
    fid, oracle_fid = (float(frechet_distance(train, x)) for x in (own, real))
    kid, caught = kernel_distance(held_out, made.x), prdc(held_out, made.x).precision
    oracle = prdc(held_out, ground.x("oracle")).precision
    se = float(np.sqrt((caught * (1 - caught) + oracle * (1 - oracle)) / ground.n))
    clauses = {"fid": fid < oracle_fid, "kid": kid > 3 * kid.se, "precision": oracle - caught > 3 * se}
    observed = f"pixel FID to train {fid:.3g} (oracle {oracle_fid:.3g}); KID {float(kid):.2g} ± {3 * kid.se:.2g}; "
    observed += f"precision {caught:.2f} (oracle {oracle:.2f} ± {3 * se:.2f})"
    values = {"fid": fid, "oracle_fid": oracle_fid, "kid": float(kid), "kid_se": kid.se}
    values |= {"precision": caught, "oracle_precision": oracle}
    return all_of(clauses, observed, "FID < oracle; KID > 0 and precision < oracle beyond 3 SE", values)


@claim(13, "KID of real images is 0, may be negative and is not clipped", "kid")
def kid_of_real_images(ground: Ground) -> Verdict:
    """Held-out and oracle images are shuffled and halved SPLITS times: |KID| ≤ 3 SE each time, some below 0."""
    pool = np.concatenate([ground.x("held_out"), ground.x("oracle")])
    rng = np.random.default_rng(0)
    values, z = [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(pool))
        found = kernel_distance(pool[order[: ground.n]], pool[order[ground.n :]])
        values.append(float(found))
        z.append(float(found) / found.se)
    direct = kernel_distance(ground.x("held_out"), ground.draw("oracle").x)
    z.append(float(direct) / direct.se)
    negative = sum(v < 0 for v in values)
    return Verdict(
        max(map(abs, z)) <= 3 and negative > 0,
        f"oracle {float(direct):.2g} ± {3 * direct.se:.2g}; {negative} of {SPLITS} random splits below 0",
        "0 ± 3 SE, some below 0",
        {"oracle": float(direct), "oracle_z": z[-1], "worst_z": max(z, key=abs), "negative": float(negative)},
    )
