"""Everything the tables say of one classifier on one evaluation split, each number with its interval."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench import stats
from bench.contracts import Direction, Estimate, PredictionEvidence, Threshold
from bench.errors import DataError
from bench.metrics.arrays import Bool, Float
from bench.metrics.estimates import defined
from bench.stats import calibration
from bench.stats.bootstrap import Bootstrapped, auc_bootstrap, bootstrap_statistics, share_bootstrap
from bench.stats.checks import group_codes
from bench.stats.resample import Statistic
from bench.stats.weighted import average_precision_of, calibration_error_of, mean_of, partial_auc_of

SHARES = ("sensitivity", "specificity", "accuracy")


def measure_predictions(evidence: PredictionEvidence, seed: int, replicates: int = 10_000) -> dict[str, Estimate]:
    """All metrics of one set of predictions: name -> estimate, undefined ones with their reason.

    "auc" (DeLong, logit limits); for each threshold rule "sensitivity@RULE", "specificity@RULE", "accuracy@RULE"
    (bootstrap stratified by class and clustered by group, Wilson limits in ``extra``, Clopper-Pearson limits at 0 and
    1); "pauc80", "average_precision", "brier", "log_loss", "ece"; "specificity@test-sens90|95" with the cut chosen on
    these very cases; with more than two classes "auc[CLASS]" one-vs-rest and "auc_macro".
    """
    labels = np.asarray(evidence.y) == evidence.positive
    score = positive_score(evidence)
    out = {"auc": measure_auc(labels, score, evidence.groups, seed, replicates)}
    for rule, threshold in evidence.thresholds.items():
        out |= measure_threshold(labels, score, evidence.groups, threshold, rule, seed, replicates)
    fewer = min(replicates, 2_000)
    out |= measure_ranking(labels, score, evidence.groups, seed, fewer)
    out |= measure_calibration(labels, score, evidence.groups, seed, fewer)
    for target in (0.9, 0.95):
        name = f"specificity@test-sens{round(100 * target)}"
        out[name] = defined(partial(_specificity, labels, score, target), len(labels), "higher")
    if len(evidence.class_names) > 2:
        out |= _one_versus_rest(evidence, seed, replicates)
    return out


def measure_auc(labels: Bool, score: Float, groups: Any, seed: int, replicates: int) -> Estimate:
    """AUC of score [N] for labels bool [N]; limits by DeLong on the logit scale, clustered bootstrap in ``extra``."""
    return defined(partial(_auc, labels, score, groups, seed, replicates), len(labels), "higher")


def _auc(labels: Bool, score: Float, groups: Any, seed: int, replicates: int) -> Estimate:
    found = stats.delong(labels, score)
    extra: dict[str, Any] = {"positives": int(labels.sum()), "negatives": int((~labels).sum()), "se": found.se}
    if np.ptp(score) == 0:
        extra["note"] = "all scores are equal: the classifier does not tell cases apart"
        return Estimate(found.auc, None, None, len(labels), "", "higher", "no interval: constant scores", extra=extra)
    boot = auc_bootstrap(labels, score, group_codes(groups, len(labels)), replicates, seed)
    extra["bootstrap"] = {"low": boot.low, "high": boot.high, "se": boot.se, "replicates": replicates, "seed": seed}
    if found.auc in (0.0, 1.0):
        smaller = min(extra["positives"], extra["negatives"])
        low, high = stats.proportion_interval(round(found.auc * smaller), smaller, "clopper-pearson")
        method = "Clopper-Pearson on the smaller class"
    else:
        low, high, method = found.logit_low, found.logit_high, "DeLong, logit"
    return Estimate(found.auc, low, high, len(labels), "", "higher", method, extra=extra)


def measure_threshold(
    labels: Bool, score: Float, groups: Any, threshold: Threshold, rule: str, seed: int, replicates: int
) -> dict[str, Estimate]:
    """Sensitivity, specificity and accuracy at ``threshold``, named NAME@RULE."""
    right = (score >= threshold.value) == labels
    boot = share_bootstrap(labels, right, group_codes(groups, len(labels)), replicates, seed)
    masks = {"sensitivity": labels, "specificity": ~labels, "accuracy": np.ones(len(labels), dtype=bool)}
    cut = {
        "rule": rule,
        "threshold": threshold.value,
        "split": threshold.split,
        "split_checksum": threshold.split_checksum,
    }
    return {
        f"{name}@{rule}": _share(right[masks[name]], boot.get(name), name, groups is not None, cut) for name in SHARES
    }


def _share(right: Bool, boot: Bootstrapped | None, name: str, clustered: bool, cut: dict[str, Any]) -> Estimate:
    k, n = int(right.sum()), len(right)
    if boot is None:
        absent = "positive" if name == "sensitivity" else "negative"
        return Estimate.undefined(f"no case is {absent}", n=0, direction="higher")
    wilson = stats.proportion_interval(k, n)
    extra = {"k": k, "wilson": list(wilson), "se": boot.se, **cut}
    if k in (0, n):
        low, high = stats.proportion_interval(k, n, "clopper-pearson")
        return Estimate(k / n, low, high, n, "", "higher", "Clopper-Pearson", extra=extra)
    kind = "stratified, clustered" if clustered else "stratified"
    method = f"bootstrap, {kind}, {len(boot.replicates)} replicates"
    return Estimate(k / n, boot.low, boot.high, n, "", "higher", method, extra=extra)


def measure_ranking(
    labels: Bool, score: Float, groups: Any, seed: int, replicates: int, only: str | None = None
) -> dict[str, Estimate]:
    """Metrics "pauc80" and "average_precision" with clustered bootstrap limits, or ``only`` one of them."""
    makers = {"pauc80": partial_auc_of, "average_precision": average_precision_of}
    chosen = {name: make for name, make in makers.items() if only in (None, name)}
    if labels.all() or not labels.any():
        return {name: Estimate.undefined("one class is absent", n=len(labels), direction="higher") for name in chosen}
    statistics = {name: make(labels, score) for name, make in chosen.items()}
    return _bootstrapped(labels, statistics, groups, seed, replicates, "higher")


def measure_calibration(
    labels: Bool, score: Float, groups: Any, seed: int, replicates: int, only: str | None = None
) -> dict[str, Estimate]:
    """Metrics "brier", "log_loss" and "ece" with clustered bootstrap limits, or ``only`` one of them."""
    makers: dict[str, Callable[[], Statistic]] = {
        "brier": lambda: mean_of(calibration.brier_terms(labels, score)),
        "log_loss": lambda: mean_of(calibration.log_loss_terms(labels, score)),
        "ece": lambda: calibration_error_of(labels, score),
    }
    chosen = {name: make for name, make in makers.items() if only in (None, name)}
    if np.any((score < 0) | (score > 1)):
        reason = "the scores are not probabilities"
        return {name: Estimate.undefined(reason, n=len(labels), direction="lower") for name in chosen}
    return _bootstrapped(labels, {name: make() for name, make in chosen.items()}, groups, seed, replicates, "lower")


def _bootstrapped(
    labels: Bool, statistics: dict[str, Statistic], groups: Any, seed: int, replicates: int, direction: Direction
) -> dict[str, Estimate]:
    n = len(labels)
    method = f"bootstrap, stratified{'' if groups is None else ', clustered'}, {replicates} replicates"
    found = bootstrap_statistics(labels, statistics, group_codes(groups, n), replicates, seed)
    return {
        name: Estimate(b.value, b.low, b.high, n, "", direction, method, extra={"se": b.se})
        for name, b in found.items()
    }


def _specificity(labels: Bool, score: Float, target: float) -> Estimate:
    value = stats.specificity_at_sensitivity(labels, score, target)
    negatives = int((~labels).sum())
    low, high = stats.proportion_interval(round(value * negatives), negatives)
    note = "the cut is chosen on these cases: for an operating result see the rules fitted elsewhere"
    return Estimate(value, low, high, negatives, "", "higher", "Wilson given the cut", extra={"note": note})


def _one_versus_rest(evidence: PredictionEvidence, seed: int, replicates: int) -> dict[str, Estimate]:
    """AUC of each class against all others, and their unweighted mean over the classes that have one."""
    out = {
        f"auc[{name}]": measure_auc(
            np.asarray(evidence.y) == c, evidence.scores[:, c].astype(np.float64), evidence.groups, seed, replicates
        )
        for c, name in enumerate(evidence.class_names)
    }
    missing = [name for name, e in out.items() if e.value is None]
    if missing:
        reason = f"{', '.join(missing)} is undefined"
        return out | {"auc_macro": Estimate.undefined(reason, n=len(evidence.y), direction="higher")}
    return out | {"auc_macro": defined(partial(_macro, evidence), len(evidence.y), "higher")}


def _macro(evidence: PredictionEvidence) -> Estimate:
    found = stats.macro_auc(evidence.y, evidence.scores, evidence.groups)
    extra = {"se": found.se, "clustered_se": found.clustered_se}
    method = "mean one-vs-rest; DeLong over all classes, logit"
    return Estimate(found.value, found.low, found.high, len(evidence.y), "", "higher", method, extra=extra)


def positive_score(evidence: PredictionEvidence) -> Float:
    scores = np.asarray(evidence.scores)
    if scores.ndim != 2 or scores.shape != (len(evidence.y), len(evidence.class_names)):
        expected = (len(evidence.y), len(evidence.class_names))
        raise DataError(f"scores have shape {scores.shape}, expected [cases, classes] = {expected}")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        raise DataError(f"the scores of image {evidence.ids[row]} are not finite: the classifier did not converge")
    return scores[:, evidence.positive].astype(np.float64)
