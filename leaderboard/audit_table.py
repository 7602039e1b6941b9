"""A table of printed results as the auditor reads it: counts where they are given, figures with all their digits."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from bench.data.tables import read_table
from bench.errors import DataError
from bench.stats.consistency import Printed, parse_share

EMPTY = ("", "-", "–", "—", "na", "n/a", "nan", "none")
COUNTS = ("tp", "fp", "fn", "tn")
ALIASES = {
    "name": ("name", "row", "model", "arm", "method"),
    "tp": ("tp",), "fp": ("fp",), "fn": ("fn",), "tn": ("tn",),
    "n": ("n", "total"),
    "positives": ("positives", "p", "n_positive"),
    "negatives": ("negatives", "n_negative"),
    "accuracy": ("accuracy", "acc"),
    "sensitivity": ("sensitivity", "sens", "tpr", "recall"),
    "specificity": ("specificity", "spec", "tnr"),
    "precision": ("precision", "ppv"),
    "npv": ("npv",),
    "balanced_accuracy": ("balanced_accuracy", "bacc"),
    "f1": ("f1",),
    "auc": ("auc", "auroc"),
    "note": ("note", "source"),
}  # fmt: skip
COLUMN_OF = {alias: name for name, aliases in ALIASES.items() for alias in aliases}


class Counts(NamedTuple):
    """A confusion matrix of two classes."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        return sum(self)

    @property
    def positives(self) -> int:
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        return self.tn + self.fp

    def __str__(self) -> str:
        return f"TP {self.tp}, FP {self.fp}, FN {self.fn}, TN {self.tn}"


def _share(k: int, n: int) -> Fraction | None:
    return Fraction(k, n) if n else None


def _balanced(c: Counts) -> Fraction | None:
    s, t = _share(c.tp, c.positives), _share(c.tn, c.negatives)
    return None if s is None or t is None else (s + t) / 2


# Each figure from the counts, or None where it is not defined on them.
FIGURES: dict[str, Callable[[Counts], Fraction | None]] = {
    "accuracy": lambda c: _share(c.tp + c.tn, c.n),
    "sensitivity": lambda c: _share(c.tp, c.positives),
    "specificity": lambda c: _share(c.tn, c.negatives),
    "precision": lambda c: _share(c.tp, c.tp + c.fp),
    "npv": lambda c: _share(c.tn, c.tn + c.fn),
    "balanced_accuracy": _balanced,
    "f1": lambda c: _share(2 * c.tp, 2 * c.tp + c.fp + c.fn),
}
# Numerator and denominator of those figures that are a share of cases.
SHARES: dict[str, Callable[[Counts], tuple[int, int]]] = {
    "accuracy": lambda c: (c.tp + c.tn, c.n),
    "sensitivity": lambda c: (c.tp, c.positives),
    "specificity": lambda c: (c.tn, c.negatives),
    "precision": lambda c: (c.tp, c.tp + c.fp),
    "npv": lambda c: (c.tn, c.tn + c.fn),
}
# The number of cases that the denominator is, whatever was called positive.
SIZE_OF = {"accuracy": "n", "sensitivity": "positives", "specificity": "negatives"}


@dataclass(frozen=True)
class PrintedRow:
    """One row of a table: ``counts`` None where not given, class sizes None where unknown, figures by name."""

    name: str
    line: int
    counts: Counts | None
    n: int | None
    positives: int | None
    negatives: int | None
    printed: dict[str, Printed] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[int, int] | None:
        """(positives, negatives) where both are known."""
        return None if self.positives is None or self.negatives is None else (self.positives, self.negatives)

    @property
    def prevalence(self) -> Fraction | None:
        """Share of positives, where the class sizes are known."""
        return Fraction(self.positives, self.n) if self.positives is not None and self.n else None


