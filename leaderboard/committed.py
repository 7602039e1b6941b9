"""The board of the committed records, itself committed as text, and compared with what the records give now."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path

from bench.errors import DataError
from leaderboard import markdown, sheet
from leaderboard.board import build
from leaderboard.load import load
from leaderboard.published import published_tables

FOLDER = Path(__file__).parent
REFRESH = "python -m bench leaderboard board"
NAMES = ("board.md", "board.csv")
MADE = f"<!-- Made from the records by `{REFRESH}`; not edited by hand. -->\n"
DECIMAL = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)\.\d+(?:e[-+]\d+)?(?![\w.])")
PRINTED = 6  # decimals; numbers with more are at full precision, and compared as such
SAME = 1e-9  # relative: sums in another order on another machine
ABSENT = "nothing"


def texts(records: Path) -> dict[str, str]:
    """File name -> text of the board of all records at or below ``records``: Markdown to read, CSV to compute with.

    A function of records and predictions alone. Raises :class:`DataError` for a record that cannot be read.
    """
    loaded = load([records])
    for path, reason in loaded.unreadable.items():
        raise DataError(f"{path}: {reason}")
    tracks = build(loaded).tracks
    page = markdown.document([markdown.section(track) for track in tracks], {}, published_tables())
    table = sheet.document([sheet.section(track) for track in tracks])
    return dict(zip(NAMES, (MADE + page, table), strict=True))


def write(records: Path, folder: Path = FOLDER) -> list[Path]:
    """Write :func:`texts` into ``folder``; returns the files."""
    for name, text in texts(records).items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in NAMES]


def compare(records: Path, folder: Path = FOLDER) -> list[str]:
    """Each cell of the committed board in ``folder`` that the records do not give, in words; empty where all agree.

    Printed numbers may differ by one in the last digit, those at full precision by 1e-9 of themselves.
    """
    out: list[str] = []
    for name, text in texts(records).items():
        try:
            stored = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            out.append(f"{name}: not there")
            continue
        pairs = _paired(list(_table(name, stored)), list(_table(name, text)))
        out += [f"{name}, {change}" for old, new in pairs for change in _cells(old, new)]
    return out


Line = tuple[int, Sequence[str], Sequence[str]]  # number of the line, its cells, what their columns are called


def _table(name: str, text: str) -> Iterator[Line]:
    if name.endswith(".csv"):
        rows = list(csv.reader(io.StringIO(text)))
        yield from ((i, row, rows[0]) for i, row in enumerate(rows, start=1))
        return
    heads: Sequence[str] = ()
    before = ""
    for i, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        heads = cells if line.startswith("|") and not before.startswith("|") else heads
        before = line
        yield i, cells, heads if line.startswith("|") else ()


def _paired(old: Sequence[Line], new: Sequence[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """Lines of both files side by side; a line that came or went shifts no other. Numbers tell no lines apart."""
    was, now = ([DECIMAL.sub("#", "|".join(cells)) for _, cells, _ in lines] for lines in (old, new))
    for _, a, b, c, d in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        yield from zip_longest(old[a:b], new[c:d])


def _cells(old: Line | None, new: Line | None) -> Iterator[str]:
    if old is None or new is None:
        number, cells, _ = old or new or (0, (), ())
        line = repr(" | ".join(cell for cell in cells if cell))
        told = f"{line}, the records give {ABSENT}" if old else f"{ABSENT}, the records give {line}"
        yield f"line {number}: committed {told}"
        return
    (_, stored, _), (number, made, heads) = old, new
    for i, (a, b) in enumerate(zip_longest(stored, made)):
        if a is None or b is None or not same(a, b):
            where = f"line {number}" + (f", {heads[i]}" if i < len(heads) and heads[i] else "")
            yield f"{where}: committed {_shown(a)}, the records give {_shown(b)}"


def _shown(cell: str | None) -> str:
    return ABSENT if cell is None else repr(cell)


def same(a: str, b: str) -> bool:
    """Whether two cells say the same: equal words, numbers equal as far as they are printed."""
    if a == b:
        return True
    try:
        return math.isclose(float(a), float(b), rel_tol=SAME, abs_tol=_unit(a))
    except ValueError:
        pass
    numbers = DECIMAL.findall(a), DECIMAL.findall(b)
    if DECIMAL.sub("#", a) != DECIMAL.sub("#", b):
        return False
    return all(_close(x, y) for x, y in zip(*numbers, strict=True))


def _close(a: str, b: str) -> bool:
    return math.isclose(float(a.replace(",", "")), float(b.replace(",", "")), rel_tol=SAME, abs_tol=_unit(a))


def _unit(number: str) -> float:
    """One in the last digit of a printed number; 0 for whole numbers and for those at full precision."""
    decimals = len(number.partition(".")[2]) if "e" not in number else PRINTED + 1
    return 1.01 * 10.0**-decimals if 0 < decimals <= PRINTED else 0.0


def summary(changes: Sequence[str], limit: int = 20) -> str:
    """``changes`` one a line, the first ``limit``, and the command that makes the committed board anew."""
    more = [f"and {len(changes) - limit} more"] if len(changes) > limit else []
    return "\n".join([*changes[:limit], *more, f"If the records are right: {REFRESH}"])
