"""The pages of the site: index, a page a track, a page a run. Each holds its style and script."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.format import number
from leaderboard import figures, run_origin, run_page
from leaderboard.board import TrackBoard
from leaderboard.load import Entry
from leaderboard.markup import Html, Table, definition_rows, tag
from leaderboard.published import PublishedTable
from leaderboard.rows import Track
from leaderboard.track_table import Names, digest_table, table
from leaderboard.words import CLAIM_SEEDS, CONTROL_LEGEND, cautions

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
INLINE = ("style.css", "plain.css", "theme.js", "board.js")
MARK = (
    '<meta name="generator" content="dermbench leaderboard">'  # tells our pages from files that others put beside them
)


@dataclass(frozen=True)
class Card:
    """A track on the index page: where its page is, what it is about, its first rows."""

    href: str
    title: str
    made: str  # what tells it from a track of the same title
    facts: str  # HTML
    rows: str  # HTML
    counts: str


def index_page(cards: Sequence[Card], unreadable: Mapping[Path, str], newest: str, runs: int) -> str:
    """What is ranked, how to read it, and the tracks with their first rows."""
    shown = [{**vars(card), "facts": Html(card.facts), "rows": Html(card.rows)} for card in cards]
    return _render("index.html.j2", cards=shown, unreadable=unreadable, newest=newest, runs=runs, home="index.html")


def published_page(tables: Sequence[PublishedTable]) -> str:
    """The tables of the literature as their authors printed them, apart from everything that is ranked."""
    arrows = {"higher": " ↑", "lower": " ↓", "none": ""}
    shown = []
    for t in tables:
        heads = [column.label.replace("_", " ") + arrows[column.better] for column in t.columns]
        content = Table(t.title, heads, t.rows, frozenset(range(1, len(heads)))).html()
        shown.append((t.title, t.source, t.note, t.status, content))
    return _render("published.html.j2", tables=shown, home="index.html")


def track_page(board: TrackBoard, pages: Names) -> str:
    """The table of a track with its figures. ``pages``: addresses of the pages of runs, seen from this page."""
    return _render(
        "track.html.j2", title=board.title, track=board.track, data=board.data, cautions=cautions(board),
        strip=_strip(board), table=table(board, pages), figures=figures.of_track(board), rows=len(board.lines),
        legend=CONTROL_LEGEND, home="../index.html",
    )  # fmt: skip


def run_html(entry: Entry, sha: str, tracks: Mapping[str, str]) -> str:
    """The page of one run. ``tracks``: address -> title of the tables that it stands in."""
    record = entry.record
    return _render(
        "run.html.j2", record=record, titles=run_page.titles(record), strip=run_page.strip(record), tracks=tracks,
        provenance=run_origin.provenance(entry, sha), sections=run_page.sections(entry), home="../index.html",
    )  # fmt: skip


def card(board: TrackBoard) -> Card:
    """The card of a track."""
    entrants = sum(line.row.kind == "entrant" for line in board.lines)
    counts = f"All {len(board.lines)} rows, {entrants} entrant{'s' * (entrants != 1)}"
    return Card(
        href(board.track), board.title, _made(board.track), str(_strip(board)), str(digest_table(board)), counts
    )


def _made(track: Track) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in track.metrics)
    parts = [f"split {track.split[:8]}" if track.split else "", versions, track.extractor]
    return " · ".join(part for part in parts if part)


def href(track: Track) -> str:
    """Address of a track's page, seen from the index."""
    return f"tracks/{track.key}.html"


def _strip(board: TrackBoard) -> Html:
    ranking = board.ranking
    mdd = ranking.minimum_detectable_difference
    seeds = sorted({len(line.row.sources) for line in board.lines if line.standing})
    few = f" (a claim needs {CLAIM_SEEDS})" if seeds and seeds[0] < CLAIM_SEEDS else ""
    pairs = [
        ("Test images", f"{ranking.images:,}" if ranking.images else ""),
        (f"of class {board.positive}", f"{ranking.positives:,}" if ranking.images else ""),
        ("Lesions or patients", f"{ranking.groups:,}" if ranking.groups else ""),
        ("Seeds a row", (f"{seeds[0]}–{seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}") + few if seeds else ""),
        ("Smallest difference that can be seen", "" if mdd is None else f"{number(mdd, 0.1)} AUC"),
    ]
    return tag("dl", definition_rows(pairs), class_="strip")


def _render(name: str, **values: Any) -> str:
    return _environment().get_template(name).render(**values) + "\n"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    inline = {
        name: (TEMPLATES / name).read_text(encoding="utf-8")
        for name in ("style.css", "theme.js", "board.js", "plain.css")
    }
    environment.globals.update(
        style=Html(inline["style.css"]), theme=Html(inline["theme.js"]), script=Html(inline["board.js"]),
        plain=Html(inline["plain.css"]), policy=_policy(inline), mark=Html(MARK),
    )  # fmt: skip
    return environment


def _policy(inline: Mapping[str, str]) -> str:
    """A content security policy that knows our styles and scripts by their hashes, and forbids all else."""

    def hashes(suffix: str) -> str:
        digests = (hashlib.sha256(t.encode()).digest() for name, t in inline.items() if name.endswith(suffix))
        return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)

    return (
        f"default-src 'none'; style-src {hashes('.css')}; script-src {hashes('.js')}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
