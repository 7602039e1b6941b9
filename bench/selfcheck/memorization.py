"""Claims 3 to 5: what the metrics of memorization must say of copies, of noise and of real images."""

from __future__ import annotations

import numpy as np

from bench.metrics.arrays import Features
from bench.metrics.memorization import authenticity, copy_rate, nearest, share_nearer_train
from bench.selfcheck.check import Verdict, claim
from bench.selfcheck.ground import Ground

FPR = 0.01
SHARES = (0.05, 0.1, 0.2, 0.4)


@claim(3, "authenticity: copies 0, noise 1, held-out reals at the null", "authenticity")
def authenticity_of_controls(ground: Ground) -> Verdict:
    """Null: authenticity of ``held_out``. SE: two binomial shares, given train."""
    train = ground.x("train")
    copy, noise, oracle = (float(authenticity(train, ground.draw(c).x)) for c in ("copy", "noise", "oracle"))
    null = float(authenticity(train, ground.x("held_out")))
    se = float(np.sqrt(2 * null * (1 - null) / ground.n))
    return Verdict(
        copy == 0 and noise == 1 and abs(oracle - null) <= 3 * se,
        f"copy {copy:.3f}, noise {noise:.3f}, oracle {oracle:.3f}",
        f"0, 1, {null:.3f} ± {3 * se:.3f}",
        {"copy": copy, "noise": noise, "oracle": oracle, "null": null, "se": se},
    )


@claim(4, "share nearer train: copies 1, held-out reals .5", "share_nearer_train")
def share_nearer_train_of_controls(ground: Ground) -> Verdict:
    """SE: that of exchanging train and held-out images at random; see :func:`exchange_se`."""
    train, held_out, oracle = (ground.x(part) for part in ("train", "held_out", "oracle"))
    copied = float(share_nearer_train(train, held_out, ground.draw("copy").x))
    share = float(share_nearer_train(train, held_out, oracle))
    se, binomial = exchange_se(train, held_out, oracle), float(np.sqrt(0.25 / ground.n))
    return Verdict(
        copied == 1 and abs(share - 0.5) <= 3 * se,
        f"copy {copied:.3f}, oracle {share:.3f}",
        f"1, .5 ± {3 * se:.3f}",
        {"copy": copied, "oracle": share, "se": se, "binomial_se": binomial},
        f"SE of exchanging train and held-out: {se:.3f}; a binomial one, as if images were apart: {binomial:.3f}",
    )


def exchange_se(train: Features, held_out: Features, images: Features) -> float:
    """Standard error of the share of ``images`` [M, D] nearer to train [n, D] than to as many held-out reals [n, D].

    If both are draws of one distribution, which real image belongs to which is chance. Images whose nearest real image
    is the same one fall to the same side, so in high dimensions, where a few images are near to many, the share
    varies more than a binomial one: Var = n² S² / (2n M²), S² the variance of the number of images per real one.
    """
    pool = np.concatenate([train, held_out])
    followers = np.bincount(nearest(images, pool).rows, minlength=len(pool))
    return float(np.sqrt(len(train) * len(held_out) / len(pool) * np.var(followers, ddof=1)) / len(images))


@claim(5, "copy rate: held-out reals at most 1 %, planted copies recovered, monotone", "copy_rate")
def copy_rate_recovers_planted_shares(ground: Ground) -> Verdict:
    """Rate expected of a planted share p: p + (1 - p) 1 %; SE: that of the 1 %, in both real sets."""
    train, held_out = ground.x("train"), ground.x("held_out")
    rates, errors, values = [], [], {}
    for share in (0.0, *SHARES):
        drawn = ground.draw("oracle-copies", share=share)
        assert drawn.parents is not None
        planted = float(np.mean(drawn.parents != ""))
        rate = float(copy_rate(train, held_out, drawn.x, FPR))
        se = (1 - planted) * np.sqrt(FPR * (1 - FPR) * (1 / len(held_out) + 1 / ((1 - planted) * ground.n)))
        errors.append((rate - planted - (1 - planted) * FPR) / se)
        rates.append(rate)
        values[f"rate_{share:g}"] = rate
    recovered = errors[0] <= 3 and all(abs(z) <= 3 for z in errors[1:])
    monotone = bool(np.all(np.diff(rates) > 0))
    found = ", ".join(f"{share:.0%}: {rate:.1%}" for share, rate in zip((0.0, *SHARES), rates, strict=True))
    worst = max(map(abs, errors))
    return Verdict(
        recovered and monotone,
        f"{found} (worst {worst:.1f} SE)",
        "planted + 1 % of the rest, within 3 SE",
        values | {"worst_z": float(worst), "monotone": float(monotone)},
    )
