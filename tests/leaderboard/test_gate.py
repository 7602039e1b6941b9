"""The memorization gate keeps its level for innocent generators, and sees copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from bench.metrics.copy_chance import at_least
from bench.record import EstimateRecord, FidelityRecord, RoundRecord
from leaderboard.gate import ALPHA, copies, copies_in_rounds


def record(seed: int, count: int, n: int = 400, held_out: int = 400) -> FidelityRecord:
    rate = EstimateRecord(value=count / n, n=n)
    return FidelityRecord(
        name="g", seed=seed, extractor="e", weights_sha256="", resize="", n_reference=held_out, n_synthetic=n,
        metrics={"copy_rate": rate},
    )  # fmt: skip


def counted(rng: np.random.Generator, share: float, n: int = 400) -> int:
    """Near-copies of a generator that copies a ``share``: distances drawn as those of held-out images, or 0."""
    held_out, synthetic = rng.random(n), rng.random(n)
    synthetic[: round(share * n)] = 0
    return int(np.sum(synthetic < np.quantile(held_out, 0.01, method="inverted_cdf")))


@pytest.mark.parametrize(("k", "n", "a", "b"), [(0, 10, 1, 5), (3, 100, 1, 100), (13, 401, 5, 397), (11, 10, 2, 2)])
def test_the_tail_is_that_of_scipy(k: int, n: int, a: int, b: int) -> None:
    assert at_least(k, n, a, b) == pytest.approx(betabinom(n, a, b).sf(k - 1), abs=1e-10)


def test_innocent_generators_keep_their_rank() -> None:
    rng = np.random.default_rng(0)
    refused = sum(copies([record(0, counted(rng, 0))]) for _ in range(4000))
    assert refused <= 4000 * ALPHA + 4 * np.sqrt(4000 * ALPHA * (1 - ALPHA))
    assert refused >= 20  # a gate that never closes would pass above


def test_five_per_cent_of_copies_are_seen() -> None:
    rng = np.random.default_rng(1)
    assert sum(copies([record(0, counted(rng, 0.05))]) for _ in range(200)) >= 195


def test_seeds_count_together_and_one_bad_draw_is_not_enough() -> None:
    assert copies([record(seed, 30) for seed in range(3)])
    assert not copies([record(0, 30), record(1, 3), record(2, 4)])
    assert not copies([])
    assert not copies([record(0, 30).model_copy(update={"metrics": {}})])


def accepted(seed: int, r: int, count: int, n: int = 60, held_out: int = 400) -> RoundRecord:
    rate = EstimateRecord(value=count / n, n=n)
    return RoundRecord(
        seed=seed, round=r, n_synthetic=n, n_reference=held_out, extractor="e", metrics={"copy_rate": rate}
    )


def test_the_rounds_of_a_seed_are_one_count() -> None:
    assert not copies_in_rounds([accepted(0, 1, 3)])
    assert copies_in_rounds([accepted(0, r, 3) for r in range(1, 6)])  # of 300 images 15
    assert copies([record(0, 15, n=300)])
    assert not copies_in_rounds([accepted(seed, 1, 3) for seed in range(5)])  # seeds are no rounds of one another
    assert not copies_in_rounds([])
    unmeasured = RoundRecord(seed=0, round=1, n_synthetic=60, n_reference=40, extractor="e")
    assert not copies_in_rounds([unmeasured])


def test_innocent_rounds_keep_their_rank() -> None:
    """The rounds of a run share one threshold, drawn from its held-out images."""
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(3000):
        threshold = np.quantile(rng.random(400), 0.01, method="inverted_cdf")
        refused += copies_in_rounds([accepted(0, r, int(np.sum(rng.random(120) < threshold)), 120) for r in (1, 2, 3)])
    assert 15 <= refused <= 3000 * ALPHA + 4 * np.sqrt(3000 * ALPHA * (1 - ALPHA))
