"""Checks of a record against its stored predictions: what was recorded must come out again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.contracts import Estimate, PredictionEvidence, Threshold
from bench.errors import BenchError
from bench.record import ArmRecord, EstimateRecord, Record, ThresholdRecord
from leaderboard.evidence import THRESHOLD_SPLIT, Evidence, Problem
from leaderboard.load import Predictions

EXACT = 1e-9  # sums in another order on another machine; far below the last printed digit
OTHER_STREAM = 0.15  # share of its width by which a bootstrap bound may move under another numpy's random stream
DRAWN = ("low", "high", "se")  # what depends on the random stream in an estimate from a bootstrap


def random_slack(record: Record) -> float:
    """How far numbers from a bootstrap may lie apart, as a share of the interval's width: 0 under the same numpy."""
    return 0.0 if record.environment.packages.get("numpy") == np.__version__ else OTHER_STREAM


def check_thresholds(evidence: Evidence) -> Iterator[Problem]:
    """Thresholds carry the checksum of this split's val_thresh part and follow from the predictions on it."""
    record = evidence.entry.record
    fitted = {(arm.name, arm.seed): predictions for arm, predictions in evidence.each("threshold_predictions")}
    for arm in record.arms:
        for threshold in arm.thresholds:
            cell = f"thresholds.{threshold.rule}"
            if threshold.split != THRESHOLD_SPLIT:
                yield evidence.problem(f"was fitted on {threshold.split!r}, not on {THRESHOLD_SPLIT}", cell, arm)
            if record.split and threshold.split_checksum != record.split.checksum:
                stated, found = threshold.split_checksum[:12], record.split.checksum[:12]
                message = f"carries split checksum {stated}…, the run's is {found}…"
                yield evidence.problem(message, cell, arm)
            known = fitted.get((arm.name, arm.seed))
            expected = None if known is None else fit(threshold, known, record.data.positive)
            if expected is not None and not math.isclose(expected, threshold.value, rel_tol=1e-6, abs_tol=EXACT):
                yield evidence.problem(f"recorded {threshold.value:.9g}, recomputed {expected:.9g}", cell, arm)
        at_a_threshold = any("@" in name and not name.partition("@")[2].startswith("test-") for name in arm.metrics)
        if at_a_threshold and arm.threshold_predictions is None:
            yield evidence.problem("are not recorded: the thresholds cannot be checked", "threshold_predictions", arm)


def fit(threshold: ThresholdRecord, predictions: Predictions, positive: int) -> float | None:
    """The threshold that ``predictions`` give by its rule; None where the rule is unknown or undefined on them."""
    from bench.stats import sensitivity_threshold, youden_threshold

    y, score = predictions.y == positive, predictions.scores[:, positive]
    try:
        if threshold.rule == "youden":
            return float(youden_threshold(y, score))
        if threshold.rule.startswith("sens"):
            return float(sensitivity_threshold(y, score, float(threshold.rule[4:]) / 100))
        return float(threshold.rule)
    except (BenchError, ValueError):
        return None


def check_metrics(evidence: Evidence) -> Iterator[Problem]:
    """Every classification metric comes out of the stored predictions again, with its interval and its method."""
    record = evidence.entry.record
    for arm, predictions in evidence.each("predictions"):
        if predictions.scores.shape[1] != len(record.data.class_names):
            continue  # check_rows has said so
        try:
            measured = measure(record, arm, predictions)
        except BenchError as error:
            yield evidence.problem(f"cannot be recomputed: {error}", "metrics", arm)
            continue
        for name in arm.metrics:
            if name not in measured:
                message = "is recorded, but does not follow from predictions and thresholds"
                yield evidence.problem(message, f"metrics.{name}", arm)
                continue
            for part, message in differences(arm.metrics[name], measured[name], record):
                yield evidence.problem(message, f"metrics.{name}.{part}", arm)
        if arm.metrics and _present_version(record):
            for name in measured.keys() - arm.metrics.keys():
                yield evidence.problem("follows from the predictions, but is not recorded", f"metrics.{name}", arm)


def _present_version(record: Record) -> bool:
    """Whether the record was measured by the metrics of this code: others may have fewer parts, or other words."""
    from bench.metrics import VERSION

    return record.metric_versions.get("bench.metrics") == VERSION


def measure(record: Record, arm: ArmRecord, predictions: Predictions) -> dict[str, Estimate]:
    """The metrics of one arm from its stored predictions, with the seed and replicates that the record names."""
    from bench.metrics import measure_predictions

    stored = PredictionEvidence(
        y=predictions.y,
        scores=predictions.scores,
        ids=predictions.ids,
        groups=predictions.groups,
        class_names=tuple(record.data.class_names),
        positive=record.data.positive,
        thresholds={t.rule: Threshold(t.rule, t.value, t.split, t.split_checksum) for t in arm.thresholds},
    )
    return measure_predictions(stored, *_bootstrap(arm, record))


def _bootstrap(arm: ArmRecord, record: Record) -> tuple[int, int]:
    """(seed, replicates) of the bootstrap, which the AUC of an arm carries; else the run's own."""
    auc = arm.metrics.get("auc")
    stated = auc.extra.get("bootstrap", {}) if auc else {}
    return int(stated.get("seed", 0)), int(stated.get("replicates", record.config.get("replicates", 10_000)))


def differences(recorded: EstimateRecord, measured: Estimate, record: Record) -> Iterator[tuple[str, str]]:
    """(part, message) for each part of a recorded estimate that is not what the predictions give."""
    stated = recorded.model_dump(mode="json")
    found = EstimateRecord.of(measured).model_dump(mode="json")
    if not _present_version(record):
        stated, found = ({name: e[name] for name in ("value", "low", "high", "n")} for e in (stated, found))
    slack = random_slack(record) * ((measured.high or 0.0) - (measured.low or 0.0))
    drawn = measured.method.startswith("bootstrap")
    for part, was, now in _apart(stated, found, ""):
        name = part.rpartition(".")[2]
        allowed = slack if name in DRAWN and (drawn or "bootstrap" in part) else 0.0
        if not _equal(was, now, allowed):
            yield part, f"recorded {_text(was)}, recomputed {_text(now)}"


def _apart(a: Any, b: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """(path, a, b) of the cells of two nested values; what one side lacks is None there."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            yield from _apart(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _apart(x, y, f"{path}[{i}]")
    else:
        yield path, a, b


def _equal(a: Any, b: Any, allowed: float) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    return math.isclose(a, b, rel_tol=EXACT, abs_tol=EXACT + allowed) if numbers else bool(a == b)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value:.9g}" if isinstance(value, int | float) else repr(value)
