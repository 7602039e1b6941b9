"""Membership inference by loss (Yeom et al. 2018, arXiv:1709.01604): does a model fit its training images better?

Score of an image: minus its loss. What is asked is how well that tells training images from held-out ones: AUC .5 and
a true positive rate of 1 % at 1 % false positives say "not at all". The rate at a low false positive rate is what
counts (Carlini et al. 2022, arXiv:2112.03570): a few images given away are a leak that an AUC averages out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from bench.capabilities import HasLoss
from bench.contracts import Context, Estimate, Images
from bench.errors import ConfigError, UndefinedMetric
from bench.metrics.arrays import Bool, Float
from bench.metrics.classification import measure_auc
from bench.metrics.estimates import defined
from bench.stats import proportion_interval
from bench.stats.checks import finite_scores

NAMES = ("membership_auc", "membership_tpr01")


def membership_inference(
    train_losses: ArrayLike, held_out_losses: ArrayLike, fpr: float = 0.01, seed: int = 0, replicates: int = 2_000
) -> dict[str, Estimate]:
    """Estimates "membership_auc" and "membership_tpr01" from losses of train [T] and held-out [H] images.

    AUC: DeLong, logit limits. TPR: share of train with a loss below the ``fpr`` quantile of the held-out losses
    (lowest of tied quantiles, so at most ``fpr`` of held-out are called members); bootstrap over both sides,
    Clopper-Pearson given the cut at 0 and 1. Undefined with fewer held-out images than 1 / ``fpr``. Raises
    :class:`DataError` on NaN.
    """
    if not 0 < fpr < 1:
        raise ConfigError(f"fpr must lie in (0, 1), got {fpr}")
    members = np.sort(finite_scores(train_losses, np.size(train_losses), "losses of train"))
    others = np.sort(finite_scores(held_out_losses, np.size(held_out_losses), "losses of held-out"))
    n = len(members) + len(others)
    labels = np.arange(n) < len(members)
    score = -np.concatenate([members, others])
    auc = defined(lambda: _auc(labels, score, seed, replicates), n, "lower")
    tpr = defined(partial(_rate, members, others, fpr, seed, replicates), len(members), "lower")
    return {"membership_auc": auc, "membership_tpr01" if fpr == 0.01 else f"membership_tpr@{fpr:g}": tpr}


def measure_membership(
    generator: HasLoss, train: Images, held_out: Images, ctx: Context, fpr: float = 0.01
) -> dict[str, Estimate]:
    """:func:`membership_inference` on the losses of ``generator``; ``train`` must be what it was fitted on."""
    of_train, of_held_out = generator.losses(train, ctx), generator.losses(held_out, ctx)
    return membership_inference(of_train, of_held_out, fpr=fpr, seed=ctx.seed)


def _auc(labels: Bool, score: Float, seed: int, replicates: int) -> Estimate:
    if not len(labels):
        raise UndefinedMetric("undefined, because there are no losses (n = 0)")
    found = measure_auc(labels, score, None, seed, replicates)
    return replace(found, direction="lower", extra={**found.extra, "null": 0.5})


def _rate(members: Float, others: Float, fpr: float, seed: int, replicates: int) -> Estimate:
    if len(others) * fpr < 1:
        least = round(1 / fpr)
        raise UndefinedMetric(f"undefined, because a {fpr:g} quantile needs {least} held-out images, n = {len(others)}")
    if not len(members):
        raise UndefinedMetric("undefined, because there are no losses of training images (n = 0)")
    cut = float(np.quantile(others, fpr, method="inverted_cdf"))
    k, n = int(np.sum(members < cut)), len(members)
    extra = {"k": k, "threshold": cut, "null": float(np.mean(others < cut)), "n_held_out": len(others)}
    if k in (0, n):
        low, high = proportion_interval(k, n, "clopper-pearson")
        return Estimate(k / n, low, high, n, "", "lower", "Clopper-Pearson given the cut", extra=extra)
    rng = np.random.default_rng(seed)
    shares = np.empty(replicates)
    for b in range(replicates):
        drawn = np.quantile(others[rng.integers(0, len(others), len(others))], fpr, method="inverted_cdf")
        below = int(np.searchsorted(members, drawn))
        shares[b] = rng.binomial(n, below / n) / n  # resampling members only asks how many lie below the cut
    low, high = np.quantile(shares, [0.025, 0.975])
    method = f"loss below the {fpr:g} quantile of held-out; bootstrap over both, {replicates} replicates"
    return Estimate(k / n, float(low), float(high), n, "", "lower", method, extra=extra)
