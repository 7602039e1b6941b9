"""The board as LaTeX: one booktabs table a track, to be read by ``\\input``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bench.format import NOTHING
from leaderboard.board import COLUMNS, Cell, TrackBoard
from leaderboard.words import badges, cautions, facts, number_and_interval, rank_text

PREAMBLE = """\
% Tables of the leaderboard. In the preamble: \\usepackage{booktabs,graphicx}
% In brackets: 95 % intervals. Rank (best--worst): rows of one tie group cannot be told apart from its first.
"""
PART = "\0"  # between two hyphens, which would become a dash
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{\char34}", "`": r"\textasciigrave{}", PART: "{}", "–": "--", "·": r"\(\cdot\)",
    "×": r"\(\times\)", "−": r"\(-\)", "±": r"\(\pm\)", "≤": r"\(\leq\)", "≥": r"\(\geq\)",
}  # fmt: skip
ARROWS = {"higher": r"\(\uparrow\)", "lower": r"\(\downarrow\)"}


def document(sections: Iterable[str]) -> str:
    """The whole file from the tables of its tracks."""
    return "\n".join([PREAMBLE, *sections])


def section(track: TrackBoard) -> str:
    """One table; rows as on the page, references below a rule."""
    return "\n".join(_lines(track)) + "\n"


def _lines(track: TrackBoard) -> Iterator[str]:
    said = " ".join([*facts(track)[:2], *cautions(track)])
    yield r"\begin{table}"
    yield rf"\caption{{{escape(track.title)}. {escape(said)} Split \texttt{{{escape(track.track.split[:12])}}}.}}"
    yield rf"\label{{tab:leaderboard-{track.track.key}}}"
    yield r"\resizebox{\linewidth}{!}{%"
    yield rf"\begin{{tabular}}{{rr{'l' * 4}{'r' * (len(COLUMNS) + 2)}l}}"
    yield r"\toprule"
    heads = [f"{column.label} {ARROWS[column.better]}" for column in COLUMNS]
    yield _row(
        ["Rank", "Tie", "Generator", "Protocol", "Arm", "Classifier", "Seeds", rf"AUC {ARROWS['higher']}", *heads, ""]
    )
    yield r"\midrule"
    for line in track.lines:
        tie = str(line.standing.tie_group) if line.standing else NOTHING
        names = [rank_text(line), tie, *line.names, str(len(line.row.sources))]
        cells = [_cell(line.auc), *(_cell(line.cells[c.key]) for c in COLUMNS)]
        yield _row([*map(escape, names), *cells, escape("; ".join(badges(line)))])
    if track.references:
        yield r"\midrule"
    for reference in track.references:
        cells = [_cell(reference.auc), *(_cell(reference.cells.get(c.key)) for c in COLUMNS)]
        yield _row(["", "", rf"\emph{{{escape(reference.name)}}}", "", "", "", "", *cells, "reference"])
    yield r"\bottomrule"
    yield r"\end{tabular}}"
    yield r"\end{table}"


def _cell(cell: Cell | None) -> str:
    value, interval = number_and_interval(cell)
    small = rf" {{\scriptsize {escape(interval)}}}" if interval else ""
    return f"{escape(value)}{small}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: object) -> str:
    """``text`` as LaTeX that prints it literally, on one line and without ligatures, under any font encoding."""
    plain = "".join(character if character.isprintable() else " " for character in str(text))
    parted = re.sub("-(?=-)", f"-{PART}", plain)
    return "".join(SPECIAL.get(character, character) for character in parted)
