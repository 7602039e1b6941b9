"""The seal of a committed record: which bytes each file and which value each cell had when the record was added.

Most numbers of a record are recomputed from its predictions. What cannot be (the processor, a note, the number of
training images, a distance of images that may not be published) is held by the seal: a change of any cell is found and
the cell is named. A seal is no signature: who changes a record and seals it anew is found where the number follows from
predictions, and elsewhere only by the history of the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from bench.errors import DataError
from leaderboard.load import RECORD, Entry, read_arrays, sha256

SEAL = "seal.json"
SCHEME = 1
# Hex digits a cell of the record, and a row of predictions: they only say which one differs; that one does is told by
# the sha256 of the file.
WIDTH, ROW_WIDTH = 4, 2


def write_seal(folder: Path) -> Path:
    """Seal the record in ``folder`` with every file beside it; returns the path of the seal."""
    cells = cell_digests(json.loads((folder / RECORD).read_text()))
    seal = {
        "scheme": SCHEME,
        "files": {name: sha256(folder / name) for name in files_in(folder)},
        "cells": {section: "".join(digest for _, digest in found) for section, found in cells.items()},
        "rows": {name: row_digests(folder / name) for name in files_in(folder) if name.endswith(".npz")},
    }
    path = folder / SEAL
    temp = path.with_name(f".{SEAL}.{os.getpid()}")
    temp.write_text(json.dumps(seal, indent=1) + "\n")
    os.replace(temp, path)
    return path


def read_seal(entry: Entry) -> dict[str, Any] | None:
    """The seal beside a record, None where there is none; raises :class:`DataError` for one that cannot be read."""
    path = entry.folder / SEAL
    try:
        seal = json.loads(path.read_text())
        if seal["scheme"] != SCHEME or not isinstance(seal["files"], dict) or not isinstance(seal["cells"], dict):
            raise ValueError(f"scheme {seal['scheme']!r} is not {SCHEME}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a readable seal: {error}") from None
    found: dict[str, Any] = seal
    return found


def changed_files(entry: Entry, seal: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(file, what is wrong with it) for files beside the record that are gone, changed or not sealed."""
    present = set(files_in(entry.folder))
    for name, stated in seal["files"].items():
        if name not in present:
            yield name, "is sealed, but missing"
        elif name != RECORD and (found := sha256(entry.folder / name)) != stated:
            yield name, f"has sha256 {found[:12]}…, sealed is {stated[:12]}…{_which_rows(entry, name, seal)}"
    for name in sorted(present - set(seal["files"])):
        yield name, "lies beside the record, but is not sealed"


def _which_rows(entry: Entry, name: str, seal: dict[str, Any], show: int = 5) -> str:
    """Which rows of a predictions file differ, with their ids; "" where that cannot be told."""
    sealed = _cut(seal.get("rows", {}).get(name, ""), ROW_WIDTH)
    try:
        found, ids = _cut(row_digests(entry.folder / name), ROW_WIDTH), read_arrays(entry.folder / name).ids
    except DataError:
        return ""
    if not sealed or len(found) != len(sealed):
        return f": {len(found)} rows, sealed were {len(sealed)}" if sealed else ""
    rows = [i for i, (a, b) in enumerate(zip(sealed, found, strict=True)) if a != b]
    named = ", ".join(f"{i} (id {ids[i]})" for i in rows[:show])
    more = f" and {len(rows) - show} more" if len(rows) > show else ""
    return f": row{'s' * (len(rows) > 1)} {named}{more}" if rows else ""


def row_digests(path: Path) -> str:
    """``ROW_WIDTH`` hex digits a row of a predictions file: of its id, group, label and scores."""
    stored = read_arrays(path)
    columns = zip(stored.ids, stored.groups, stored.y.tolist(), stored.scores, strict=True)
    rows = (f"{i}|{g}|{y}|".encode() + scores.astype("<f4").tobytes() for i, g, y, scores in columns)
    return "".join(hashlib.sha256(row).hexdigest()[:ROW_WIDTH] for row in rows)


def changed_cells(entry: Entry, seal: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(cell, what is wrong with it) for cells of the record that are not as they were sealed."""
    if sha256(entry.path) == seal["files"].get(RECORD):
        return
    cells, any_named = cell_digests(json.loads(entry.path.read_text())), False
    for section in dict.fromkeys([*seal["cells"], *cells]):
        sealed = seal["cells"].get(section, "")
        for cell, message in _differences(section, _cut(sealed, WIDTH), cells.get(section, [])):
            any_named = True
            yield cell, message
    if not any_named:
        yield RECORD, "is written in another way than when it was sealed; no cell differs"


def _cut(digests: str, width: int) -> list[str]:
    return [digests[i : i + width] for i in range(0, len(digests), width)]


def _differences(section: str, sealed: list[str], found: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    names, now = [name for name, _ in found], [digest for _, digest in found]
    if len(sealed) == len(now):
        pairs = zip(names, sealed, now, strict=True)
        yield from ((name, "was changed after the record was added") for name, a, b in pairs if a != b)
        return
    for what, a, b, c, d in SequenceMatcher(None, sealed, now, autojunk=False).get_opcodes():
        if what == "delete":
            where = f"after {names[c - 1]}" if c else "at its start"
            yield section, f"lacks {b - a} cell{'s' * (b - a > 1)} {where} that the added record had"
        elif what in ("replace", "insert"):
            yield from ((name, "was changed or put in after the record was added") for name in names[c:d])


def cell_digests(record: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Section -> (path, digest) of its cells; a section is a field of the record, or one element of a list field."""
    out: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(record):
        value = record[name]
        parts = {f"{name}[{i}]": x for i, x in enumerate(value)} if isinstance(value, list) and value else {name: value}
        for section, part in parts.items():
            out[section] = [(path, _digest(path, leaf)) for path, leaf in leaves(part, section)]
    return out


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of every number, text, null and empty container below ``value``, sorted by key."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


def _digest(path: str, value: Any) -> str:
    return hashlib.sha256(f"{path}={json.dumps(value)}".encode()).hexdigest()[:WIDTH]


def files_in(folder: Path) -> list[str]:
    """All files below ``folder`` but the seal, relative to it, sorted."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if name != SEAL)
