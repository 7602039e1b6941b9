"""Printed shares: what rounds to them, which counts can, and what three of them imply about the classes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DataError
from bench.stats.consistency import (
    Range,
    accuracy_range,
    auc_range,
    nearest_counts,
    parse_share,
    possible_counts,
    prevalence_from_accuracy,
    prevalence_from_precision,
)

COUNTS = st.tuples(*[st.integers(0, 3_000)] * 4)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        (".891", Fraction(891, 1000), Fraction(1, 1000)),
        ("0.9", Fraction(9, 10), Fraction(1, 10)),
        ("89.1 %", Fraction(891, 1000), Fraction(1, 1000)),
        ("98.8", Fraction(988, 1000), Fraction(1, 1000)),
        ("1.000", Fraction(1), Fraction(1, 1000)),
        ("0.5%", Fraction(5, 1000), Fraction(1, 1000)),
    ],
)
def test_digits_say_how_exact_a_share_is(text: str, value: Fraction, unit: Fraction) -> None:
    share = parse_share(text)
    assert (share.value, share.unit) == (value, unit)


@pytest.mark.parametrize("text", ["", ".", "high", "-.5", "120 %", "1e-2", "0,958", "nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_share(text)


@given(st.integers(1, 5_000), st.integers(0, 5_000), st.integers(1, 4))
def test_a_count_is_among_those_that_its_own_digits_allow(n: int, k: int, decimals: int) -> None:
    k = min(k, n)
    share = parse_share(f"{100 * k / n:.{decimals}f} %") if k else parse_share(f"0.{'0' * decimals}")
    assert k in possible_counts(share.rounded(), n)
    assert share.follows(Fraction(k, n))


@given(st.integers(1, 400), st.integers(0, 1_000))
def test_possible_counts_are_those_that_round_so_and_no_others(n: int, thousandths: int) -> None:
    share = parse_share(f"{thousandths / 1000:.3f}")
    expected = [k for k in range(n + 1) if abs(Fraction(k, n) - share.value) <= Fraction(1, 2000)]
    assert list(possible_counts(share.rounded(), n)) == expected


def test_some_shares_cannot_be_had_with_a_given_n() -> None:
    assert list(possible_counts(parse_share(".891").rounded(), 255)) == []
    assert nearest_counts(parse_share(".891"), 255) == (227, 228)


@given(COUNTS)
def test_prevalence_is_found_from_exact_figures(counts: tuple[int, int, int, int]) -> None:
    tp, fp, fn, tn = counts
    if not (tp and fp and fn and tn):
        return
    exact = [Fraction(tp + tn, sum(counts)), Fraction(tp, tp + fn), Fraction(tn, tn + fp), Fraction(tp, tp + fp)]
    accuracy, sensitivity, specificity, precision = (Range(e, e) for e in exact)
    prevalence = Fraction(tp + fn, sum(counts))
    assert prevalence_from_precision(precision, sensitivity, specificity) == (prevalence, prevalence)
    if sensitivity != specificity:
        assert prevalence_from_accuracy(accuracy, sensitivity, specificity) == (prevalence, prevalence)
    else:
        assert prevalence_from_accuracy(accuracy, sensitivity, specificity) is None


@given(COUNTS, st.integers(2, 4))
def test_prevalence_lies_in_what_rounded_figures_imply(counts: tuple[int, int, int, int], decimals: int) -> None:
    tp, fp, fn, tn = counts
    if not (tp + fn and tn + fp and tp + fp):
        return
    shares = [
        parse_share(f"{float(e):.{decimals}f}").rounded()
        for e in (Fraction(tp + tn, sum(counts)), Fraction(tp, tp + fn), Fraction(tn, tn + fp), Fraction(tp, tp + fp))
    ]
    prevalence = Fraction(tp + fn, sum(counts))
    for implied in (prevalence_from_accuracy(*shares[:3]), prevalence_from_precision(shares[3], *shares[1:3])):
        assert implied is None or implied.holds(prevalence)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60), st.integers(0, 20))
def test_the_auc_of_scores_lies_in_the_range_of_every_operating_point(cases: list[tuple[bool, int]], cut: int) -> None:
    from bench.stats import auc

    y, score = [int(positive) for positive, _ in cases], [float(s) for _, s in cases]
    if len(set(y)) < 2:
        return
    sensitivity = Fraction(sum(p and s >= cut for p, s in cases), sum(y))
    specificity = Fraction(sum(not p and s < cut for p, s in cases), len(y) - sum(y))
    bounds = auc_range(Range(sensitivity, sensitivity), Range(specificity, specificity))
    assert float(bounds.low) - 1e-12 <= auc(y, score) <= float(bounds.high) + 1e-12


def test_accuracy_lies_between_sensitivity_and_specificity() -> None:
    hull = accuracy_range(parse_share(".70").rounded(), parse_share(".90").rounded())
    assert hull == (Fraction(695, 1000), Fraction(905, 1000))
