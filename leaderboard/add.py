"""Taking runs onto the board: checked first, then record, compact predictions, sample grid, ledger; sealed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import RunConfig
from bench.errors import DataError
from bench.record import FileRecord, Record
from leaderboard import stored
from leaderboard.add_ledger import publish_ledgers
from leaderboard.beside import holders
from leaderboard.evidence import PARTS, Evidence
from leaderboard.load import RECORD, Entry, load, read_predictions, sha256
from leaderboard.seal import write_seal
from leaderboard.validate import check_seal, validate

# Data sets whose images a program drew. Pictures of all others show images that are not ours to publish.
DRAWN = ("phantom",)
GRID = re.compile(r"samples, seed \d+")
PLACES = ("store", "out")  # fields of the configuration, and options, that name folders of the machine
MAX_GRID = 256 * 1024  # bytes; a larger picture is left out


@dataclass(frozen=True)
class Added:
    """A record that is on the board. ``bytes``: size of its folder; ``new``: whether it was not there before."""

    folder: Path
    bytes: int
    new: bool


def add_records(places: Iterable[Path], records: Path) -> list[Added]:
    """Put every record at or below ``places`` into ``records``/TRACK/RUN_ID, see :func:`publish`.

    Raises :class:`DataError` with all problems if any record is unreadable, invalid, or is there already with other
    results; then nothing is added. A record that is there already is left alone.
    """
    loaded = load(places)
    wrong = [f"{path}: {reason}" for path, reason in loaded.unreadable.items()]
    wrong += [str(problem) for entry in loaded.entries for problem in validate(entry)]
    present = committed(records)
    targets = {entry.path: target_of(entry, records) for entry in loaded.entries}
    if len(set(targets.values())) < len(targets):
        wrong.append("two of these records have the same run_id: add them one at a time")
    for entry in loaded.entries:
        there = present.get(entry.record.run_id)
        if there is not None and essence(Record.read(there / RECORD)) != essence(entry.record):
            wrong.append(f"{entry.path}: run {entry.record.run_id!r} is already in {there} with other results")
    if wrong:
        raise DataError("nothing was added:\n" + "\n".join(wrong))
    return [_added(entry, present.get(entry.record.run_id), targets[entry.path]) for entry in loaded.entries]


def _added(entry: Entry, there: Path | None, target: Path) -> Added:
    folder = there or publish(entry, target)
    return Added(folder, sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()), there is None)


def committed(records: Path) -> dict[str, Path]:
    """run_id -> folder of the records in ``records``: folders are called as their runs, none need be read."""
    return {path.parent.name: path.parent for path in sorted(records.rglob(RECORD))}


def target_of(entry: Entry, records: Path) -> Path:
    """``records``/TRACK/RUN_ID; a run id that is no plain name could lead out of ``records``."""
    record = entry.record
    if not re.fullmatch(r"[\w.+-]+", record.run_id) or record.run_id.startswith("."):
        raise DataError(f"{entry.path}: run_id {record.run_id!r} must consist of letters, digits, and . _ + -")
    split = record.split.checksum[:8] if record.split else "no-split"
    track = f"{record.data.name or 'no-data'}-{record.data.task}-{record.data.resolution}px-{split}"
    return records / re.sub(r"[^\w.+-]+", "-", track).lstrip(".") / record.run_id


def publish(entry: Entry, target: Path) -> Path:
    """Write record, predictions (compressed), sample grid and ledger (cut) into ``target``, and seal them.

    The sample grid is kept where its images are drawn by a program, once, and if it is small; of the ledger the hardest
    cases of each round. The record then names the files that are there and no others. Written into a temporary folder
    first: a reader sees all of it or nothing. Where the machine kept stages and runs is left out: no result follows
    from it, and a path may tell who worked there.
    """
    temp = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temp.mkdir(parents=True)
        record = without_places(entry.record.model_copy(deep=True))
        for arm in record.arms:
            for part in PARTS:
                file = getattr(arm, part)
                if file is not None:
                    setattr(arm, part, _compact(entry, file, temp))
        for _, holder in holders(record):
            holder.predictions = _compact(entry, holder.predictions, temp)
        record.files = {**_pictures(entry, temp), **publish_ledgers(entry, temp)}
        record.checksums = {name: sha256(temp / name) for name in record.files.values()}
        record.write(temp / RECORD)
        write_seal(temp)
        _check(Entry(temp / RECORD, Record.read(temp / RECORD)))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temp, target)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return target


def _compact(entry: Entry, file: FileRecord, folder: Path) -> FileRecord:
    """The same arrays, compressed: about a sixth of the size."""
    found = read_predictions(entry, file)
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.savez_compressed(stream, ids=found.ids, groups=found.groups, y=found.y, scores=found.scores)
    return FileRecord(path=file.path, sha256=sha256(path), n=len(found))


def _pictures(entry: Entry, folder: Path) -> dict[str, str]:
    """Title -> path of the one sample grid that is kept, copied into ``folder``; or none."""
    if entry.record.data.name not in DRAWN:
        return {}
    for title, name in sorted(entry.record.files.items()):
        source = entry.file(name)
        if GRID.fullmatch(title) and source.is_file() and source.stat().st_size <= MAX_GRID:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
            return {title: name}
    return {}


def _check(entry: Entry) -> None:
    """What was written must read back as it was checked: the bytes, the rows, the seal."""
    evidence = Evidence.of(entry)
    checks = (stored.check_files, stored.check_pictures, stored.check_rows, stored.check_counts, check_seal)
    problems = [str(problem) for check in checks for problem in check(evidence)]
    if problems:
        raise DataError("the written record does not read back:\n" + "\n".join(problems))


def without_places(record: Record) -> Record:
    """``record`` with the default folders for stages and runs (:class:`bench.config.RunConfig`), in place."""
    for name in PLACES:
        if name in record.config:
            record.config[name] = str(RunConfig.model_fields[name].default)
    words = shlex.split(record.command)
    flags = tuple(f"--{name}" for name in PLACES)
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in flags and word not in flags and not word.startswith(tuple(f"{flag}=" for flag in flags))
    ]
    if len(kept) < len(words):
        record.command = shlex.join(kept)
    return record


def essence(record: Record) -> dict[str, Any]:
    """What a record says, whatever files it names, however these are packed and wherever it was made."""
    out = without_places(record.model_copy(deep=True)).model_dump(
        mode="json", exclude={"files", "checksums", "schema_version"}
    )
    for arm in out["arms"]:
        for part in PARTS:
            arm[part] = arm[part] and arm[part]["n"]
    for holder in (*out["strata"], *(arm for test in out["further_tests"] for arm in test["arms"])):
        holder["predictions"] = holder["predictions"]["n"]
    return out
