"""Further files of predictions beside a record: of the judges of hard cases, and of the arms on further test sets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.errors import DataError
from bench.record import FurtherArmRecord, Record, StratumRecord
from leaderboard.evidence import Evidence, Problem
from leaderboard.load import read_predictions, sha256
from leaderboard.stored import SYNTHETIC_PREFIX, wrong_rows

Holder = StratumRecord | FurtherArmRecord


def holders(record: Record) -> Iterator[tuple[str, Holder]]:
    """(cell, part of the record) for each further file of predictions."""
    for i, stratum in enumerate(record.strata):
        yield f"strata[{i}]", stratum
    for i, test in enumerate(record.further_tests):
        for j, arm in enumerate(test.arms):
            yield f"further_tests[{i}].arms[{j}]", arm


def check_beside(evidence: Evidence) -> Iterator[Problem]:
    """These files are there, the bytes that were recorded, and rows of real images."""
    entry = evidence.entry
    classes = len(entry.record.data.class_names)
    for cell, holder in holders(entry.record):
        file = holder.predictions
        try:
            found = read_predictions(entry, file)
        except DataError as error:
            yield evidence.problem(str(error), f"{cell}.predictions")
            continue
        if (is_now := sha256(entry.file(file.path))) != file.sha256:
            message = f"{file.path} has sha256 {is_now[:12]}…, recorded is {file.sha256[:12]}…"
            yield evidence.problem(message, f"{cell}.predictions.sha256")
        if file.n != len(found):
            yield evidence.problem(f"{file.path} has {len(found)} rows, recorded is {file.n}", f"{cell}.predictions.n")
        for message in wrong_rows(found, classes):
            yield evidence.problem(message, f"{cell}.predictions")
        if np.char.startswith(found.ids, SYNTHETIC_PREFIX).any():
            yield evidence.problem("synthetic images are evaluated", f"{cell}.predictions")
