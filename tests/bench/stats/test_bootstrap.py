"""The bootstrap against closed forms: DeLong, binomial quantiles, clusters of copies."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binomtest

from bench import stats
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.stats import bootstrap, weighted
from bench.stats.checks import group_codes
from bench.stats.resample import case_weights


def test_auc_standard_error_equals_delong(large):
    boot = stats.stratified_bootstrap(*large, 0.7, seed=3)["auc"]
    exact = stats.delong(*large)
    assert boot.value == pytest.approx(exact.auc, abs=1e-14)
    assert boot.se == pytest.approx(exact.se, rel=0.03)
    assert boot.replicates.mean() == pytest.approx(exact.auc, abs=4 * exact.se / 100)
    assert (boot.low, boot.high) == pytest.approx((exact.low, exact.high), abs=0.003)


def test_weighted_path_and_run_path_agree(large):
    y, score = large[0].astype(bool), np.round(large[1], 1)
    fast = bootstrap.auc_bootstrap(y, score, None, 4000, seed=3)
    singles = bootstrap.auc_bootstrap(y, score, np.arange(len(y)), 4000, seed=4)
    assert fast.value == singles.value == pytest.approx(stats.auc(y, score), abs=1e-14)
    assert fast.se == pytest.approx(singles.se, rel=0.05)


@pytest.mark.parametrize("name", ["auc", "partial_auc", "average_precision", "calibration_error"])
def test_weighted_statistics_equal_those_of_repeated_cases(large, name):
    y, p = large[0][:80].astype(bool), np.round(1 / (1 + np.exp(-large[1][:80])), 2)
    plain = stats.expected_calibration_error if name == "calibration_error" else getattr(stats, name)
    statistic = getattr(weighted, f"{name}_of")(y, p)
    weights = np.random.default_rng(1).integers(0, 4, (5, 80))
    for w, value in zip(weights, statistic(weights.astype(float)), strict=True):
        assert value == pytest.approx(plain(np.repeat(y, w), np.repeat(p, w)), abs=1e-12)


def test_copies_in_one_cluster_add_no_information(large):
    """Every case photographed three times: clustered limits stay, unclustered ones shrink by sqrt(3)."""
    y, score = large[0][:600], large[1][:600]
    names = np.array([f"lesion-{i}" for i in range(600)])
    once = stats.stratified_bootstrap(y, score, 0.7, replicates=4000)
    tripled = [np.repeat(a, 3) for a in (y, score, names)]
    clustered = stats.stratified_bootstrap(*tripled[:2], 0.7, groups=tripled[2], replicates=4000)
    blind = stats.stratified_bootstrap(*tripled[:2], 0.7, replicates=4000)
    for name in once:
        assert clustered[name].se == pytest.approx(once[name].se, rel=0.06), name
        assert blind[name].se == pytest.approx(once[name].se / np.sqrt(3), rel=0.06), name


@pytest.mark.parametrize("groups", [None, "pairs"])
def test_row_order_changes_no_bit(large, groups):
    y, score = large
    names = None if groups is None else np.array([f"g{i // 2}" for i in range(len(y))])
    order = np.random.default_rng(0).permutation(len(y))
    first = stats.stratified_bootstrap(y, score, 0.7, names, 300)
    shuffled = None if names is None else names[order]
    second = stats.stratified_bootstrap(y[order], score[order], 0.7, shuffled, 300)
    for name in first:
        assert np.array_equal(first[name].replicates, second[name].replicates), name


@pytest.mark.parametrize("groups", [None, "pairs"])
def test_block_size_changes_no_bit(large, groups, monkeypatch):
    labels = large[0].astype(bool)
    codes = None if groups is None else group_codes(np.arange(len(labels)) // 2, len(labels))
    whole = bootstrap.auc_bootstrap(labels, large[1], codes, 300, seed=1).replicates
    monkeypatch.setattr("bench.stats.resample.CELLS", 7000)
    monkeypatch.setattr("bench.stats.resample.KEPT", 0)  # drawn anew, not the weights of above
    monkeypatch.setattr("bench.stats.bootstrap.CELLS", 70_000)
    assert np.array_equal(whole, bootstrap.auc_bootstrap(labels, large[1], codes, 300, seed=1).replicates)


@pytest.mark.parametrize("groups", [None, 2, 7])
def test_weights_that_are_kept_are_those_that_are_drawn(large, groups, monkeypatch):
    """Also where another statistic has written on its block, and for other cases in between."""
    labels = large[0].astype(bool)
    codes = None if groups is None else np.arange(len(labels)) // groups
    for block in case_weights(labels, codes, 60, seed=5):
        block[:] = -1
    for other in (~labels, labels[:100]):
        assert sum(map(len, case_weights(other, None if codes is None else codes[: len(other)], 60, seed=5))) == 60
    kept = np.concatenate(list(case_weights(labels, codes, 60, seed=5)))
    monkeypatch.setattr("bench.stats.resample.KEPT", 0)
    assert np.array_equal(kept, np.concatenate(list(case_weights(labels, codes, 60, seed=5))))


def test_weights_draw_each_class_as_often_as_it_has_cases(large):
    labels = large[0].astype(bool)
    weights = np.concatenate(list(case_weights(labels, None, 50, seed=0)))
    assert np.all(weights[:, labels].sum(axis=1) == labels.sum())
    assert np.all(weights.sum(axis=1) == len(labels))


def test_seed_decides(large):
    a, b, c = (stats.stratified_bootstrap(*large, 0.7, replicates=200, seed=s)["auc"].replicates for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_absent_class_leaves_its_numbers_out():
    found = stats.stratified_bootstrap([0, 0, 0], [0.1, 0.2, 0.9], 0.5, replicates=100)
    assert set(found) == {"specificity", "accuracy"}
    with pytest.raises(DataError, match="NaN"):
        stats.stratified_bootstrap([0, 1], [0.1, 0.9], float("nan"))
    with pytest.raises(ConfigError, match="2 replicates"):
        stats.stratified_bootstrap([0, 1], [0.1, 0.9], 0.5, replicates=1)


class TestTwoLevel:
    def arms(self, seeds: int, gain: float, spread: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(11)
        y = np.arange(500) % 5 == 0
        base = rng.normal(size=500) + 1.3 * y
        noise = rng.normal(size=(2, seeds, 500)) * 0.5
        shift = gain + spread * rng.normal(size=(seeds, 1))
        return y, base + noise[0] + shift * y, base + noise[1]

    def test_identical_arms_have_p_one(self):
        y, a, _ = self.arms(3, 0.0)
        found = stats.two_level_bootstrap(y, a, a, replicates=500)
        assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)

    def test_swapping_arms_flips_only_the_sign(self):
        y, a, b = self.arms(4, 0.3)
        names = np.array([f"g{i // 2}" for i in range(len(y))])
        there = stats.two_level_bootstrap(y, a, b, names, replicates=800)
        back = stats.two_level_bootstrap(y, b, a, names, replicates=800)
        assert back.value == -there.value
        assert np.array_equal(back.replicates, -there.replicates)
        assert back.p == there.p

    def test_one_seed_equals_paired_delong(self):
        y, a, b = self.arms(1, 0.4)
        found = stats.two_level_bootstrap(y, a, b)
        exact = stats.delong_paired(y, a[0], b[0])
        assert found.value == pytest.approx(exact.difference, abs=1e-14)
        assert found.se == pytest.approx(np.sqrt(exact.variance), rel=0.03)
        assert found.p == pytest.approx(exact.p, abs=0.02)
        assert found.seed_se is None
        assert "one seed" in found.note

    def test_replicates_equal_auc_differences_of_resampled_cases(self):
        y, a, b = self.arms(2, 0.3)
        names = np.array([f"g{i // 3}" for i in range(len(y))])
        found = stats.two_level_bootstrap(y, np.stack([a[0]] * 2), np.stack([b[0]] * 2), names, replicates=40, seed=9)
        weights = np.concatenate(list(case_weights(y, group_codes(names, len(y)), 40, seed=9)))
        for w, value in zip(weights.astype(int), found.replicates, strict=True):
            drawn = [np.repeat(v, w) for v in (y, a[0], b[0])]
            assert value == pytest.approx(stats.auc(*drawn[:2]) - stats.auc(drawn[0], drawn[2]), abs=1e-12)

    def test_error_covers_training_runs_and_cases(self):
        """With seeds that differ by far more than test sets do, the error is that of the mean of S values."""
        y, a, b = self.arms(10, 1.0, spread=0.8)
        found = stats.two_level_bootstrap(y, a, b)
        expected = np.hypot(found.per_seed.std(ddof=1) / np.sqrt(10), found.case_se)
        assert found.seed_se > found.case_se
        assert found.se == pytest.approx(expected, rel=0.12)

    @pytest.mark.parametrize("seeds", [3, 5, 10])
    def test_few_seeds_find_no_more_than_chance(self, seeds):
        """Equal arms whose trainings differ by more than test sets do: a difference in 5 % of runs, not in 10 to 20."""
        rng, runs = np.random.default_rng(seeds), 1000
        y = np.arange(120) % 4 == 0
        found = plain = 0
        for _ in range(runs):
            base = rng.normal(size=120) + 1.5 * y
            a, b = (base + 0.8 * rng.normal(size=(seeds, 1)) * y for _ in range(2))
            one = stats.two_level_bootstrap(y, a, b, replicates=400)
            found += not one.low <= 0 <= one.high
            plain += abs(one.value) > 1.96 * one.se
        assert binomtest(found, runs, 0.05).pvalue > 0.001
        if seeds <= 5:  # the plain error finds too much: what is tested here makes a difference
            assert binomtest(plain, runs, 0.05, alternative="greater").pvalue < 0.001

    def test_limits_of_two_seeds_that_differ_much_stay_within_what_a_difference_can_be(self):
        y = np.arange(40) % 2 == 0
        right, wrong = y + 0.1 * np.arange(40), -1.0 * y
        found = stats.two_level_bootstrap(y, np.stack([right, wrong]), np.stack([wrong, right]), replicates=400)
        assert (found.value, found.low, found.high) == (pytest.approx(0, abs=1e-12), -1, 1)
        assert np.abs(found.replicates).max() > 1

    def test_bad_arms(self):
        y, a, b = self.arms(2, 0.0)
        with pytest.raises(DataError, match="one shape"):
            stats.two_level_bootstrap(y, a, b[:1])
        b = b.copy()
        b[1, 7] = np.nan
        with pytest.raises(DataError, match=r"arm b, seed 1 are not finite .* row 7"):
            stats.two_level_bootstrap(y, a, b)
        with pytest.raises(UndefinedMetric):
            stats.two_level_bootstrap(np.zeros(500), a, a)


@pytest.mark.speed
def test_faster_than_a_loop_over_scikit_learn():
    """10,000 replicates of sensitivity, specificity and AUC at n = 2,000; the loop's time is scaled from 40."""
    from sklearn.metrics import recall_score, roc_auc_score

    rng = np.random.default_rng(0)
    y = (np.arange(2000) % 2).astype(np.int64)
    score = rng.normal(size=2000) + 1.5 * y
    positive, negative = np.flatnonzero(y == 1), np.flatnonzero(y == 0)

    def once() -> None:
        rows = np.concatenate([rng.choice(positive, len(positive)), rng.choice(negative, len(negative))])
        t, s = y[rows], score[rows]
        recall_score(t, s >= 0.7)
        recall_score(t, s >= 0.7, pos_label=0)
        roc_auc_score(t, s)

    def ours() -> None:
        stats.stratified_bootstrap(y, score, 0.7)

    loop = min(_seconds(lambda: [once() for _ in range(20)]) for _ in range(3)) * 500
    assert loop / min(_seconds(ours) for _ in range(3)) >= 150


@pytest.mark.speed
def test_faster_than_confidenceinterval():
    library = pytest.importorskip("confidenceinterval")
    from confidenceinterval.bootstrap import bootstrap_ci
    from sklearn.metrics import roc_auc_score

    assert library is not None
    rng = np.random.default_rng(0)
    y = (np.arange(2000) % 2).astype(np.int64)
    score = rng.normal(size=2000) + 1.5 * y

    def theirs() -> None:
        bootstrap_ci(y, score, roc_auc_score, n_resamples=60, method="bootstrap_percentile")

    ratio = min(_seconds(theirs) for _ in range(2)) / 60 * 10_000
    ratio /= min(_seconds(lambda: stats.stratified_bootstrap(y, score, 0.7)) for _ in range(3))
    assert ratio >= 50  # their AUC alone against our three statistics


def _seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
