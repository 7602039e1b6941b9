"""Sensitivity, specificity and AUC in subgroups of the test set: by sex, age, site, artifact.

A subgroup with fewer than 20 positives (or negatives, for what they decide) is named and left undefined: at 20 the
95 % interval of a sensitivity of .8 already spans .58 to .92.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Estimate, PredictionEvidence, Strings
from bench.errors import DataError
from bench.metrics.arrays import Bool
from bench.metrics.classification import measure_auc, measure_threshold, positive_score

LEAST = 20
AGE_EDGES = (30.0, 50.0, 70.0)
UNKNOWN = "unknown"
NEEDS = {"auc": (True, True), "sensitivity": (True, False), "specificity": (False, True)}


def measure_subgroups(
    evidence: PredictionEvidence,
    columns: Mapping[str, NDArray[Any]],
    seed: int,
    replicates: int = 2_000,
    least: int = LEAST,
) -> dict[str, Estimate]:
    """Estimates "auc[COLUMN=VALUE]", "sensitivity@RULE[...]", "specificity@RULE[...]" of every subgroup.

    ``columns``: name -> values [N] in the order of ``evidence``; text as it is ("" is "unknown"), numbers cut at 30, 50
    and 70 (years; NaN is "unknown"). Undefined as "insufficient n" with fewer than ``least`` of the class that a number
    is about (of both, for the AUC). Raises :class:`DataError` on a column of another length.
    """
    labels, score = np.asarray(evidence.y) == evidence.positive, positive_score(evidence)
    out: dict[str, Estimate] = {}
    for column, values in columns.items():
        if len(values) != len(labels):
            raise DataError(f"column {column!r} has {len(values)} rows, the predictions have {len(labels)}")
        names = subgroup_names(values)
        for name in np.unique(names):
            inside = names == name
            found = _measure(evidence, labels, score, inside, seed, replicates)
            where = f"{column}={name}"
            out |= {f"{m}[{where}]": _enough(e, m, labels[inside], where, least) for m, e in found.items()}
    return out


def subgroup_names(values: NDArray[Any]) -> Strings:
    """Subgroup of each case, str [N]: text as it is, numbers as "<30", "30-50", "50-70", ">=70", "unknown"."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        text = np.char.strip(array.astype(np.str_))
        return np.where(np.isin(text, ("", "nan")), UNKNOWN, text)
    if array.dtype.kind == "b":
        return np.where(array, "yes", "no")
    low, middle, high = (f"{edge:g}" for edge in AGE_EDGES)
    bins = np.array([f"<{low}", f"{low}-{middle}", f"{middle}-{high}", f">={high}", UNKNOWN])
    number = array.astype(np.float64)
    return bins[np.where(np.isnan(number), len(bins) - 1, np.digitize(number, AGE_EDGES))]


def _measure(
    evidence: PredictionEvidence, labels: Bool, score: NDArray[np.float64], inside: Bool, seed: int, replicates: int
) -> dict[str, Estimate]:
    y, s, groups = labels[inside], score[inside], evidence.groups[inside]
    out = {"auc": measure_auc(y, s, groups, seed, replicates)}
    for rule, threshold in evidence.thresholds.items():
        found = measure_threshold(y, s, groups, threshold, rule, seed, replicates)
        out |= {name: e for name, e in found.items() if name.partition("@")[0] in NEEDS}
    return out


def _enough(estimate: Estimate, metric: str, labels: Bool, where: str, least: int) -> Estimate:
    """``estimate``, or without its value where the subgroup has too few cases of a class that it needs."""
    counts = int(labels.sum()), int((~labels).sum())
    needs = NEEDS[metric.partition("@")[0]]
    lacking = [
        f"{count} {name}" for count, name, needed in zip(counts, ("positives", "negatives"), needs, strict=True)
        if needed and count < least
    ]  # fmt: skip
    extra = {**estimate.extra, "positives": counts[0], "negatives": counts[1]}
    if not lacking:
        return replace(estimate, extra=extra)
    reason = f"insufficient n: {' and '.join(lacking)} in {where}, at least {least} are needed"
    return replace(estimate, value=None, low=None, high=None, reason=reason, method="", extra={"positives": counts[0]})
