"""Copies are told from chance by the law of the count, also where fidelity withholds the other numbers of privacy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from bench.contracts import Estimate
from bench.metrics.copy_chance import ALPHA, at_least, chance_of_count
from bench.metrics.memorization import CopyRate
from bench.metrics.privacy import GATE, Privacy, gate, p_innocent

POOR = Estimate(0.0, 0.0, GATE / 2, 400, "", "higher")


@pytest.mark.parametrize(("k", "n", "a", "b"), [(0, 10, 1, 5), (3, 100, 1, 100), (13, 401, 5, 397), (11, 10, 2, 2)])
def test_the_tail_is_that_of_scipy(k: int, n: int, a: int, b: int) -> None:
    assert at_least(k, n, a, b) == pytest.approx(betabinom(n, a, b).sf(k - 1), abs=1e-10)


def rate(k: int, n: int) -> Estimate:
    return Estimate(k / n, 0.5 * k / n, 2 * k / n, n, "", "lower", extra={"k": k, "null": 0.0075})


def test_counts_that_chance_gives_are_withheld_with_the_other_numbers() -> None:
    """11 of 400 lie beyond the binomial interval of 1 % and within what an unknown quantile gives."""
    limit = next(k for k in range(400) if chance_of_count(k, 400, 400) <= ALPHA)
    assert 11 < limit < 30
    for k, kept in ((0, False), (11, False), (limit - 1, False), (limit, True), (400, True)):
        assert (gate({"copy_rate[pixels]": rate(k, 400)}, POOR, 400)["copy_rate[pixels]"].value is not None) == kept
    other = Estimate(0.9, 0.8, 1.0, 400, extra={"k": 360})
    assert gate({"authenticity": other}, POOR, 400)["authenticity"].extra["ungated"] == 0.9
    assert gate({"authenticity": other}, Estimate(0.5, 0.4, 0.6, 400), 400)["authenticity"] is other


def test_an_innocent_set_is_taken_for_copies_at_the_nominal_level() -> None:
    rng, repeats, n = np.random.default_rng(4), 3000, 300
    taken = 0
    for _ in range(repeats):
        found = CopyRate.of(rng.random(n), rng.random(n))
        taken += chance_of_count(found.k, n, n) <= ALPHA
    assert 10 <= taken <= repeats * ALPHA + 4 * np.sqrt(repeats * ALPHA)


def test_the_chance_of_a_measured_rate() -> None:
    innocent = []
    for seed in range(5):
        train, held_out, fresh = np.random.default_rng(seed).normal(size=(3, 300, 24))
        innocent.append(p_innocent(Privacy(train, held_out, fresh, None, 0, 100).copy_rate(), 300))
    assert np.median(innocent) > 0.2
    copied = np.concatenate([fresh[:270], train[:30] + 1e-3 * held_out[:30]])
    guilty = Privacy(train, held_out, copied, None, 0, 100).copy_rate()
    assert p_innocent(guilty, 300) < 1e-6
    assert p_innocent(Estimate.undefined("no image"), 300) is None
