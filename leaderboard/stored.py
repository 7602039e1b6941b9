"""Checks of the files beside a record: predictions and pictures are there, unchanged, and of the right images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from leaderboard.evidence import PARTS, SPLIT_OF, THRESHOLD_SPLIT, Evidence, Problem
from leaderboard.load import Predictions, sha256

SYNTHETIC_PREFIX = "syn-"


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


def check_pictures(evidence: Evidence) -> Iterator[Problem]:
    """Pictures and other files are the bytes that were recorded; a file with a checksum is one that has a title."""
    record = evidence.entry.record
    for name, stated in record.checksums.items():
        path = evidence.entry.file(name)
        if name not in record.files.values():
            yield evidence.problem("has a checksum, but is no file of the record", f"checksums.{name}")
        if not path.is_file():
            yield evidence.problem("the file is missing", f"checksums.{name}")
        elif (found := sha256(path)) != stated:
            yield evidence.problem(f"has sha256 {found[:12]}…, recorded is {stated[:12]}…", f"checksums.{name}")


def check_rows(evidence: Evidence) -> Iterator[Problem]:
    """Each row is a distribution over the task's classes with a label among them; ids do not repeat."""
    classes = len(evidence.entry.record.data.class_names)
    for part in PARTS:
        for arm, predictions in evidence.each(part):
            for message in wrong_rows(predictions, classes):
                yield evidence.problem(message, part, arm)


def wrong_rows(predictions: Predictions, classes: int) -> Iterator[str]:
    """What is wrong with rows of ``predictions`` of a task with ``classes``, in words."""
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
    """Stored labels and groups are as many as the split's, and all arms were judged on the same images."""
    record = evidence.entry.record
    if record.split is None:
        return
    for part in PARTS:
        split = SPLIT_OF[part]
        wanted = record.split.counts.get(split, {})
        first: Predictions | None = None
        for arm, predictions in evidence.each(part):
            for k, name in enumerate(record.data.class_names):
                found = int(np.sum(predictions.y == k))
                if found != wanted.get(name, 0):
                    message = f"{found} images of class {name!r}, the split has {wanted.get(name, 0)}"
                    yield evidence.problem(message, f"{part}.y", arm)
            groups = len(np.unique(predictions.groups))
            if groups != record.split.groups.get(split, groups):
                message = f"{groups} groups, split.groups.{split} has {record.split.groups[split]}"
                yield evidence.problem(message, f"{part}.groups", arm)
            first = first or predictions
            for column in ("ids", "groups", "y"):
                if not np.array_equal(getattr(first, column), getattr(predictions, column)):
                    message = "differ from the first arm's: it was judged on other images, labels or groups"
                    yield evidence.problem(message, f"{part}.{column}", arm)
