"""Means over pairs: designs that are balanced, and a standard error that equals the spread of repeated draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.stats.pairs import balanced_pairs, pair_mean


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 70), st.integers(0, 100))
def test_every_case_is_in_equally_many_pairs(n, partners, seed):
    first, second = balanced_pairs(n, partners, seed)
    assert np.all(first != second)
    assert len({frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}) == len(first)
    degrees = np.bincount(np.concatenate([first, second]), minlength=n)
    assert len(set(degrees.tolist())) == 1
    if n > 2:
        assert degrees[0] >= min(partners, 2)
    assert degrees[0] <= partners + 1
    if partners >= n - 1:
        assert len(first) == n * (n - 1) // 2


@pytest.mark.parametrize(("n", "partners"), [(12, 11), (40, 39), (40, 6), (60, 2)])
@pytest.mark.parametrize("shift", [0.0, 3.0], ids=["degenerate", "linear"])
def test_standard_error_equals_the_spread_of_repeated_draws(n, partners, shift):
    """(x + c)(y + c): for c = 3 nearly only cases matter; for c = 0 none does by itself, and the error is on the safe
    side, since the variance of what is not there cannot come out negative."""
    rng = np.random.default_rng(7)
    draws = 3000
    x = rng.normal(size=(draws, n)) + shift
    first, second = balanced_pairs(n, partners)
    found = [pair_mean(row[first] * row[second], first, second, n) for row in x]
    spread = np.std([f.value for f in found], ddof=1)
    error = np.sqrt(np.mean([f.se**2 for f in found])) / spread
    assert 0.93 <= error <= (1.07 if shift else 1.5)


def test_pairs_taken_for_independent_would_be_too_sure():
    rng = np.random.default_rng(0)
    x = rng.normal(size=50) + 3
    first, second = balanced_pairs(50, 49)
    products = x[first] * x[second]
    naive = products.std(ddof=1) / np.sqrt(len(products))
    assert pair_mean(products, first, second, 50).se > 4 * naive


def test_constant_pairs_have_no_error():
    first, second = balanced_pairs(9, 4)
    assert pair_mean(np.full(len(first), 0.3), first, second, 9) == pytest.approx((0.3, 0.0, len(first)))


def test_bad_input():
    with pytest.raises(UndefinedMetric, match="n = 1"):
        balanced_pairs(1, 3)
    with pytest.raises(ConfigError, match="partner"):
        balanced_pairs(5, 0)
    first, second = balanced_pairs(3, 2)
    with pytest.raises(UndefinedMetric, match="4 cases and n = 3"):
        pair_mean(np.ones(3), first, second, 3)
    first, second = balanced_pairs(6, 5)
    with pytest.raises(DataError, match="pair 4 is not finite"):
        pair_mean(np.where(np.arange(15) == 4, np.nan, 1.0), first, second, 6)
    with pytest.raises(DataError, match="unequal numbers"):
        pair_mean(np.ones(14), first[1:], second[1:], 6)
