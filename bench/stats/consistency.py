"""Whether printed figures can follow from counts: exact arithmetic on the digits as they stand in a table.

A printed share such as ".891" stands for every number that rounds to it, here the closed interval [0.8905, 0.8915]
(half a digit either way, so that both ways of rounding a half are allowed), or, where digits were cut off instead, for
[0.891, 0.892). Which counts k of n can be printed so is the GRIM test (Brown & Heathers 2017, Soc. Psychol. Personal.
Sci. 8:363) for shares instead of means.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from bench.errors import DataError

_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?\s*(%?)")


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, both included."""

    low: Fraction
    high: Fraction

    def holds(self, value: Fraction) -> bool:
        return self.low <= value <= self.high

    def meets(self, other: Range) -> bool:
        """Whether the two have a number in common."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Printed:
    """A share as it stands in a table. ``unit``: worth of its last digit; both on the scale 0..1.

    >>> parse_share("89.1 %") == parse_share(".891")
    True
    """

    value: Fraction
    unit: Fraction

    def rounded(self) -> Range:
        """All numbers that round to it, whichever way halves go."""
        return Range(self.value - self.unit / 2, self.value + self.unit / 2)

    def within_a_digit(self) -> Range:
        """All numbers that round to it or, if further digits are cut off, begin with it."""
        return Range(self.value - self.unit / 2, self.value + self.unit)

    def follows(self, exact: Fraction) -> bool:
        """Whether ``exact``, rounded, is printed so."""
        return self.rounded().holds(exact)

    def follows_if_cut(self, exact: Fraction) -> bool:
        """Whether ``exact`` is printed so when further digits are dropped instead of rounded."""
        return self.value <= exact < self.value + self.unit


def parse_share(text: str) -> Printed:
    """A share from its digits: ".891", "0.891", "89.1 %"; a number above 1 is taken as a percentage.

    Raises :class:`DataError` for anything else, and for shares outside 0..1.
    """
    found = _NUMBER.fullmatch(text.strip())
    sign, whole, digits, percent = found.groups() if found else ("", "", "", "")
    digits = digits or ""
    if not whole and not digits:
        raise DataError(f"{text!r} is not a number: write a share such as .891, or 89.1 %")
    value, unit = Fraction(int((whole or "0") + digits), 10 ** len(digits)), Fraction(1, 10 ** len(digits))
    if percent or value > 1:
        value, unit = value / 100, unit / 100
    if sign == "-" or value > 1:
        raise DataError(f"{text!r} is not a share: it must lie in 0..1, or in 0..100 as a percentage")
    return Printed(value, unit)


def possible_counts(share: Range, n: int) -> range:
    """Every k in 0..n for which k / n lies in ``share``; empty if no count of n can be printed so."""
    if n <= 0:
        return range(0)
    low, high = max(0, math.ceil(share.low * n)), min(n, math.floor(share.high * n))
    return range(low, high + 1)


def nearest_counts(share: Printed, n: int) -> tuple[int, ...]:
    """The counts on both sides of ``share`` x n: what can be had instead where no count fits."""
    exact = share.value * n
    return tuple(sorted({k for k in (math.floor(exact), math.ceil(exact)) if 0 <= k <= n}))


def prevalence_from_accuracy(accuracy: Range, sensitivity: Range, specificity: Range) -> Range | None:
    """Share of positives that the three figures imply, or None where sensitivity may equal specificity.

    accuracy = p sensitivity + (1 - p) specificity, hence p = (accuracy - specificity) / (sensitivity - specificity).
    It is monotone in each of the three, so its extremes lie in the corners. Not clipped: a range outside 0..1 says
    that no mixture of the classes gives this accuracy.
    """
    if sensitivity.meets(specificity):
        return None
    return _corners([(a - t) / (s - t) for a, s, t in product(accuracy, sensitivity, specificity)])


def prevalence_from_precision(precision: Range, sensitivity: Range, specificity: Range) -> Range | None:
    """Share of positives that the three figures imply, or None where they do not determine it.

    precision = p s / (p s + (1 - p) (1 - t)), hence p / (1 - p) = precision (1 - t) / (s (1 - precision)).
    """
    corners = [
        (q * (1 - t), s * (1 - q)) for q, s, t in product(_clip(precision), _clip(sensitivity), _clip(specificity))
    ]
    if any(not false + true for false, true in corners):
        return None
    return _corners([false / (false + true) for false, true in corners])


def accuracy_range(sensitivity: Range, specificity: Range) -> Range:
    """Accuracy is a mean of both, weighted by the class sizes: it cannot leave their hull, whatever the sizes are."""
    return Range(min(sensitivity.low, specificity.low), max(sensitivity.high, specificity.high))


def auc_range(sensitivity: Range, specificity: Range) -> Range:
    """AUCs of all non-decreasing ROC curves through one operating point.

    Least: the curve is 0 before the point and stays at its height after it, sensitivity x specificity. Greatest: at
    that height before it and 1 after it, 1 - (1 - sensitivity) (1 - specificity).
    """
    s, t = _clip(sensitivity), _clip(specificity)
    return Range(s.low * t.low, 1 - (1 - s.high) * (1 - t.high))


def _corners(values: list[Fraction]) -> Range:
    return Range(min(values), max(values))


def _clip(share: Range) -> Range:
    return Range(max(Fraction(0), share.low), min(Fraction(1), share.high))
