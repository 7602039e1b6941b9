"""The board as Markdown: tables for a README or a comment; every name is text, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bench.format import NOTHING
from leaderboard.board import COLUMNS, TrackBoard
from leaderboard.published import PublishedTable
from leaderboard.words import badges, cell_text, facts, made_of, rank_text, versus_text

HEADS = (
    "Rank", "Tie", "Generator", "Protocol", "Arm", "Classifier", "Seeds", "AUC", "Beaten",
    *(column.label for column in COLUMNS), "",
)  # fmt: skip


def document(sections: Iterable[str], unreadable: Mapping[Path, str], published: Iterable[PublishedTable] = ()) -> str:
    """The whole file from the sections of its tracks, then the tables of the literature."""
    parts = ["# Leaderboard", "", *sections]
    if unreadable:
        parts += ["## Records that could not be read", ""]
        parts += [f"* {escape(path)}: {escape(reason)}" for path, reason in unreadable.items()] + [""]
    for table in published:
        parts += list(_published(table))
    return "\n".join(parts)


def _published(table: PublishedTable) -> Iterator[str]:
    """A table of the literature, with the digits of its source, marked as not measured here."""
    yield f"## {escape(table.title)} ({table.status})"
    yield ""
    yield escape(" ".join(part for part in (f"{table.source}.", table.note) if part))
    yield ""
    yield _row([column.label for column in table.columns])
    yield "|" + "---|" * len(table.columns)
    yield from (_row(row) for row in table.rows)
    yield ""


def section(track: TrackBoard) -> str:
    """Title, facts and table of one track."""
    return "\n".join([*_lines(track), ""])


def _lines(track: TrackBoard) -> Iterator[str]:
    yield f"## {escape(track.title)}"
    yield ""
    names = f"split {track.track.split[:12]}, data {track.track.fingerprint[:12]}"
    yield escape(f"{names}, extractor {track.track.extractor or 'none'}, table {track.track.key}") + "  "
    yield from (f"{escape(fact)}  " for fact in facts(track))
    yield ""
    yield _row(HEADS)
    yield "|" + "---|" * len(HEADS)
    for line in track.lines:
        tie = str(line.standing.tie_group) if line.standing else NOTHING
        cells = [cell_text(line.auc), versus_text(line), *(cell_text(line.cells[c.key]) for c in COLUMNS)]
        made = made_of(line)
        marks = "; ".join(part for part in (made, *badges(line), *line.row.notes) if part)
        yield _row([rank_text(line), tie, *line.names, str(len(line.row.sources)), *cells, marks])
    for reference in track.references:
        cells = [cell_text(reference.auc), "", *(cell_text(reference.cells.get(c.key)) for c in COLUMNS)]
        yield _row(["", "", reference.name, "", "", "", "", *cells, f"reference: {reference.title}"])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def escape(text: object) -> str:
    """``text`` as Markdown that shows it literally, on one line."""
    plain = re.sub(r"\s+", " ", str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]~])", r"\\\1", plain) if not _is_number(plain) else plain


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+\d., \[\]–()]*", text))
