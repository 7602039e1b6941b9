"""Audit of a table of printed results: which figures can follow from its counts, and which cannot.

Every cell gets a verdict: "follows" (rounded, the counts give it), "cut" (only if digits were dropped instead of
rounded), "impossible" (neither), "unchecked" (the table does not hold what it would take). Nothing is estimated: the
arithmetic is exact, on the digits as they are printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from bench.stats.consistency import (
    Printed,
    Range,
    accuracy_range,
    auc_range,
    nearest_counts,
    possible_counts,
    prevalence_from_precision,
)
from bench.stats.intervals import proportion_interval
from leaderboard.audit_readings import implied_prevalence, percent, readings
from leaderboard.audit_table import FIGURES, SHARES, SIZE_OF, Counts, PrintedRow, read_printed

Verdict = Literal["follows", "cut", "impossible", "unchecked"]


@dataclass(frozen=True)
class Interval:
    """k of n with its 95 % limits by Wilson and by Clopper and Pearson."""

    k: int
    n: int
    wilson: tuple[float, float]
    clopper_pearson: tuple[float, float]


@dataclass(frozen=True)
class CellAudit:
    """One printed figure. ``exact``: what the counts give; ``why``: a sentence unless the figure simply follows.

    ``possible``: (fewest, most, of how many) cases that are printed so, where the size of the class is known.
    """

    figure: str
    printed: str
    verdict: Verdict
    exact: float | None = None
    interval: Interval | None = None
    why: str = ""
    possible: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class RowAudit:
    """One row: its cells, ``notes`` on the row as a whole, ``readings`` under which impossible cells would follow."""

    row: PrintedRow
    cells: list[CellAudit]
    notes: list[str] = field(default_factory=list)
    readings: list[str] = field(default_factory=list)

    @property
    def impossible(self) -> list[CellAudit]:
        return [cell for cell in self.cells if cell.verdict == "impossible"]

    def plain(self) -> dict[str, Any]:
        """The same as JSON values."""
        counts = self.row.counts._asdict() if self.row.counts else None
        sizes = {name: getattr(self.row, name) for name in ("n", "positives", "negatives")}
        cells = [vars(cell) | {"interval": cell.interval and vars(cell.interval)} for cell in self.cells]
        return {
            "row": self.row.name, "line": self.row.line, "counts": counts, **sizes,
            "cells": cells, "notes": self.notes, "readings": self.readings,
        }  # fmt: skip


def audit_table(path: Path) -> list[RowAudit]:
    """Audit every row of a CSV; raises :class:`bench.errors.DataError` for a table that cannot be read."""
    rows = read_printed(path)
    return [audit_row(row, rows) for row in rows]


def audit_row(row: PrintedRow, rows: list[PrintedRow]) -> RowAudit:
    """One row; ``rows``: the whole table, whose class sizes may explain a row that contradicts itself."""
    cells = [replace(_cell(name, row), possible=_possible(name, row)) for name in row.printed]
    impossible = [cell.figure for cell in cells if cell.verdict == "impossible"]
    told = list(dict.fromkeys(readings(row, rows, impossible))) if row.counts and impossible else []
    return RowAudit(row, cells, [*_notes(row)], told)


def _possible(name: str, row: PrintedRow) -> tuple[int, int, int] | None:
    """(fewest, most, of how many) cases that are printed so; None where no count is, or the size is not known."""
    n = getattr(row, SIZE_OF[name]) if name in SIZE_OF else None
    found = possible_counts(row.printed[name].rounded(), n) if n else range(0)
    return (found[0], found[-1], n) if n and found else None


def _cell(name: str, row: PrintedRow) -> CellAudit:
    if name == "auc":
        return _auc(row)
    if row.counts is not None:
        return _from_counts(name, row, row.counts)
    return _from_sizes(name, row)


def _from_counts(name: str, row: PrintedRow, counts: Counts) -> CellAudit:
    share, text, exact = row.printed[name], row.text[name], FIGURES[name](counts)
    if exact is None:
        return CellAudit(name, text, "impossible", why=f"{name} has no value on {counts}: nothing to divide by")
    value, interval = float(exact), interval_of(name, counts)
    if share.follows(exact):
        return CellAudit(name, text, "follows", value, interval)
    if share.follows_if_cut(exact):
        why = f"{name} {text} follows only if digits were cut off: the counts give {_digits(exact, share)}"
        return CellAudit(name, text, "cut", value, interval, why)
    why = f"{name} {text} cannot follow from {counts}: they give {_digits(exact, share)}"
    return CellAudit(name, text, "impossible", value, interval, f"{why}{_no_count(name, row)}")


def _no_count(name: str, row: PrintedRow) -> str:
    """Whether any count of this class could be printed so."""
    n = getattr(row, SIZE_OF[name]) if name in SIZE_OF else None
    share = row.printed[name]
    if not n:
        return ""
    found = possible_counts(share.rounded(), n)
    whose = {"n": "cases"}.get(SIZE_OF[name], SIZE_OF[name])
    if found:
        counts = f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
        return f"; {counts} of {n:,} {whose} would be printed so"
    near = " and ".join(f"{k:,} gives {_digits(Fraction(k, n), share)}" for k in nearest_counts(share, n))
    return f"; no count of {n:,} {whose} is printed so ({near})"


def _from_sizes(name: str, row: PrintedRow) -> CellAudit:
    """Without counts: can any count of the class size be printed so, and do the figures agree with one another?"""
    share, text = row.printed[name], row.text[name]
    n = getattr(row, SIZE_OF[name]) if name in SIZE_OF else None
    if n and not possible_counts(share.rounded(), n):
        cut = bool(possible_counts(Range(share.value, share.value + share.unit), n))
        why = f"{name} {text}{_no_count(name, row)[1:].replace(' no count', ': no count', 1)}"
        return CellAudit(name, text, "cut" if cut else "impossible", why=why)
    contradiction = _contradiction(name, row)
    if contradiction:
        return CellAudit(name, text, "impossible", why=contradiction)
    return CellAudit(name, text, "follows") if n else CellAudit(name, text, "unchecked", why=_needs(name))


def _needs(name: str) -> str:
    what = SIZE_OF.get(name)
    return f"{name} cannot be checked without {'the counts' if what is None else f'the counts or {what}'}"


def _contradiction(name: str, row: PrintedRow) -> str:
    """Why accuracy or precision cannot go with the sensitivity and specificity beside it; "" if it can."""
    parts = {k: row.printed[k].rounded() for k in (name, "sensitivity", "specificity") if k in row.printed}
    if len(parts) < 3 or name not in ("accuracy", "precision"):
        return ""
    beside = f"with sensitivity {row.text['sensitivity']} and specificity {row.text['specificity']}"
    if name == "accuracy":
        if not parts["accuracy"].meets(accuracy_range(parts["sensitivity"], parts["specificity"])):
            return f"accuracy {row.text[name]} cannot go {beside}: it must lie between them, whatever the class sizes"
        return _sizes_contradict(row, beside)
    implied = prevalence_from_precision(parts["precision"], parts["sensitivity"], parts["specificity"])
    own = row.prevalence
    if implied is not None and own is not None and not implied.holds(own):
        return f"precision {row.text[name]} {beside} implies {percent(implied)} positives, here are {_percent(own)}"
    other = implied_prevalence(row.printed)
    if implied is not None and other is not None and not implied.meets(other):
        return (
            f"precision {row.text[name]} {beside} implies {percent(implied)} positives, "
            f"accuracy {row.text['accuracy']} implies {percent(other)}: one of the four is wrong"
        )
    return ""


def _sizes_contradict(row: PrintedRow, beside: str) -> str:
    """Accuracy counts the right cases of both classes: is there such a sum?"""
    if row.positives is None or row.negatives is None or row.n is None:
        return ""
    ranges = [
        possible_counts(row.printed[k].rounded(), getattr(row, SIZE_OF[k]))
        for k in ("sensitivity", "specificity", "accuracy")
    ]
    if not all(ranges):
        return ""  # the cell without a possible count is named by itself
    low, high = ranges[0][0] + ranges[1][0], ranges[0][-1] + ranges[1][-1]
    if low <= ranges[2][-1] and ranges[2][0] <= high:
        return ""
    exact = f"{low / row.n:.4f}" if low == high else f"{low / row.n:.4f} to {high / row.n:.4f}"
    sizes = f"{row.positives:,} positives and {row.negatives:,} negatives"
    return f"accuracy {row.text['accuracy']} cannot go {beside}: of {sizes} they give {exact}"


def _auc(row: PrintedRow) -> CellAudit:
    """An AUC against the operating point beside it: a ROC curve must pass through that point."""
    text, point = row.text["auc"], _operating_point(row)
    if point is None:
        why = "auc cannot be checked without sensitivity and specificity, or counts"
        return CellAudit("auc", text, "unchecked", why=why)
    bounds = auc_range(*point)
    span = f"{float(bounds.low):.3f} to {float(bounds.high):.3f}"
    if row.printed["auc"].rounded().meets(bounds):
        return CellAudit("auc", text, "follows", why=f"auc {text} is possible: the operating point allows {span}")
    why = f"auc {text} cannot be: a ROC curve through this operating point has an area of {span}"
    return CellAudit("auc", text, "impossible", why=why)


def _operating_point(row: PrintedRow) -> tuple[Range, Range] | None:
    """(sensitivity, specificity) as printed, or from the counts."""
    names = ("sensitivity", "specificity")
    if row.counts is not None:
        exact = [FIGURES[name](row.counts) for name in names]
        if all(e is not None for e in exact):
            s, t = (Range(e, e) for e in exact if e is not None)
            return s, t
    if set(names) <= row.printed.keys():
        return row.printed["sensitivity"].rounded(), row.printed["specificity"].rounded()
    return None


def interval_of(name: str, counts: Counts) -> Interval | None:
    """95 % limits of a figure that is a share of cases; None for the others."""
    if name not in SHARES:
        return None
    k, n = SHARES[name](counts)
    return Interval(k, n, proportion_interval(k, n), proportion_interval(k, n, "clopper-pearson")) if n else None


def _within_shares(implied: Range | None) -> Range | None:
    """The part of an implied share that can be: a class is 0 to 100 % of the cases. None where all of it can be.

    Outside 0..1 as a whole it stays as it is: that no mixture of the classes gives these figures is what it says.
    """
    if implied is None or implied.high < 0 or implied.low > 1:
        return implied
    inside = Range(max(implied.low, Fraction(0)), min(implied.high, Fraction(1)))
    return None if inside.low == 0 and inside.high == 1 else inside


def _notes(row: PrintedRow) -> Iterator[str]:
    """On the row as a whole: which class sizes its figures imply, and what always answering one class would give."""
    implied = _within_shares(implied_prevalence(row.printed))
    if implied is not None:
        beside = (
            f"; the {'counts' if row.counts else 'sizes'} have {_percent(row.prevalence)}" if row.prevalence else ""
        )
        agree = row.prevalence is not None and implied.holds(row.prevalence)
        verb = "agree with" if agree else "imply"
        yield f"accuracy, sensitivity and specificity {verb} {percent(implied)} positives{beside}"
    if row.positives is None or row.negatives is None or not row.n:
        return
    majority = Fraction(max(row.positives, row.negatives), row.n)
    what = "negative" if row.negatives >= row.positives else "positive"
    yield f"always answering {what!r} is right in {_percent(majority)} of {row.n:,} cases{_against(row, majority)}"


def _against(row: PrintedRow, majority: Fraction) -> str:
    if row.counts is not None:
        found = interval_of("accuracy", row.counts)
        assert found is not None
        low, high = found.wilson
        accuracy = found.k / found.n
        place = "above" if low > majority else "below" if high < majority else "not distinguishable from"
        return f"; the accuracy of the counts, {accuracy:.3f} [{low:.3f}, {high:.3f}], is {place} that"
    if "accuracy" in row.printed:
        value = row.printed["accuracy"].value
        return f"; the printed accuracy is {'above' if value > majority else 'not above'} that"
    return ""


def _digits(exact: Fraction, share: Printed) -> str:
    """``exact`` with two digits more than ``share`` is printed with."""
    decimals = len(str(share.unit.denominator)) - 1
    return f"{float(exact):.{decimals + 1}f}"


def _percent(share: Fraction | None) -> str:
    return "" if share is None else f"{100 * float(share):.1f} %"
