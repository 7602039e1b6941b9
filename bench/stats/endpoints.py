"""Endpoints of an arm beside the AUC, resampled so that any two arms of a run can be compared.

All arms see the same resampled test sets: lesions are drawn within class, once, by the seed. So the difference of two
arms is the difference of their columns, and seeds are resampled over it (:func:`bench.stats.two_level.over_seeds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.stats.bootstrap import bootstrap_statistics
from bench.stats.checks import Bool, Float, finite_scores, group_codes, two_classes
from bench.stats.resample import Statistic
from bench.stats.two_level import ArmDifference, over_seeds
from bench.stats.weighted import auc_of, mean_of, partial_auc_of

SECONDARY = ("pauc80", "specificity@sens95", "sensitivity@sens95")
RULE = "sens95"
"""The threshold rule of the two operating endpoints: 95 % sensitivity on the split that fits thresholds."""


@dataclass(frozen=True)
class Resampled:
    """One endpoint of one arm: ``per_seed`` [S] on the test set, ``by_case`` [B, S] on resampled test sets."""

    per_seed: Float
    by_case: Float

    def mean(self, seed: int = 0) -> ArmDifference:
        """The mean over seeds, with the two-level interval; its p, of a mean of 0, says nothing."""
        return over_seeds(self.per_seed, self.by_case, seed)

    def minus(self, other: Resampled, seed: int = 0) -> ArmDifference:
        """This arm minus ``other`` (same seeds, same resamples), paired in both levels."""
        if self.by_case.shape != other.by_case.shape:
            raise DataError(f"resamples differ in shape: {self.by_case.shape} and {other.by_case.shape}")
        return over_seeds(self.per_seed - other.per_seed, self.by_case - other.by_case, seed)


def resample_endpoints(
    y: ArrayLike,
    scores: ArrayLike,
    groups: Any = None,
    endpoints: Sequence[str] = SECONDARY,
    thresholds: Sequence[float] = (),
    replicates: int = 2_000,
    seed: int = 0,
) -> dict[str, Resampled]:
    """``endpoints`` of one arm over its seeds, resampled by lesion within class.

    y 0/1 [N]; scores [S, N], one row a seed; groups names [N] or None; ``thresholds`` [S] of the operating endpoints,
    fitted on other cases and held fixed. Endpoints: "auc", "pauc80", "sensitivity@RULE", "specificity@RULE". Raises
    :class:`UndefinedMetric` with fewer than two cases of a class, :class:`ConfigError` for an unknown endpoint.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    labels, _ = two_classes(y, rows[0])
    if min(int(labels.sum()), int((~labels).sum())) < 2:
        raise UndefinedMetric("undefined, because a bootstrap needs two cases of each class")
    if len(thresholds) not in (0, len(rows)):
        raise DataError(f"{len(thresholds)} thresholds for {len(rows)} seeds")
    codes = group_codes(groups, len(labels))
    found: dict[str, list[Any]] = {name: [] for name in endpoints}
    for s, row in enumerate(rows):
        values = finite_scores(row, len(labels), f"scores of seed {s}")
        cut = float(thresholds[s]) if len(thresholds) else None
        statistics = {name: _statistic(name, labels, values, cut) for name in endpoints}
        for name, boot in bootstrap_statistics(labels, statistics, codes, replicates, seed).items():
            found[name].append(boot)
    return {
        name: Resampled(np.array([b.value for b in boots]), np.stack([b.replicates for b in boots], axis=1))
        for name, boots in found.items()
    }


def compare_endpoints(
    arms: Mapping[str, Mapping[str, Resampled]], pairs: Sequence[tuple[str, str]], seed: int = 0
) -> dict[tuple[str, str, str], ArmDifference]:
    """(endpoint, arm, versus) -> difference, of every pair and endpoint; ``arms``: name -> endpoint -> values."""
    return {
        (endpoint, arm, versus): found.minus(arms[versus][endpoint], seed)
        for arm, versus in pairs
        for endpoint, found in arms[arm].items()
    }


def _statistic(name: str, labels: Bool, score: Float, threshold: float | None) -> Statistic:
    if name == "auc":
        return auc_of(labels, score)
    if name == "pauc80":
        return partial_auc_of(labels, score)
    kind, _, rule = name.partition("@")
    if kind not in ("sensitivity", "specificity") or not rule:
        raise ConfigError(f"no endpoint {name!r}; there are auc, pauc80, sensitivity@RULE and specificity@RULE")
    if threshold is None:
        raise DataError(f"{name} needs the threshold of each seed")
    mask = labels if kind == "sensitivity" else ~labels
    within = mean_of(((score >= threshold) == labels)[mask].astype(np.float64))
    return lambda w: within(w[:, mask])
