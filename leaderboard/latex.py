"""The board as LaTeX: one booktabs table a track, to be read by ``\\input``.

In two parts, of classification and of the synthetic images: side by side they would be printed too small to read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.format import NOTHING
from leaderboard.board import COLUMNS, Cell, Column, Line, TrackBoard
from leaderboard.words import badges, cautions, facts, number_and_interval, rank_text, role

PREAMBLE = """\
% Tables of the leaderboard. In the preamble: \\usepackage{booktabs,graphicx}
% In brackets: 95 % intervals. Rank (best--worst): rows of one tie group cannot be told apart from its first.
"""
PART = "\0"  # between two hyphens, which would become a dash
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{\char34}", "`": r"\textasciigrave{}", PART: "{}", "–": "--", "·": r"\(\cdot\)",
    "×": r"\(\times\)", "−": r"\(-\)", "±": r"\(\pm\)", "≤": r"\(\leq\)", "≥": r"\(\geq\)", "²": r"\(^2\)",
    "→": r"\(\to\)", "∞": r"\(\infty\)", "°": r"\(^\circ\)", "—": "---", "’": "'", "…": "...",
    "ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "ø": r"{\o}", "Ø": r"{\O}", "ł": r"{\l}", "Ł": r"{\L}",
    "ı": r"{\i}",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
NAMES = ("Generator", "Protocol", "Arm", "Classifier")
GENERATOR = 0
PANELS = (("arm", "Classification of real test images"), ("fidelity", "The synthetic images themselves"))
ARROWS = {"higher": r"\(\uparrow\)", "lower": r"\(\downarrow\)"}


def document(sections: Iterable[str]) -> str:
    """The whole file from the tables of its tracks."""
    return "\n".join([PREAMBLE, *sections])


def section(track: TrackBoard) -> str:
    """One table; rows as on the page, references below a rule."""
    return "\n".join(_lines(track)) + "\n"


def _lines(track: TrackBoard) -> Iterator[str]:
    shared, names = _names(track)
    said = " ".join([*facts(track)[:2], *cautions(track), *shared])
    yield r"\begin{table}"
    yield rf"\caption{{{escape(track.title)}. {escape(said)} Split \texttt{{{escape(track.track.split[:12])}}}.}}"
    yield rf"\label{{tab:leaderboard-{track.track.key}}}"
    for part, (source, title) in enumerate(PANELS):
        yield from [r"\\[1ex]"] * part
        yield from _panel(track, names, [c for c in COLUMNS if c.source == source], title, with_rank=not part)
    yield r"\end{table}"


def _names(track: TrackBoard) -> tuple[list[str], list[int]]:
    """(what all rows share, as sentences for the caption; which of generator, protocol, arm, classifier differ)."""
    present = [line.names for line in track.lines if line.row.sources]
    shared, differ = [], [GENERATOR]
    for i, word in enumerate(NAMES):
        found = {names[i] for names in present}
        if i != GENERATOR and len(found) == 1:
            shared.append(f"{word}: {found.pop()}.")
        elif i != GENERATOR:
            differ.append(i)
    return shared, differ


def _panel(
    track: TrackBoard, names: Sequence[int], columns: Sequence[Column], title: str, with_rank: bool
) -> Iterator[str]:
    """One tabular, drawn smaller only where it is wider than the line."""
    first, last = (["Rank", "Tie"], ["Seeds", f"AUC {ARROWS['higher']}"]) if with_rank else ([], [])
    heads = [*first, *(NAMES[i] for i in names), *last, *(f"{c.label} {ARROWS[c.better]}" for c in columns), ""]
    yield rf"\emph{{{title}}}\\[.5ex]"
    yield r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{{'r' * len(first)}{'l' * len(names)}{'r' * (len(last) + len(columns))}l}}"
    yield r"\toprule"
    yield _row(heads)
    yield r"\midrule"
    for line in track.lines:
        if not (with_rank or _has(line.cells, columns)):
            continue
        standing = [rank_text(line), str(line.standing.tie_group) if line.standing else NOTHING][: len(first)]
        auc = [escape(len(line.row.sources)), _cell(line.auc)][: len(last)]
        cells = [*auc, *(_cell(line.cells[c.key]) for c in columns)]
        yield _row([*map(escape, [*standing, *(line.names[i] for i in names)]), *cells, _mark(line, with_rank)])
    references = [r for r in track.references if (with_rank and r.auc) or _has(r.cells, columns)]
    yield from [r"\midrule"] if references else []
    for reference in references:
        blank = [""] * (len(first) + len(names))
        blank[len(first)] = rf"\emph{{{escape(reference.name)}}}"
        auc = ["", _cell(reference.auc)][: len(last)]
        yield _row([*blank, *auc, *(_cell(reference.cells.get(c.key)) for c in columns), "reference"])
    yield r"\bottomrule"
    yield r"\end{tabular}}"


def _has(cells: Mapping[str, Cell], columns: Sequence[Column]) -> bool:
    return any((cell := cells.get(c.key)) is not None and cell.value is not None for c in columns)


def _mark(line: Line, with_rank: bool) -> str:
    return escape("; ".join(badges(line)) if with_rank else role(line))


def _cell(cell: Cell | None) -> str:
    value, interval = number_and_interval(cell)
    small = rf" {{\scriptsize {escape(interval)}}}" if interval else ""
    return f"{escape(value)}{small}"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: object) -> str:
    """``text`` as LaTeX that prints it literally, on one line and without ligatures, under any font encoding.

    A character that the fonts of a plain document lack would stop the run: it is printed as ``[U+4E2D]``.
    """
    plain = "".join(character if character.isprintable() else " " for character in str(text))
    parted = re.sub("-(?=-)", f"-{PART}", unicodedata.normalize("NFC", plain))
    return "".join(_character(c) for c in parted)


def _character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii():
        return character
    parts = unicodedata.normalize("NFD", character)
    letter, mark = parts[0], parts[1:]
    if mark in ACCENTS and letter.isascii() and letter.isalpha():
        dotless = {"i": r"\i", "j": r"\j"}.get(letter, letter) if mark != "\u0327" else letter
        return rf"\{ACCENTS[mark]}{{{dotless}}}"
    return f"[U+{ord(character):04X}]"
