"""The board as Markdown, CSV and one HTML file that needs nothing else; every name is text, whatever it holds."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.format import NOTHING, number
from leaderboard.board import COLUMNS, Board, Cell, Line, TrackBoard

TEMPLATES = Path(__file__).parent / "templates"
CONTROLS = ("ceiling", "sentinel", "floor", "control")
CONTROL_LEGEND = (
    "Controls mark the scale and take no rank: ceiling (held-out real images in the place of synthetic ones), sentinel "
    "(copies of training images), floor (noise)."
)
STATUSES = {
    "ranked": "",
    "gated": "memorizes",
    "unranked": "not ranked",
    "incomplete": "incomplete",
    "failed": "failed",
}


def write(board: Board, out: Path) -> list[Path]:
    """Write leaderboard.md, leaderboard.csv and leaderboard.html into ``out`` (created if absent), each atomically."""
    out.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[Board], str]] = {
        "leaderboard.md": markdown,
        "leaderboard.csv": table,
        "leaderboard.html": html,
    }
    texts = {out / name: make(board) for name, make in makers.items()}
    for path, text in texts.items():
        temp = path.with_name(f".{path.name}.{os.getpid()}")
        temp.write_text(text, encoding="utf-8")
        os.replace(temp, path)
    return list(texts)


def cell_text(cell: Cell | None) -> str:
    """ "0.871 [0.853, 0.889]", or a dash where there is no number."""
    if cell is None or cell.value is None:
        return NOTHING
    scale = max(abs(v) for v in (cell.value, cell.low, cell.high) if v is not None)
    text = number(cell.value, scale)
    if cell.low is None or cell.high is None:
        return text
    return f"{text} [{number(cell.low, scale)}, {number(cell.high, scale)}]"


def rank_text(line: Line) -> str:
    """ "2 (1–4)": rank and its interval; a dash for rows that are not ranked."""
    if line.standing is None:
        return NOTHING
    best, worst = line.standing.best, line.standing.worst
    return f"{line.standing.rank} ({best}–{worst})" if best != worst else str(line.standing.rank)


def badges(line: Line) -> list[str]:
    """What marks a row: its role, its status, too few seeds, what tells it from a row of the same name."""
    marks = ["" if line.row.kind == "entrant" else line.row.kind, STATUSES[line.row.status]]
    seeds = len(line.row.sources)
    if line.standing and seeds < 10:
        marks.append(f"{seeds} seed{'s' * (seeds > 1)}")
    return [mark for mark in [*marks, line.variant] if mark]


def facts(track: TrackBoard) -> list[str]:
    """What one must know to read a track's table, a sentence each."""
    ranking = track.ranking
    said = []
    if ranking.images:
        what = f"{ranking.positives:,} of class {track.positive}"
        said.append(f"{ranking.images:,} test images of {ranking.groups:,} groups, {what}.")
    if ranking.minimum_detectable_difference is not None:
        seen = number(ranking.minimum_detectable_difference, 0.1)
        said.append(
            f"Two rows must differ by {seen} AUC to be told apart with 80 % power (median over pairs, one test)."
        )
    if track.one_seed:
        said.append("One seed: how far another training would move a row is in no interval, rank or tie group here.")
    if track.few_seeds:
        said.append("A claim needs at least 10 paired seeds; rows with fewer are marked.")
    if any(line.row.kind in CONTROLS for line in track.lines):
        said.append(CONTROL_LEGEND)
    return [*said, *track.data.notes]


# ---- Markdown -------------------------------------------------------------------------------------------------------


def markdown(board: Board) -> str:
    """Tables for a README or a comment; the same rows as the page, without its provenance."""
    parts = ["# Leaderboard", ""]
    for track in board.tracks:
        parts += [*_markdown_track(track), ""]
    if board.unreadable:
        parts += ["## Records that could not be read", ""]
        parts += [f"* {escape(path)}: {escape(reason)}" for path, reason in board.unreadable.items()] + [""]
    return "\n".join(parts)