def read_printed(path: Path) -> list[PrintedRow]:
    """Rows of a CSV or TSV with columns TP, FP, FN, TN (or n, positives, negatives) and printed figures.

    Figures: accuracy, sensitivity (TPR, recall), specificity (TNR), precision (PPV), NPV, F1, balanced_accuracy, AUC;
    an empty cell is one that the source does not print. Of "83.4 ± 0.9" the first number counts.
    Raises :class:`DataError` that names line and column of what cannot be read, and rows whose sizes contradict.
    """
    rows = read_table(path, required=())
    if not rows:
        raise DataError(f"{path}: the table has no rows")
    columns = _columns(path, [c for c in rows[0] if c != "line"])
    if not set(columns.values()) & (set(FIGURES) | {"auc"}):
        raise DataError(f"{path}: no column of figures; known are {', '.join((*FIGURES, 'auc'))}")
    return [_row(path, {columns[c]: text for c, text in row.items() if c != "line"}, int(row["line"])) for row in rows]


def _columns(path: Path, headers: list[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for header in headers:
        key = header.strip().lower().replace(" ", "_")
        name = COLUMN_OF.get(key)
        if name is None:
            near = difflib.get_close_matches(key, COLUMN_OF, n=1)
            near = [alias.upper() for alias in near] if header.isupper() else near
            hint = f"; is {near[0]!r} meant?" if near else f" (known: {', '.join(COLUMN_OF)})"
            raise DataError(f"{path}: unknown column {header!r}{hint}")
        if name in known.values():
            raise DataError(f"{path}: column {header!r} is the second one for {name}")
        known[header] = name
    return known


def _row(path: Path, cells: dict[str, str], line: int) -> PrintedRow:
    given = {name: text for name, text in cells.items() if text.lower() not in EMPTY}
    where = f"{path}, line {line}"
    whole = {
        name: _whole(given[name], name, where) for name in (*COUNTS, "n", "positives", "negatives") if name in given
    }
    have = [name for name in COUNTS if name in whole]
    if have and len(have) < 4:
        missing = next(name for name in COUNTS if name not in whole)
        raise DataError(f"{where}: {missing.upper()} is missing: give all four counts, or none of them")
    counts = Counts(*(whole[name] for name in COUNTS)) if have else None
    n, positives, negatives = _sizes(counts, whole, where)
    printed, text = {}, {}
    for name in (*FIGURES, "auc"):
        if name in given:
            text[name] = given[name].partition("±")[0].strip()
            try:
                printed[name] = parse_share(text[name])
            except DataError as error:
                raise DataError(f"{where}: {name}: {error}") from None
    name = cells.get("name") or f"line {line}"
    return PrintedRow(name, line, counts, n, positives, negatives, printed, text)


def _whole(text: str, name: str, where: str) -> int:
    digits = text.replace(",", "").replace(" ", "")
    if not digits.isascii() or not digits.isdigit():
        told = name.upper() if name in COUNTS else name
        raise DataError(f"{where}: {told} is {text!r}, not a whole number of cases")
    return int(digits)


def _sizes(counts: Counts | None, whole: dict[str, int], where: str) -> tuple[int | None, int | None, int | None]:
    """(n, positives, negatives), completed where two of them give the third."""
    stated = tuple(whole.get(name) for name in ("n", "positives", "negatives"))
    if counts is not None:
        derived = (counts.n, counts.positives, counts.negatives)
        for name, a, b in zip(("n", "positives", "negatives"), stated, derived, strict=True):
            if a is not None and a != b:
                raise DataError(f"{where}: {name} is {a}, but the counts add up to {b}")
        if not counts.n:
            raise DataError(f"{where}: all four counts are 0")
        return derived
    n, positives, negatives = stated
    if positives is not None and negatives is not None:
        if n is not None and n != positives + negatives:
            raise DataError(f"{where}: {positives} positives and {negatives} negatives are not n = {n}")
        return positives + negatives, positives, negatives
    if n is not None and positives is not None:
        negatives = n - positives
    elif n is not None and negatives is not None:
        positives = n - negatives
    if min(positives or 0, negatives or 0) < 0:
        raise DataError(f"{where}: more cases of one class than n = {n}")
    return n, positives, negatives


def other_rows(row: PrintedRow, rows: list[PrintedRow]) -> Iterator[tuple[PrintedRow, tuple[int, int]]]:
    """Rows of other class sizes with these sizes, each pair of sizes once."""
    seen = {row.classes}
    for other in rows:
        if other.classes is not None and other.classes not in seen:
            seen.add(other.classes)
            yield other, other.classes
