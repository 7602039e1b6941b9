"""Taking runs into the folder of committed records: checked first, then record and predictions, nothing else."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.errors import DataError
from leaderboard.evidence import PARTS
from leaderboard.load import RECORD, Entry, load, sha256
from leaderboard.validate import validate


def add_records(places: Iterable[Path], records: Path) -> list[Path]:
    """Copy every record at or below ``places`` to ``records``/RUN_ID; returns the folders.

    Raises :class:`DataError` with all problems if any record is unreadable, invalid, or would overwrite another
    record; then nothing is copied. A record that is there already, byte for byte, is left alone.
    """
    loaded = load(places)
    wrong = [f"{path}: {reason}" for path, reason in loaded.unreadable.items()]
    wrong += [str(problem) for entry in loaded.entries for problem in validate(entry)]
    targets = {entry.path: _target(entry, records) for entry in loaded.entries}
    if len(set(targets.values())) < len(targets):
        wrong.append("two of these records have the same run_id: add them one at a time")
    for entry in loaded.entries:
        there = targets[entry.path] / RECORD
        if there.exists() and sha256(there) != sha256(entry.path):
            wrong.append(f"{entry.path}: run {entry.record.run_id!r} is already in {records} with other results")
    if wrong:
        raise DataError("nothing was added:\n" + "\n".join(wrong))
    for entry in loaded.entries:
        if not (targets[entry.path] / RECORD).exists():
            _copy(entry, targets[entry.path])
    return list(targets.values())


def _target(entry: Entry, records: Path) -> Path:
    """Folder of a record; a run id that is no plain name could lead out of ``records``."""
    run_id = entry.record.run_id
    if not re.fullmatch(r"[\w.+-]+", run_id) or run_id.startswith("."):
        raise DataError(f"{entry.path}: run_id {run_id!r} must consist of letters, digits, and . _ + -")
    return records / run_id


def _copy(entry: Entry, target: Path) -> None:
    """Copy into a temporary folder first: a reader sees the whole record or none."""
    temp = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        for name in [RECORD, *_files(entry)]:
            place = temp / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry.path if name == RECORD else entry.file(name), place)
        os.replace(temp, target)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _files(entry: Entry) -> Iterator[str]:
    for arm in entry.record.arms:
        for part in PARTS:
            file = getattr(arm, part)
            if file is not None:
                yield file.path
