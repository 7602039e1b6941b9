"""The board as CSV: one line a row of every track, numbers at full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from leaderboard.board import COLUMNS, Cell, Line, TrackBoard
from leaderboard.words import versus_words

NUMBERS = ("auc", *(column.key for column in COLUMNS))
HEADS = (
    "track", "task", "data", "fingerprint", "split", "resolution", "metrics", "extractor",
    "rank", "rank_best", "rank_worst", "tie_group", "generator", "protocol", "arm", "classifier", "variant",
    "kind", "control_of", "status", "seeds", "test_images",
    *(f"{name}{part}" for name in NUMBERS for part in ("", "_low", "_high")),
    "versus_controls", "runs", "command", "notes",
)  # fmt: skip


def document(sections: Iterable[str]) -> str:
    """The whole file from the lines of its tracks; empty without any."""
    body = "".join(sections)
    return _lines([HEADS]) + body if body else ""


def section(track: TrackBoard) -> str:
    """The lines of one track, without the head."""
    return _lines([_safe(value) for value in _values(track, line)] for line in track.lines)


def _lines(rows: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _values(track: TrackBoard, line: Line) -> list[object]:
    standing, row, made = line.standing, line.row, track.track
    runs = [entry.record for entry in row.entries]
    ranks = (standing.rank, standing.best, standing.worst, standing.tie_group) if standing else (None,) * 4
    cells: list[Cell] = [line.auc, *(line.cells[column.key] for column in COLUMNS)]
    return [
        made.key, made.task, made.data, made.fingerprint, made.split, made.resolution,
        " ".join(f"{name}@{version}" for name, version in made.metrics), made.extractor,
        *ranks, *line.names, line.variant,
        row.kind, " ".join(row.control_of), row.status, " ".join(map(str, row.seeds)), track.ranking.images,
        *(part for cell in cells for part in (cell.value, cell.low, cell.high)),
        versus_words(line), " ".join(record.run_id for record in runs), runs[-1].command if runs else "",
        "; ".join(row.notes),
    ]  # fmt: skip


def _safe(value: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
