"""Checks of a record against its stored predictions: what was recorded must come out again."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.contracts import Estimate, PredictionEvidence, Threshold
from bench.errors import BenchError
from bench.record import ArmRecord, EstimateRecord, Record, ThresholdRecord
from leaderboard.evidence import PARTS, SPLIT_OF, Evidence, Problem
from leaderboard.load import Predictions, sha256

SYNTHETIC_PREFIX = "syn-"
THRESHOLD_SPLIT = "val_thresh"
EXACT = 1e-9  # sums in another order on another machine; far below the last printed digit
OTHER_STREAM = 0.15  # share of its width by which a bootstrap bound may move under another numpy's random stream


def check_files(evidence: Evidence) -> Iterator[Problem]:
    """Prediction files are there, readable, and the bytes that were recorded."""
    for i, arm in enumerate(evidence.entry.record.arms):
        if arm.error is None and arm.predictions is None:
            yield evidence.problem("are not recorded: the arm's numbers cannot be checked", "predictions", arm)
        for part in PARTS:
            file = getattr(arm, part)
            if (i, part) in evidence.unreadable:
                yield evidence.problem(evidence.unreadable[i, part], part, arm)
            elif (i, part) in evidence.read:
                found = sha256(evidence.entry.file(file.path))
                if found != file.sha256:
                    message = f"{file.path} has sha256 {found[:12]}…, recorded is {file.sha256[:12]}…"
                    yield evidence.problem(message, f"{part}.sha256", arm)
                if file.n != len(evidence.read[i, part]):
                    message = f"{file.path} has {len(evidence.read[i, part])} rows, recorded is {file.n}"
                    yield evidence.problem(message, f"{part}.n", arm)


def check_rows(evidence: Evidence) -> Iterator[Problem]:
    """Each row is a distribution over the task's classes with a label among them; ids do not repeat."""
    classes = len(evidence.entry.record.data.class_names)
    for part in PARTS:
        for arm, predictions in evidence.each(part):
            for message in _wrong_rows(predictions, classes):
                yield evidence.problem(message, part, arm)


def _wrong_rows(predictions: Predictions, classes: int) -> Iterator[str]:
    scores, y = predictions.scores.astype(np.float64), predictions.y
    if scores.shape[1] != classes:
        yield f"have {scores.shape[1]} scores a row, the task has {classes} classes"
        return
    good = np.isfinite(scores).all(1) & (scores >= 0).all(1) & (np.abs(scores.sum(1) - 1) <= 1e-3)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        yield f"row {row} (id {predictions.ids[row]}) is not a distribution: {scores[row].tolist()}"
    if len(y) and not (y.min() >= 0 and y.max() < classes):
        yield f"labels must lie in 0..{classes - 1}, found {y.min()}..{y.max()}"
    names, times = np.unique(predictions.ids, return_counts=True)
    if len(names) < len(y):
        yield f"id {names[times > 1][0]} occurs {times.max()} times"


def check_synthetic(evidence: Evidence) -> Iterator[Problem]:
    """No synthetic image is in an evaluation set."""
    for part in PARTS:
        for arm, predictions in evidence.each(part):
            synthetic = predictions.ids[np.char.startswith(predictions.ids, SYNTHETIC_PREFIX)]
            if len(synthetic):
                message = f"{len(synthetic)} synthetic images are evaluated, e.g. {synthetic[0]}"
                yield evidence.problem(message, f"{part}.ids", arm)


def check_disjoint(evidence: Evidence) -> Iterator[Problem]:
    """No image and no group (patient, lesion) is both in test and in the split that fitted the thresholds."""
    fitted = {(arm.name, arm.seed): predictions for arm, predictions in evidence.each("threshold_predictions")}
    for arm, test in evidence.each("predictions"):
        other = fitted.get((arm.name, arm.seed))
        if other is None:
            continue
        for column in ("ids", "groups"):
            shared = np.intersect1d(getattr(test, column), getattr(other, column))
            if len(shared):
                message = f"{len(shared)} {column} are in test and in {THRESHOLD_SPLIT}, e.g. {shared[0]}"
                yield evidence.problem(message, f"predictions.{column}", arm)


def check_counts(evidence: Evidence) -> Iterator[Problem]:
    """Stored labels have the class counts of the split, and all arms were judged on the same images."""
    record = evidence.entry.record
    if record.split is None:
        return
    for part in PARTS:
        wanted = record.split.counts.get(SPLIT_OF[part], {})
        first: Predictions | None = None
        for arm, predictions in evidence.each(part):
            for k, name in enumerate(record.data.class_names):
                found = int(np.sum(predictions.y == k))
                if found != wanted.get(name, 0):
                    message = f"{found} images of class {name!r}, the split has {wanted.get(name, 0)}"
                    yield evidence.problem(message, f"{part}.y", arm)
            first = first or predictions
            if not (np.array_equal(first.ids, predictions.ids) and np.array_equal(first.y, predictions.y)):
                yield evidence.problem("are of other images or labels than the first arm's", f"{part}.ids", arm)


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
            expected = None if known is None else _fit(threshold, known, record.data.positive)
            if expected is not None and not math.isclose(expected, threshold.value, rel_tol=1e-6, abs_tol=EXACT):
                yield evidence.problem(f"recorded {threshold.value:.9g}, recomputed {expected:.9g}", cell, arm)
        if any("@" in name for name in arm.metrics) and (arm.name, arm.seed) not in fitted:
            yield evidence.problem("are not recorded: the thresholds cannot be checked", "threshold_predictions", arm)


def _fit(threshold: ThresholdRecord, predictions: Predictions, positive: int) -> float | None:
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
    """Every classification metric comes out of the stored predictions again."""
    record = evidence.entry.record
    slack = 0.0 if record.environment.packages.get("numpy") == np.__version__ else OTHER_STREAM
    for arm, predictions in evidence.each("predictions"):
        if predictions.scores.shape[1] != len(record.data.class_names):
            continue  # check_rows has said so
        try:
            measured = measure(evidence, arm, predictions)
        except BenchError as error:
            yield evidence.problem(f"cannot be recomputed: {error}", "metrics", arm)
            continue
        for name, recorded in arm.metrics.items():
            for cell, message in _differences(name, recorded, measured.get(name), slack):
                yield evidence.problem(message, cell, arm)


def measure(evidence: Evidence, arm: ArmRecord, predictions: Predictions) -> dict[str, Estimate]:
    """The metrics of one arm from its stored predictions, with the seed and replicates that the record names."""
    from bench.metrics import measure_predictions

    record = evidence.entry.record
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
    return int(stated.get("seed", arm.seed)), int(stated.get("replicates", record.config.get("replicates", 10_000)))


def _differences(
    name: str, recorded: EstimateRecord, measured: Estimate | None, slack: float
) -> Iterator[tuple[str, str]]:
    """(cell, message) for each part of a recorded estimate that is not what the predictions give."""
    if measured is None:
        yield f"metrics.{name}", "is recorded, but does not follow from predictions and thresholds"
        return
    drawn = slack if measured.method.startswith("bootstrap") else 0.0
    width = (measured.high or 0.0) - (measured.low or 0.0)
    for part in ("value", "low", "high", "n"):
        stated, found = getattr(recorded, part), getattr(measured, part)
        if stated is None and found is None:
            continue
        allowed = EXACT + (drawn * width if part in ("low", "high") else 0.0)
        if stated is None or found is None or not math.isclose(stated, found, rel_tol=EXACT, abs_tol=allowed):
            yield f"metrics.{name}.{part}", f"recorded {_text(stated)}, recomputed {_text(found)}"


def _text(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"
