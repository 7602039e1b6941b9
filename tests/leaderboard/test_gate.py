"""The memorization gate keeps its level for innocent generators, and sees copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from bench.metrics.copy_chance import at_least
from bench.record import EstimateRecord, FidelityRecord
from leaderboard.gate import ALPHA, copies


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