def _markdown_track(track: TrackBoard) -> Iterable[str]:
    yield f"## {escape(track.title)}"
    yield ""
    names = f"split {track.track.split[:12]}, data {track.track.fingerprint[:12]}"
    yield escape(f"{names}, extractor {track.track.extractor or 'none'}, table {track.track.key}") + "  "
    yield from (f"{escape(fact)}  " for fact in facts(track))
    yield ""
    heads = [
        "Rank",
        "Tie",
        "Generator",
        "Protocol",
        "Arm",
        "Classifier",
        "Seeds",
        "AUC",
        *(c.label for c in COLUMNS),
        "",
    ]
    yield _markdown_row(heads)
    yield "|" + "---|" * len(heads)
    for line in track.lines:
        tie = str(line.standing.tie_group) if line.standing else NOTHING
        cells = [cell_text(line.auc), *(cell_text(line.cells[c.key]) for c in COLUMNS)]
        marks = "; ".join([*badges(line), *line.row.notes])
        yield _markdown_row([rank_text(line), tie, *line.names, str(len(line.row.sources)), *cells, marks])
    for reference in track.references:
        cells = [cell_text(reference.auc), *(cell_text(reference.cells.get(c.key)) for c in COLUMNS)]
        yield _markdown_row(["", "", reference.name, "", "", "", "", *cells, f"reference: {reference.title}"])


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def escape(text: object) -> str:
    """``text`` as Markdown that shows it literally, on one line."""
    plain = re.sub(r"\s+", " ", str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]~])", r"\\\1", plain) if not _is_number(plain) else plain


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+\d., \[\]–()]*", text))


# ---- CSV ------------------------------------------------------------------------------------------------------------


def table(board: Board) -> str:
    """One line a row of every track, numbers at full precision."""
    out = io.StringIO()
    writer: Any = None
    for track in board.tracks:
        for line in track.lines:
            record = {name: _safe(value) for name, value in _record(track, line).items()}
            if writer is None:
                writer = csv.DictWriter(out, list(record), lineterminator="\n")
                writer.writeheader()
            writer.writerow(record)
    return out.getvalue()


def _record(track: TrackBoard, line: Line) -> dict[str, object]:
    generator, protocol, arm, classifier = line.names
    standing, row = line.standing, line.row
    out: dict[str, object] = {
        "track": track.track.key, "task": track.track.task, "data": track.track.data,
        "fingerprint": track.track.fingerprint, "split": track.track.split, "resolution": track.track.resolution,
        "metrics": " ".join(f"{k}@{v}" for k, v in track.track.metrics), "extractor": track.track.extractor,
        "rank": standing and standing.rank, "rank_best": standing and standing.best,
        "rank_worst": standing and standing.worst, "tie_group": standing and standing.tie_group,
        "generator": generator, "protocol": protocol, "arm": arm, "classifier": classifier, "kind": row.kind,
        "status": row.status, "seeds": " ".join(map(str, row.seeds)), "test_images": track.ranking.images,
    }  # fmt: skip
    for name, cell in {"auc": line.auc, **line.cells}.items():
        out |= {name: cell.value, f"{name}_low": cell.low, f"{name}_high": cell.high}
    runs = [entry.record for entry in row.entries]
    out["runs"] = " ".join(record.run_id for record in runs)
    out["command"] = runs[-1].command
    out["notes"] = "; ".join(row.notes)
    return out


def _safe(value: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


# ---- HTML -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels of the small interval drawings of one track."""

    low: float
    high: float
    width: float = 150.0
    margin: float = 5.0

    @classmethod
    def of(cls, track: TrackBoard) -> Scale:
        """A scale on which every interval and reference line of the AUC column fits, rounded outward to 0.05."""
        cells = [line.auc for line in track.lines] + [r.auc for r in track.references if r.auc]
        known = [v for cell in cells for v in (cell.value, cell.low, cell.high) if v is not None] or [0.5, 1.0]
        low, high = int(min(known) * 20) / 20, -int(-max(known) * 20 - 0.999999) / 20
        return cls(low, max(high, low + 0.05))

    def x(self, value: float) -> float:
        """Pixels from the left edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.margin + share * (self.width - 2 * self.margin), 1)


def html(board: Board) -> str:
    """One page with style and script inside it; it asks the network for nothing, and its policy forbids it to."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        columns=COLUMNS, cell_text=cell_text, rank_text=rank_text, badges=badges, facts=facts, scale_of=Scale.of,
        nothing=NOTHING,
    )  # fmt: skip
    return environment.get_template("board.html.j2").render(board=board) + "\n"
