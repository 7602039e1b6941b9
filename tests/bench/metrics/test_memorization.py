"""Copies are found at the rate at which they were planted; the unsuspicious stays unsuspected."""

from __future__ import annotations

import numpy as np
import pytest

from bench import metrics
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics.memorization import CopyRate, train_neighbours


def planted(manifold: dict[str, np.ndarray], share: float) -> np.ndarray:
    """The oracle with a ``share`` of its images replaced by copies of training images."""
    synthetic = manifold["oracle"].copy()
    count = round(share * len(synthetic))
    synthetic[:count] = manifold["train"][:count]
    return synthetic


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.6, 1.0])
def test_copy_rate_recovers_the_planted_share(manifold, share):
    found = metrics.copy_rate(manifold["train"], manifold["held_out"], planted(manifold, share))
    expected = share + (1 - share) * 0.01
    assert abs(found - expected) <= 3 * np.sqrt(expected * (1 - expected) / 900 + 0.01 * 0.99 / 900)
    assert found.low <= found <= found.high
    assert found.held_out_share <= 0.01


def test_copy_rate_rises_with_copies(manifold):
    rates = [
        metrics.copy_rate(manifold["train"], manifold["held_out"], planted(manifold, s))
        for s in (0, 0.02, 0.05, 0.1, 0.5)
    ]
    assert rates == sorted(rates)


def test_threshold_lets_pass_at_most_the_false_positive_rate():
    held_out = np.arange(1.0, 201.0)
    found = CopyRate.of(np.array([0.5, 1.5, 2.0, 2.5]), held_out, 0.01)
    assert (found.threshold, found.k, found.held_out_share) == (2.0, 2, 1 / 200)


def test_copy_rate_needs_enough_held_out_images(manifold):
    with pytest.raises(UndefinedMetric, match="needs 100 held-out images, n = 99"):
        metrics.copy_rate(manifold["train"], manifold["held_out"][:99], manifold["oracle"])
    with pytest.raises(ConfigError, match="fpr"):
        metrics.copy_rate(manifold["train"], manifold["held_out"], manifold["oracle"], fpr=0)


def test_authenticity_of_copies_noise_and_reals(manifold):
    train = manifold["train"]
    noise = np.random.default_rng(0).uniform(-4, 4, (300, 48))
    assert metrics.authenticity(train, train) == 0
    assert metrics.authenticity(train, noise) == 1
    oracle = metrics.authenticity(train, manifold["oracle"])
    null = metrics.authenticity(train, manifold["held_out"])
    assert abs(oracle - null) < 3 * np.sqrt(2 * null * (1 - null) / 900)
    assert 0.4 < null < 0.95  # not 1


def test_authenticity_looks_up_the_training_neighbour_not_the_position():
    """An index error of a public implementation reads the distance of row j for the neighbour j of another array."""
    train = np.array([[0.0], [10.0], [10.1], [50.0]])
    synthetic = np.array([[52.0], [10.02], [0.3], [80.0], [81.0]])
    # Nearest rows 3, 1, 0, 3, 3; own distances 10, .1, .1, 39.9.
    assert metrics.authenticity(train, synthetic).k == 0
    assert metrics.authenticity(train, np.array([[10.3]])).k == 1


def test_share_nearer_train(manifold):
    train, held_out = manifold["train"], manifold["held_out"]
    assert metrics.share_nearer_train(train, held_out, train) == 1
    assert metrics.share_nearer_train(train, held_out, held_out) == 0
    oracle = metrics.share_nearer_train(train, held_out[:700], manifold["oracle"])
    assert abs(oracle - 0.5) < 3 * np.sqrt(0.25 / 900) + 0.03
    assert metrics.share_nearer_train(train, train, manifold["oracle"]) == 0.5


def test_ratio_is_taken_against_another_lesion():
    train = np.array([[0.0, 0], [0.0, 1], [10.0, 0], [30.0, 0]])
    lesions = np.array(["a", "a", "b", "c"])
    query = np.array([[0.0, 0.0], [1.0, 0.0], [20.0, 0.0]])
    assert metrics.nn_ratio(train, query, lesions) == pytest.approx([0, 1 / 9, 1])
    assert metrics.nn_ratio(train, query) == pytest.approx([0, 1 / np.sqrt(2), 1])
    found = train_neighbours(query, train, lesions)
    assert found.foreign == pytest.approx([10, 9, 10])
    with pytest.raises(UndefinedMetric, match="one group"):
        metrics.nn_ratio(train, query, np.array(["a"] * 4))


def test_orientations_take_the_nearest_of_all(manifold):
    rng = np.random.default_rng(0)
    train = manifold["train"][:100]
    images = rng.normal(size=(8, 30, 48))
    images[5, :10] = train[:10]
    rows, distances = metrics.nearest(images, train)
    each = [metrics.nearest(part, train).distances for part in images]
    assert np.array_equal(distances, np.min(each, axis=0))
    assert np.array_equal(rows[:10], np.arange(10))
    found = train_neighbours(images, train)
    assert np.array_equal(found.rows, rows)
    assert np.array_equal(found.distances, distances)


def test_data_copying_statistic_reacts_to_copies(manifold):
    train, held_out = manifold["train"], manifold["held_out"]
    assert abs(metrics.c_t(held_out, manifold["oracle"], train)) < 3
    assert metrics.c_t(held_out, train, train) < -20
    assert metrics.c_t(held_out, np.random.default_rng(0).uniform(-4, 4, (300, 48)), train) > 10


def test_cells_are_checked(manifold):
    sets = manifold["held_out"][:50], manifold["oracle"][:50], manifold["train"][:50]
    with pytest.raises(DataError, match="cell numbers have shape"):
        metrics.c_t(*sets, cells=(np.zeros(50), np.zeros(49), np.zeros(50)))
    with pytest.raises(UndefinedMetric, match="cell 1 holds no training image"):
        metrics.c_t(*sets, cells=(np.arange(50) % 2, np.arange(50) % 2, np.zeros(50)))


def test_moving_all_features_changes_no_verdict(manifold):
    train, held_out, synthetic = (
        np.round(z * 64) / 64 for z in (*map(manifold.get, ("train", "held_out")), planted(manifold, 0.1))
    )
    moved = [z + 512 for z in (train, held_out, synthetic)]
    assert metrics.copy_rate(train, held_out, synthetic) == metrics.copy_rate(*moved)
    assert metrics.authenticity(train, synthetic) == metrics.authenticity(moved[0], moved[2])
    assert metrics.c_t(held_out, synthetic, train) == metrics.c_t(moved[1], moved[2], moved[0])
