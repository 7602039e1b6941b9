"""Records and their stored predictions, read from folders; what cannot be read is told, never dropped."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts import Labels, Probabilities, Strings
from bench.errors import DataError
from bench.record import FileRecord, Record

RECORD = "record.json"


@dataclass(frozen=True)
class Entry:
    """A record and where it lies; the files it names are relative to its folder."""

    path: Path
    record: Record

    @property
    def folder(self) -> Path:
        return self.path.parent

    def file(self, name: str) -> Path:
        """Where the record's file ``name`` lies. Raises :class:`DataError` if that is outside the record's folder."""
        target = (self.folder / name).resolve()
        if not target.is_relative_to(self.folder.resolve()):
            raise DataError(f"{self.path}: file {name!r} lies outside the record's folder: put it beside the record")
        return target


@dataclass(frozen=True)
class Scores:
    """What curves are made of: y int64 [N]; scores float32 [N, K]."""

    y: Labels
    scores: Probabilities


@dataclass(frozen=True)
class Predictions:
    """Stored predictions: ids, groups str [N]; y int64 [N]; scores float32 [N, K]."""

    ids: Strings
    groups: Strings
    y: Labels
    scores: Probabilities

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Loaded:
    """Readable records sorted by path, and for each unreadable one the reason."""

    entries: list[Entry]
    unreadable: dict[Path, str]


def find_records(places: Iterable[Path]) -> list[Path]:
    """Every ``record.json`` at or below ``places`` (folders, or record files), sorted, each once.

    Raises :class:`DataError` for a place that does not exist or holds no record.
    """
    found: set[Path] = set()
    for place in places:
        here = [place] if place.is_file() else sorted(place.rglob(RECORD)) if place.is_dir() else []
        if not here:
            raise DataError(f"{place}: no {RECORD} at or below it: name a run folder, or a folder of run folders")
        found.update(here)
    return sorted(found)


def load(places: Iterable[Path]) -> Loaded:
    """Read all records at or below ``places``."""
    entries: list[Entry] = []
    unreadable: dict[Path, str] = {}
    for path in find_records(places):
        try:
            entries.append(Entry(path, Record.read(path)))
        except (DataError, OSError, UnicodeDecodeError) as error:
            unreadable[path] = str(error).removeprefix(f"{path}: ")
    return Loaded(entries, unreadable)


def read_predictions(entry: Entry, file: FileRecord) -> Predictions:
    """The predictions in ``file``. Raises :class:`DataError` that names the file and the array that is wrong."""
    return read_arrays(entry.file(file.path))


def read_scores(entry: Entry, file: FileRecord) -> Scores:
    """As :func:`read_predictions`, without the ids and groups: names are most of such a file."""
    found = _arrays(entry.file(file.path), ("y", "scores"))
    return Scores(found["y"].astype(np.int64), found["scores"].astype(np.float32, copy=False))


def read_arrays(path: Path) -> Predictions:
    """The predictions stored at ``path``; raises as :func:`read_predictions`."""
    found = _arrays(path, ("ids", "groups", "y", "scores"))
    return Predictions(
        found["ids"], found["groups"], found["y"].astype(np.int64), found["scores"].astype(np.float32, copy=False)
    )


def _arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = set(names) - set(stored.files)
            if missing:
                raise DataError(f"{path}: array {sorted(missing)[0]!r} is missing from the predictions")
            found = {name: stored[name] for name in names}
    except FileNotFoundError:
        raise DataError(f"{path}: the predictions file is missing") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable predictions file: {error}") from None
    _check_shapes(path, found)
    return found


def _check_shapes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    n = len(arrays["y"]) if arrays["y"].ndim == 1 else -1
    kinds = {"ids": "U", "groups": "U", "y": "iu", "scores": "f"}
    for name, array in arrays.items():
        dimensions = 2 if name == "scores" else 1
        if array.ndim != dimensions or len(array) != n or array.dtype.kind not in kinds[name]:
            raise DataError(
                f"{path}: array {name!r} is {array.dtype} {list(array.shape)}, which does not fit {n} rows of y"
            )


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
