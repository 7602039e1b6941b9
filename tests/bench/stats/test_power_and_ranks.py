"""Power, minimum detectable differences, adjusted p-values and tie groups."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import stats
from bench.errors import ConfigError, DataError


def test_two_points_of_sensitivity_cannot_be_seen_with_171_melanomas():
    powers = [stats.power_of_paired_proportions(171, 0.02, d) for d in (0.075, 0.1)]
    assert all(0.12 <= p <= 0.16 for p in powers)
    assert 0.05 <= stats.minimum_detectable_paired_difference(171, 0.08) <= 0.08
    assert 1200 <= stats.cases_for_paired_difference(0.02, 0.08) <= 2000


@given(st.integers(50, 5000), st.floats(0.05, 0.5), st.sampled_from([0.5, 0.8, 0.9]))
def test_detectable_difference_inverts_power(n, discordance, power):
    try:
        found = stats.minimum_detectable_paired_difference(n, discordance, power=power)
    except ConfigError:
        assert stats.power_of_paired_proportions(n, discordance, discordance) < power
        return
    assert stats.power_of_paired_proportions(n, found, discordance) == pytest.approx(power, abs=1e-6)
    assert stats.cases_for_paired_difference(found, discordance, power=power) == pytest.approx(n, abs=1.001)


def test_power_of_mcnemar_agrees_with_simulation():
    rng = np.random.default_rng(0)
    n, difference, discordance = 400, 0.06, 0.12
    only_a, only_b = (discordance + difference) / 2, (discordance - difference) / 2
    found = 0
    for _ in range(1500):
        kind = rng.choice(3, n, p=[only_a, only_b, 1 - discordance])
        y, a, b = np.ones(n, int), (kind != 1).astype(int), (kind != 0).astype(int)
        found += stats.mcnemar(y, a, b).p < 0.05
    assert found / 1500 == pytest.approx(stats.power_of_paired_proportions(n, difference, discordance), abs=0.06)


def test_minimum_detectable_difference_of_a_normal_estimate():
    assert stats.minimum_detectable_difference(0.01) == pytest.approx(0.028016, abs=1e-6)
    assert stats.power_of_difference(stats.minimum_detectable_difference(0.01), 0.01) == pytest.approx(0.8, abs=1e-4)
    assert stats.power_of_difference(0.0, 0.01) == pytest.approx(0.05, abs=1e-12)
    with pytest.raises(ConfigError, match="finite"):
        stats.minimum_detectable_difference(float("nan"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_bonferroni_test(p):
    subsets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    closed = [max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in range(len(p))]
    assert stats.holm(p) == pytest.approx(closed, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_the_least_level_that_rejects(p):
    values = np.array(p)
    at_most = [np.sum(values <= v) for v in values]
    levels = values * len(p) / at_most
    expected = [min(1.0, min(levels[j] for j in range(len(p)) if values[j] >= v)) for v in values]
    assert stats.benjamini_hochberg(p) == pytest.approx(expected, abs=1e-12)
    assert (stats.benjamini_hochberg(p) >= np.asarray(p)).all()  # to the bit: records are refused otherwise
    assert (stats.holm(p) >= np.asarray(p)).all()


def test_p_values_are_checked():
    for bad in ([0.1, 1.2], [np.nan], [[0.1]]):
        with pytest.raises(DataError, match="p-values"):
            stats.holm(bad)


def test_standings_do_not_separate_what_overlaps():
    found = stats.standings(low=[0.80, 0.70, 0.40], high=[0.90, 0.85, 0.50], value=[0.85, 0.78, 0.45])
    assert [s.rank for s in found] == [1, 2, 3]
    assert [s.tie_group for s in found] == [1, 1, 2]
    assert [(s.best, s.worst) for s in found] == [(1, 2), (1, 2), (3, 3)]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3)), min_size=1, max_size=8))
def test_rank_lies_in_its_interval(entries):
    value = [v for v, _ in entries]
    found = stats.standings([v - h for v, h in entries], [v + h for v, h in entries], value)
    assert all(s.best <= s.rank <= s.worst for s in found)
