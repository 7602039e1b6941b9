"""Against R pROC 1.18, statsmodels and scipy."""

from __future__ import annotations

import numpy as np
import pytest

from bench import stats

METHODS = {"wilson": "wilson", "clopper_pearson": "clopper-pearson"}


@pytest.mark.parametrize("arm", ["a", "b"])
class TestSingleScore:
    def test_delong_equals_proc(self, case, arm):
        expected, arrays = case
        found = stats.delong(arrays["y"], arrays[arm])
        reference = expected[arm]["delong"]
        assert found.auc == pytest.approx(reference["auc"], abs=1e-12)
        assert found.variance == pytest.approx(expected[arm]["delong_pROC"]["var"], abs=1e-12)
        assert (found.low, found.high) == pytest.approx(reference["ci"], abs=1e-12)
        if "logit_ci" in reference:
            assert (found.logit_low, found.logit_high) == pytest.approx(reference["logit_ci"], abs=1e-12)

    def test_auc_average_precision_calibration(self, case, arm):
        expected, arrays = case
        y, score, reference = arrays["y"], arrays[arm], expected[arm]
        assert stats.auc(y, score) == pytest.approx(reference["auc_sklearn"], abs=1e-12)
        assert stats.average_precision(y, score) == pytest.approx(reference["average_precision"], abs=1e-12)
        assert stats.brier(y, score) == pytest.approx(reference["brier"], abs=1e-12)
        assert stats.log_loss(y, score) == pytest.approx(reference["log_loss_clip1e-15"], abs=1e-12)
        for bins in (10, 15):
            found = stats.expected_calibration_error(y, score, bins)
            assert found == pytest.approx(reference[f"ece_pos_{bins}_equal_width"], abs=1e-12)

    def test_stratified_bootstrap_limits_are_binomial_quantiles(self, case, arm):
        expected, arrays = case
        boot = stats.stratified_bootstrap(arrays["y"], arrays[arm], 0.5, replicates=20_000, seed=1)
        for name in ("sensitivity", "specificity"):
            reference, found = expected[arm][name], boot[name]
            step = 1 / reference["n"] + 1e-12
            assert found.value == pytest.approx(reference["value"], abs=1e-12)
            low, high = reference["stratified_bootstrap_percentile_exact"]
            assert abs(found.low - low) <= step
            assert abs(found.high - high) <= step
            assert found.se == pytest.approx(reference["stratified_bootstrap_se_exact"], rel=0.03, abs=1e-12)


def test_paired_delong_equals_proc(case):
    expected, arrays = case
    found = stats.delong_paired(arrays["y"], arrays["a"], arrays["b"])
    reference = expected["paired_delong_pROC"]
    assert found.z == pytest.approx(reference["z"], abs=1e-12)
    assert found.p == pytest.approx(reference["p"], abs=1e-12)
    assert (found.low, found.high) == pytest.approx(reference["ci"], abs=1e-12)
    swapped = stats.delong_paired(arrays["y"], arrays["b"], arrays["a"])
    assert (swapped.difference, swapped.z, swapped.p) == (-found.difference, -found.z, found.p)


def test_mcnemar_exact(case):
    expected, arrays = case
    y, a, b = arrays["y"].astype(bool), arrays["a"] >= 0.5, arrays["b"] >= 0.5
    reference = expected["mcnemar"]
    assert stats.mcnemar(y, a, b) == pytest.approx((reference["b"], reference["c"], reference["exact_p"]), abs=1e-12)
    only_positives = stats.mcnemar(y[y], a[y], b[y]).p
    assert only_positives == pytest.approx(reference["exact_p_sensitivity_only"], abs=1e-12)
    assert stats.mcnemar(y[~y], a[~y], b[~y]).p == pytest.approx(reference["exact_p_specificity_only"], abs=1e-12)


def test_published_asah_example(golden):
    published = golden["aSAH_published_pROC"]
    y = published["y"]
    for marker, expected in published["auc"].items():
        assert stats.auc(y, published[marker]) == pytest.approx(expected, abs=1e-12)
    single = stats.delong(y, published["s100b"])
    assert single.variance == pytest.approx(published["s100b_var"], abs=1e-12)
    assert (single.low, single.high) == pytest.approx(published["s100b_ci"], abs=1e-12)
    for other in ("wfns", "ndka"):
        found = stats.delong_paired(y, published["s100b"], published[other])
        reference = published[f"s100b_vs_{other}"]
        assert (found.z, found.p) == pytest.approx((reference["z"], reference["p"]), abs=1e-12)


@pytest.mark.parametrize("key", METHODS)
def test_proportion_intervals(golden, key):
    for row in golden["proportion_ci_grid"]:
        found = stats.proportion_interval(row["k"], row["n"], METHODS[key], row["alpha"])
        assert found == pytest.approx(row[key], abs=1e-9), row


def test_multiplicity(golden):
    reference = golden["multiplicity"]
    order = np.random.default_rng(0).permutation(len(reference["p"]))
    p = np.array(reference["p"])[order]
    assert stats.holm(p) == pytest.approx(np.array(reference["holm"])[order], abs=1e-12)
    assert stats.benjamini_hochberg(p) == pytest.approx(np.array(reference["fdr_bh"])[order], abs=1e-12)
