"""What changed between two boards: tracks, rows, ranks and cells."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.format import NOTHING
from leaderboard import exchange
from leaderboard.board import build
from leaderboard.load import load

JSON_FILE = "leaderboard.json"
SAME = 1e-9  # sums in another order on another machine; far below the last printed digit


@dataclass(frozen=True)
class Change:
    """One thing that differs. ``row`` and ``cell`` are empty where a whole track or row was added or removed."""

    track: str
    row: str
    cell: str
    before: str
    after: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.track, self.row, self.cell) if part)
        return f"{where}: {self.before} -> {self.after}"


def read_board(place: Path) -> dict[str, Any]:
    """A board as exchanged: from its JSON file, from the folder of a site, or built from a folder of records.

    Raises :class:`DataError` where there is neither, or the file is no board of this format.
    """
    path = place / JSON_FILE if place.is_dir() else place
    if not path.exists() or path.name == "record.json":
        loaded = load([place])
        sections = [exchange.section(track) for track in build(loaded).tracks]
        found: dict[str, Any] = json.loads(exchange.document(sections, loaded.unreadable, ""))
        return found
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a board: {error}") from None
    if not isinstance(found, dict) or found.get("format") != exchange.FORMAT or "tracks" not in found:
        raise DataError(f"{path}: not a board of format {exchange.FORMAT}: build it again with this version")
    return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every change from one board to the other, in the order of the second; removed tracks and rows last."""
    old, new = ({track["key"]: track for track in board["tracks"]} for board in (before, after))
    out: list[Change] = []
    for key, track in new.items():
        if key in old:
            out.extend(_track_changes(old[key], track))
        else:
            out.append(Change(_title(track), "", "", "no such table", f"table of {len(track['rows'])} rows"))
    for key in old.keys() - new.keys():
        out.append(Change(_title(old[key]), "", "", f"table of {len(old[key]['rows'])} rows", "no such table"))
    return [*out, *_unreadable(before, after)]


def _title(track: Mapping[str, Any]) -> str:
    return f"{track['title']} [{track['key']}]"


def _track_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    title = _title(after)
    old, new = ({_name(row): row for row in track["rows"]} for track in (before, after))
    for key in ("minimum_detectable_difference", "test_images", "test_positives", "test_groups"):
        if not _equal(before.get(key), after.get(key)):
            yield Change(title, "", key.replace("_", " "), _text(before.get(key)), _text(after.get(key)))
    for name, row in new.items():
        if name not in old:
            yield Change(title, name, "", "no such row", _place(row))
        else:
            yield from (Change(title, name, *change) for change in _row_changes(old[name], row))
    for name in old.keys() - new.keys():
        yield Change(title, name, "", _place(old[name]), "no such row")


def _name(row: Mapping[str, Any]) -> str:
    parts = [row["generator"], row["protocol"], row["arm"], row["classifier"], row["variant"]]
    return " · ".join(part for part in parts if part)


def _row_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(cell, before, after) of one row."""
    if _place(before) != _place(after):
        yield "place", _place(before), _place(after)
    if before["seeds"] != after["seeds"]:
        yield "seeds", _text(before["seeds"]), _text(after["seeds"])
    for name in dict.fromkeys([*before["cells"], *after["cells"]]):
        old, new = before["cells"].get(name, {}), after["cells"].get(name, {})
        if not all(_equal(old.get(part), new.get(part)) for part in ("value", "low", "high")):
            yield name, _cell(old), _cell(new)
    if before["notes"] != after["notes"]:
        yield "notes", _text(before["notes"]), _text(after["notes"])


def _place(row: Mapping[str, Any]) -> str:
    standing = row["standing"]
    if standing is None:
        return str(row["status"] if row["status"] != "ranked" else row["kind"])
    return f"rank {standing['rank']} ({standing['best']}–{standing['worst']}), tie group {standing['tie_group']}"


def _cell(cell: Mapping[str, Any]) -> str:
    if cell.get("value") is None:
        return NOTHING
    limits = f" [{cell['low']:.6g}, {cell['high']:.6g}]" if "low" in cell and "high" in cell else ""
    return f"{cell['value']:.6g}{limits}"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)
    return bool(a == b)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NOTHING
    return f"{value:.6g}" if isinstance(value, float) else NOTHING if value is None else str(value)


def _unreadable(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = ({row["record"]: row["reason"] for row in board["unreadable"]} for board in (before, after))
    for record in dict.fromkeys([*old, *new]):
        if old.get(record) != new.get(record):
            yield Change("records that could not be read", record, "", old.get(record, "read"), new.get(record, "read"))
