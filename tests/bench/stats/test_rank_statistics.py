"""Properties of AUC, partial AUC, operating points and calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from bench import stats
from bench.errors import ConfigError, DataError, UndefinedMetric


@st.composite
def two_class_cases(draw):
    """Labels with both classes and scores with many ties."""
    n = draw(st.integers(4, 40))
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)).filter(lambda v: 2 <= v.sum() <= len(v) - 2))
    score = draw(hnp.arrays(np.float64, n, elements=st.integers(-4, 4).map(lambda v: v / 4)))
    return y, score


@given(two_class_cases())
def test_auc_counts_pairs(case):
    y, score = case
    difference = score[y == 1][:, None] - score[y == 0][None, :]
    assert stats.auc(y, score) == pytest.approx(np.mean((np.sign(difference) + 1) / 2), abs=1e-15)


@given(two_class_cases())
def test_mirrored_scores_and_labels(case):
    y, score = case
    assert stats.auc(y, -score) == pytest.approx(1 - stats.auc(y, score), abs=1e-15)
    assert stats.delong(1 - y, -score).variance == pytest.approx(stats.delong(y, score).variance, abs=1e-15)


@given(two_class_cases(), st.randoms(use_true_random=False))
def test_row_order_changes_nothing(case, random):
    y, score = case
    order = list(range(len(y)))
    random.shuffle(order)
    assert stats.auc(y, score) == stats.auc(y[order], score[order])
    assert stats.youden_threshold(y, score) == stats.youden_threshold(y[order], score[order])
    assert stats.average_precision(y, score) == stats.average_precision(y[order], score[order])


@given(two_class_cases(), st.sampled_from([0.5, 0.8, 0.95]))
def test_partial_auc_equals_integration_on_a_fine_grid(case, level):
    y, score = case
    curve = stats.roc_curve(y, score)
    heights, widths = [], []
    for (x0, x1), (t0, t1) in zip(
        zip(curve.fpr, curve.fpr[1:], strict=False), zip(curve.tpr, curve.tpr[1:], strict=False), strict=True
    ):
        line = np.linspace(t0, t1, 2001)
        heights.append(np.maximum((line[1:] + line[:-1]) / 2, level) - level)
        widths.append(np.full(2000, (x1 - x0) / 2000))
    expected = np.sum(np.concatenate(heights) * np.concatenate(widths))
    assert stats.partial_auc(y, score, level) == pytest.approx(expected, abs=1e-6)


@given(two_class_cases(), st.sampled_from([0.3, 0.9, 0.95, 1.0]))
def test_sensitivity_threshold_is_the_highest_that_reaches_the_target(case, target):
    y, score = case
    cut = stats.sensitivity_threshold(y, score, target)
    assert np.mean(score[y == 1] >= cut) >= target - 1e-12
    above = np.unique(score[score >= cut])
    if len(above):
        tighter = np.nextafter(above[0], np.inf)
        assert np.mean(score[y == 1] >= tighter) < target


@given(two_class_cases())
def test_youden_threshold_is_best_of_all(case):
    y, score = case

    def index(cut):
        return np.mean(score[y == 1] >= cut) - np.mean(score[y == 0] >= cut)

    best = max(index(cut) for cut in np.unique(score))
    assert index(stats.youden_threshold(y, score)) == pytest.approx(best, abs=1e-12)


def test_against_scikit_learn(large):
    y, score = large
    probability = 1 / (1 + np.exp(-score))
    assert stats.auc(y, score) == pytest.approx(reference.roc_auc_score(y, score), abs=1e-13)
    assert stats.average_precision(y, score) == pytest.approx(reference.average_precision_score(y, score), abs=1e-13)
    assert stats.log_loss(y, probability) == pytest.approx(reference.log_loss(y, probability), abs=1e-13)
    curve = reference.roc_curve(y, score, drop_intermediate=False)
    assert stats.specificity_at_sensitivity(y, score, 0.95) == 1 - curve[0][np.argmax(curve[1] >= 0.95)]


def test_identical_models_give_p_one(large):
    y, score = large
    same_ranks = np.exp(score)
    found = stats.delong_paired(y, score, same_ranks)
    assert (found.difference, found.z, found.p, found.low, found.high) == (0.0, 0.0, 1.0, 0.0, 0.0)
    assert stats.mcnemar(y, score > 1, score > 1).p == 1.0


def test_perfect_against_useless_is_significant():
    y = np.repeat([0, 1], 20)
    found = stats.delong_paired(y, y, 1 - y)
    assert (found.difference, found.p) == (1.0, 0.0)


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]])
@pytest.mark.parametrize(
    "statistic",
    [stats.auc, stats.delong, stats.average_precision, stats.partial_auc, stats.youden_threshold, stats.roc_curve],
)
def test_one_class_is_undefined_with_a_reason(statistic, y):
    with pytest.raises(UndefinedMetric, match=r"undefined, because (none|all) .* positive"):
        statistic(y, [0.1, 0.2, 0.3])


def test_one_positive_has_an_auc_but_no_variance():
    assert stats.auc([0, 0, 1], [0.1, 0.2, 0.3]) == 1.0
    with pytest.raises(UndefinedMetric, match="two positive cases and there is 1"):
        stats.delong([0, 0, 1], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("y", "score", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], "row 2 is"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "the first is row 1"),
        ([0, 1, 1], [0.1, np.inf, 0.3], "not finite"),
        ([0, 1], [0.1, 0.2, 0.3], "shape"),
        ([], [], "empty"),
    ],
)
def test_bad_input_names_the_culprit(y, score, message):
    with pytest.raises(DataError, match=message):
        stats.auc(y, score)


def test_probabilities_outside_the_unit_interval():
    with pytest.raises(DataError, match=r"row 1 is 1\.5"):
        stats.brier([0, 1], [0.5, 1.5])


def test_calibrated_probabilities_have_small_error():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    y = rng.random(20_000) < p
    assert stats.expected_calibration_error(y, p) < 0.02
    assert stats.expected_calibration_error(y, p / 2) == pytest.approx(0.25, abs=0.01)
    curve = stats.reliability_curve(y, p)
    assert curve.cases.sum() == 20_000
    assert np.abs(curve.frequency - curve.probability).max() < 0.05


@settings(max_examples=30)
@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.2]))
def test_clopper_pearson_inverts_the_binomial_tails(n, share, alpha):
    from scipy.stats import binom

    k = round(share * n)
    low, high = stats.proportion_interval(k, n, "clopper-pearson", alpha)
    wilson = stats.proportion_interval(k, n, "wilson", alpha)
    assert 0 <= low <= k / n <= high <= 1
    assert 0 <= wilson[0] <= k / n <= wilson[1] <= 1
    if k:
        assert binom.sf(k - 1, n, low) == pytest.approx(alpha / 2, rel=1e-6)
    if k < n:
        assert binom.cdf(k, n, high) == pytest.approx(alpha / 2, rel=1e-6)


def test_impossible_proportions():
    with pytest.raises(UndefinedMetric, match="n = 0"):
        stats.proportion_interval(0, 0)
    with pytest.raises(DataError, match="3 successes in 2 trials"):
        stats.proportion_interval(3, 2)
    with pytest.raises(ConfigError, match="unknown"):
        stats.proportion_interval(1, 2, "wald")  # type: ignore[arg-type]
