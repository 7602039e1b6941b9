"""C_T with k-means cells: what one global comparison misses, and an interval that covers."""

from __future__ import annotations

import numpy as np
import pytest

from bench import metrics
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics.copying import kmeans_cells, measure_c_t


def modes(n: int, seed: int, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = np.repeat(np.array([[0.0] * 6, [40.0] * 6]), n // 2, axis=0)
    return (centre + spread * rng.normal(size=(n, 6))).astype(np.float32)


def test_cells_find_copies_that_the_whole_hides():
    """Copies in one mode, blur in the other: the global statistic says all is well, the copied cell does not."""
    train, held_out = modes(400, 0), modes(400, 1)
    synthetic = np.concatenate([train[:200] + 0.01, modes(400, 2, 2.5)[200:]])
    found = measure_c_t(held_out, synthetic, train, cells=2)
    assert metrics.c_t(held_out, synthetic, train) > -3
    assert min(found.extra["z_by_cell"]) < -10
    assert max(found.extra["z_by_cell"]) > 5
    assert found.value == pytest.approx(np.mean(found.extra["z_by_cell"]))


def test_equals_the_plain_statistic_on_its_own_cells(golden_set):
    _, arrays = golden_set
    sets = arrays["test"], arrays["gen"], arrays["train"]
    found = measure_c_t(*sets, cells=1, replicates=50)
    assert found.value == pytest.approx(metrics.c_t(*sets), abs=1e-12)
    cells = kmeans_cells(*sets, cells=2)
    if min(np.bincount(cells.held_out, minlength=2).min(), np.bincount(cells.train, minlength=2).min()) > 0:
        assert measure_c_t(*sets, cells=2, replicates=50).value == pytest.approx(metrics.c_t(*sets, cells), abs=1e-12)


def test_null_is_standard_normal_and_the_interval_covers_it():
    """Held-out and oracle come from one distribution: z over draws has SD 1, and 0 lies in 95 % of intervals."""
    rng = np.random.default_rng(3)
    train = rng.normal(size=(300, 4))
    found = [
        measure_c_t(rng.normal(size=(200, 4)), rng.normal(size=(200, 4)), train, cells=3, replicates=300)
        for _ in range(120)
    ]
    assert np.std([e.extra["z"] for e in found]) == pytest.approx(1, abs=0.2)
    assert np.mean([e.low <= 0 <= e.high for e in found]) >= 0.88


def test_order_and_shift_change_nothing(manifold):
    sets = [np.round(manifold[name][:300] * 64) / 64 for name in ("held_out", "oracle", "train")]
    rng = np.random.default_rng(0)
    found = measure_c_t(*sets, cells=3, replicates=50)
    shuffled = measure_c_t(*(rows[rng.permutation(300)] for rows in sets), cells=3, replicates=50)
    moved = measure_c_t(*(rows + 512 for rows in sets), cells=3, replicates=50)
    assert (shuffled.value, shuffled.low) == (found.value, found.low)
    assert moved.value == found.value


def test_number_of_cells_and_bad_input(manifold):
    sets = [manifold[name] for name in ("held_out", "oracle", "train")]
    assert kmeans_cells(*sets).train.max() == 9
    assert kmeans_cells(*(rows[:120] for rows in sets)).train.max() == 1
    assert kmeans_cells(*(rows[:60] for rows in sets)).train.max() == 0
    with pytest.raises(UndefinedMetric, match="901 cells need as many"):
        kmeans_cells(*sets, cells=901)
    with pytest.raises(ConfigError, match="one cell"):
        kmeans_cells(*sets, cells=0)
    with pytest.raises(UndefinedMetric, match="no cell holds a share"):
        measure_c_t(sets[0], sets[1][:15], sets[2], cells=1)
    with pytest.raises(DataError, match="synthetic: row 0 holds NaN"):
        measure_c_t(sets[0], np.full((30, 48), np.nan), sets[2])
    with pytest.raises(UndefinedMetric, match="train has n = 0"):
        measure_c_t(sets[0], sets[1], sets[2][:0])
