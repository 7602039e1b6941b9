"""Secondary endpoints, recomputed from stored predictions: the whole path from scores and thresholds to corrected p."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.endpoints import CORRECTION, HARD, REPLICATES, hard_rows
from bench.errors import BenchError, DataError
from bench.record import ArmRecord, ComparisonRecord, StratumRecord
from bench.stats import Resampled, benjamini_hochberg, bounded, resample_endpoints
from bench.stats.endpoints import RULE, SECONDARY
from leaderboard.compared import METHOD, wrong_cells
from leaderboard.evidence import Evidence, Problem
from leaderboard.load import Predictions, read_predictions
from leaderboard.recompute import EXACT, random_slack

Rows = Sequence[tuple[int, ComparisonRecord]]


def check_secondary(evidence: Evidence) -> Iterator[Problem]:
    """Differences of the secondary endpoints, also on the hard test images, come out of the predictions again."""
    rows = [(i, c) for i, c in enumerate(evidence.entry.record.comparisons) if c.endpoint in (*SECONDARY, HARD)]
    rows = [(i, c) for i, c in rows if c.estimate.method.startswith(METHOD)]
    if not rows:
        return
    try:
        arms = _arms(evidence)
        yield from _wrong(evidence, [r for r in rows if r[1].endpoint != HARD], arms, None)
        if on_hard := [r for r in rows if r[1].endpoint == HARD]:
            yield from _wrong(evidence, on_hard, arms, _hard(evidence))
    except (BenchError, ValueError, KeyError) as error:
        yield evidence.problem(f"cannot be recomputed: {error}", f"comparisons[{rows[0][0]}]")
    yield from _wrong_correction(evidence, rows)


def check_strata(evidence: Evidence) -> Iterator[Problem]:
    """The AUC of each arm on the hard test images, and how many these are, come out of the predictions again."""
    for i, stratum in enumerate(evidence.entry.record.strata):
        try:
            for cell, message in _wrong_stratum(evidence, stratum):
                yield evidence.problem(message, f"strata[{i}].{cell}")
        except (BenchError, ValueError, KeyError) as error:
            yield evidence.problem(f"cannot be recomputed: {error}", f"strata[{i}].auc")


def _wrong_stratum(evidence: Evidence, stratum: StratumRecord) -> Iterator[tuple[str, str]]:
    record, arms = evidence.entry.record, _arms(evidence)
    judged = read_predictions(evidence.entry, stratum.predictions)
    rows = hard_rows(judged.scores, judged.y)
    expected: dict[str, tuple[float | None, float, float]] = {"n": (stratum.n, len(rows), 0.0)}
    expected["positives"] = stratum.positives, float(np.sum(judged.y[rows] == record.data.positive)), 0.0
    for name, stated in stratum.auc.items():
        found = bounded(_resampled(evidence, arms[name], ("auc",), rows)["auc"].mean(), 0.0)
        width = random_slack(record) * (found.high - found.low)
        expected[f"auc.{name}.value"] = stated.value, found.value, 0.0
        expected[f"auc.{name}.low"] = stated.low, found.low, width
        expected[f"auc.{name}.high"] = stated.high, found.high, width
    for cell, (recorded, recomputed, slack) in expected.items():
        if recorded is None or not math.isclose(recorded, recomputed, rel_tol=EXACT, abs_tol=EXACT + slack):
            yield cell, f"recorded {recorded}, recomputed {recomputed:.9g}"


def _arms(evidence: Evidence) -> dict[str, list[tuple[ArmRecord, Predictions]]]:
    """Arm -> its seeds in the order of the record, without those that failed."""
    failed = {failure.seed for failure in evidence.entry.record.failures}
    out: dict[str, list[tuple[ArmRecord, Predictions]]] = {}
    for arm, predictions in evidence.each("predictions"):
        if arm.seed not in failed:
            out.setdefault(arm.name, []).append((arm, predictions))
    return out


def _hard(evidence: Evidence) -> NDArray[np.int64]:
    """Rows of the hard test images, from the stored probabilities of the judges."""
    stratum = next((s for s in evidence.entry.record.strata if s.name == "hard"), None)
    if stratum is None:
        raise DataError("the record does not say which test images are hard")
    judged = read_predictions(evidence.entry, stratum.predictions)
    return hard_rows(judged.scores, judged.y)


def _wrong(
    evidence: Evidence,
    rows: Rows,
    arms: Mapping[str, Sequence[tuple[ArmRecord, Predictions]]],
    part: NDArray[np.int64] | None,
) -> Iterator[Problem]:
    endpoints = SECONDARY if part is None else ("auc",)
    named = dict.fromkeys(name for _, c in rows for name in (c.arm, c.versus))
    found = {name: _resampled(evidence, arms[name], endpoints, part) for name in named}
    for i, stated in rows:
        endpoint = "auc" if part is not None else stated.endpoint
        difference = bounded(found[stated.arm][endpoint].minus(found[stated.versus][endpoint]))
        n = len(arms[stated.arm][0][1]) if part is None else len(part)
        seeds, slack = len(arms[stated.arm]), random_slack(evidence.entry.record)
        for cell, message in wrong_cells(stated, difference, seeds, n, slack, REPLICATES):
            yield evidence.problem(message, f"comparisons[{i}].{cell}")


def _resampled(
    evidence: Evidence,
    seeds: Sequence[tuple[ArmRecord, Predictions]],
    endpoints: Sequence[str],
    part: NDArray[np.int64] | None,
) -> dict[str, Resampled]:
    first, positive = seeds[0][1], evidence.entry.record.data.positive
    rows = np.arange(len(first)) if part is None else part
    cuts = [next(t.value for t in arm.thresholds if t.rule == RULE) for arm, _ in seeds]
    scores = np.stack([predictions.scores[rows, positive] for _, predictions in seeds])
    return resample_endpoints(first.y[rows] == positive, scores, first.groups[rows], endpoints, cuts, REPLICATES)


def _wrong_correction(evidence: Evidence, rows: Rows) -> Iterator[Problem]:
    """Adjusted p-values of the secondary endpoints follow by Benjamini and Hochberg's method over their family."""
    family = [(i, c, c.p) for i, c in rows if c.correction == CORRECTION and c.p is not None and 0 <= c.p <= 1]
    wanted = benjamini_hochberg([p for _, _, p in family]).tolist() if family else []
    for (i, c, _), expected in zip(family, wanted, strict=True):
        if c.p_adjusted is None or not math.isclose(c.p_adjusted, expected, rel_tol=EXACT, abs_tol=EXACT):
            told = "nothing" if c.p_adjusted is None else f"{c.p_adjusted:.9g}"
            yield evidence.problem(f"recorded {told}, by {CORRECTION} {expected:.9g}", f"comparisons[{i}].p_adjusted")
