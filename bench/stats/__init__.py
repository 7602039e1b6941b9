"""Statistics of classifier evaluation on plain arrays: intervals, paired tests, bootstrap, power, multiplicity.

>>> from bench.stats import auc, delong, mcnemar
>>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
0.75

y is 0/1 [N], scores are [N] with larger meaning "more likely positive", a case is called positive at
score >= threshold. What has no value raises :class:`bench.errors.UndefinedMetric` with the reason.
"""

from bench.stats.bootstrap import Bootstrapped, bootstrap_statistics, stratified_bootstrap
from bench.stats.calibration import brier, expected_calibration_error, log_loss, reliability_curve
from bench.stats.endpoints import Resampled, compare_endpoints, resample_endpoints
from bench.stats.intervals import proportion_interval
from bench.stats.multiclass import MacroAUC, macro_auc
from bench.stats.multiplicity import Standing, benjamini_hochberg, holm, standings
from bench.stats.paired import McNemar, mcnemar
from bench.stats.pairs import PairMean, balanced_pairs, pair_mean
from bench.stats.power import (
    cases_for_paired_difference,
    minimum_detectable_difference,
    minimum_detectable_paired_difference,
    power_of_difference,
    power_of_paired_proportions,
)
from bench.stats.roc import (
    AUC,
    PairedAUC,
    auc,
    average_precision,
    delong,
    delong_paired,
    partial_auc,
    roc_curve,
    sensitivity_threshold,
    specificity_at_sensitivity,
    youden_threshold,
)
from bench.stats.two_level import ArmDifference, bounded, over_seeds, two_level_bootstrap

VERSION = "2"
"""Part of the key of every comparison: raised where the same predictions would give other numbers."""

__all__ = [
    "AUC",
    "VERSION",
    "ArmDifference",
    "Bootstrapped",
    "MacroAUC",
    "McNemar",
    "PairMean",
    "PairedAUC",
    "Resampled",
    "Standing",
    "auc",
    "average_precision",
    "balanced_pairs",
    "benjamini_hochberg",
    "bootstrap_statistics",
    "bounded",
    "brier",
    "cases_for_paired_difference",
    "compare_endpoints",
    "delong",
    "delong_paired",
    "expected_calibration_error",
    "holm",
    "log_loss",
    "macro_auc",
    "mcnemar",
    "minimum_detectable_difference",
    "minimum_detectable_paired_difference",
    "over_seeds",
    "pair_mean",
    "partial_auc",
    "power_of_difference",
    "power_of_paired_proportions",
    "proportion_interval",
    "reliability_curve",
    "resample_endpoints",
    "roc_curve",
    "sensitivity_threshold",
    "specificity_at_sensitivity",
    "standings",
    "stratified_bootstrap",
    "two_level_bootstrap",
    "youden_threshold",
]
