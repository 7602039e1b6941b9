"""Comparisons of arms, recomputed from their stored predictions: difference, interval, p, and what could be seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.record import ComparisonRecord
from bench.stats import ArmDifference, holm, minimum_detectable_difference, two_level_bootstrap
from leaderboard.evidence import Evidence, Problem
from leaderboard.load import Predictions
from leaderboard.recompute import EXACT, random_slack

METHOD = "two-level bootstrap"
HOUR = 3600.0  # seconds
REPLICATES = 10_000


def check_compared(evidence: Evidence) -> Iterator[Problem]:
    """The AUC differences, their intervals and p-values come out of the stored predictions again."""
    record = evidence.entry.record
    replicates = int(record.config.get("replicates", REPLICATES))
    for i, comparison in enumerate(record.comparisons):
        if comparison.endpoint != "auc" or not comparison.estimate.method.startswith(METHOD):
            continue
        if _unreadable(evidence, comparison):
            continue  # the check of files has said so
        try:
            found, seeds, n = _difference(evidence, comparison, replicates)
        except (BenchError, ValueError) as error:
            yield evidence.problem(f"cannot be recomputed: {error}", f"comparisons[{i}]")
            continue
        for cell, message in wrong_cells(comparison, found, seeds, n, random_slack(record), replicates):
            yield evidence.problem(message, f"comparisons[{i}].{cell}")
    yield from _wrong_correction(evidence)
    yield from _wrong_rates(evidence)


def _wrong_rates(evidence: Evidence) -> Iterator[Problem]:
    """A gain by hour is the difference over the hours that the record states (which only a new run can check)."""
    for i, comparison in enumerate(evidence.entry.record.comparisons):
        rate, seconds = comparison.per_hour, comparison.extra_seconds
        for part in ("value", "low", "high") if rate is not None and rate.value is not None else ():
            stated, of = getattr(rate, part), getattr(comparison.estimate, part)
            expected = None if of is None or not seconds else of * HOUR / seconds
            if expected is None or stated is None or not math.isclose(stated, expected, rel_tol=EXACT):
                told = "nothing" if expected is None else f"{expected:.9g}"
                cell = f"comparisons[{i}].per_hour.{part}"
                yield evidence.problem(f"recorded {stated}, difference and extra_seconds give {told}", cell)


def _unreadable(evidence: Evidence, comparison: ComparisonRecord) -> bool:
    arms = evidence.entry.record.arms
    broken = {arms[i].name for i, part in evidence.unreadable if part == "predictions"}
    return bool(broken & {comparison.arm, comparison.versus})


def _difference(evidence: Evidence, comparison: ComparisonRecord, replicates: int) -> tuple[ArmDifference, int, int]:
    """(difference, paired seeds, cases); seeds that failed are left out, as the runner leaves them out."""
    failed = {failure.seed for failure in evidence.entry.record.failures}
    sides: list[dict[int, Predictions]] = [{}, {}]
    for arm, predictions in evidence.each("predictions"):
        for side, name in zip(sides, (comparison.arm, comparison.versus), strict=True):
            if arm.name == name and arm.seed not in failed:
                side[arm.seed] = predictions
    return paired_difference(comparison, sides, evidence.entry.record.data.positive, replicates)


def paired_difference(
    comparison: ComparisonRecord, sides: Sequence[Mapping[int, Predictions]], positive: int, replicates: int
) -> tuple[ArmDifference, int, int]:
    """(difference, paired seeds, cases) of two arms, seed -> predictions each; ValueError where none is paired."""
    seeds = [seed for seed in sides[0] if seed in sides[1]]
    if not seeds:
        raise ValueError(f"{comparison.arm!r} and {comparison.versus!r} have no seed with predictions in common")
    first = sides[0][seeds[0]]
    if not all(np.array_equal(first.ids, side[seed].ids) for side in sides for seed in seeds):
        raise ValueError("the predictions are not of the same images in the same order")
    a, b = (_scores(side, seeds, positive) for side in sides)
    found = two_level_bootstrap(first.y == positive, a, b, groups=first.groups, replicates=replicates, seed=0)
    return found, len(seeds), len(first)


def _scores(side: Mapping[int, Predictions], seeds: list[int], positive: int) -> NDArray[np.float32]:
    """float32 [S, N], the scores of the positive class."""
    return np.stack([side[seed].scores[:, positive] for seed in seeds])


def wrong_cells(
    stated: ComparisonRecord, found: ArmDifference, seeds: int, n: int, slack: float, replicates: int
) -> Iterator[tuple[str, str]]:
    """(cell, message) for each part of ``stated`` that ``found`` is not, over ``seeds`` and ``n`` images."""
    width = slack * (found.high - found.low)
    tail = 0.0 if not slack else 6 * math.sqrt(1 / replicates)  # a p from other draws: six binomial standard errors
    mdd = float(minimum_detectable_difference(found.wide_se))
    cells = {
        "estimate.value": (stated.estimate.value, found.value, 0.0),
        "estimate.low": (stated.estimate.low, found.low, width),
        "estimate.high": (stated.estimate.high, found.high, width),
        "estimate.n": (stated.estimate.n, n, 0.0),
        "p": (stated.p, found.p, tail),
        "n_seeds": (stated.n_seeds, seeds, 0.0),
        "minimum_detectable_difference": (stated.minimum_detectable_difference, mdd, width),
    }
    for cell, (recorded, recomputed, allowed) in cells.items():
        if recorded is None or not math.isclose(recorded, recomputed, rel_tol=EXACT, abs_tol=EXACT + allowed):
            told = "nothing" if recorded is None else f"{recorded:.9g}"
            yield cell, f"recorded {told}, recomputed {recomputed:.9g}"


def _wrong_correction(evidence: Evidence) -> Iterator[Problem]:
    """Adjusted p-values follow from the primary ones by Holm's method; the others have none."""
    rows = list(enumerate(evidence.entry.record.comparisons))
    primary = [(i, c, c.p) for i, c in rows if c.primary and c.p is not None and c.correction == "Holm"]
    if any(not 0 <= p <= 1 for _, _, p in primary):
        return  # named as no probability already
    expected = holm([p for _, _, p in primary]).tolist() if primary else []
    for (i, comparison, _), wanted in zip(primary, expected, strict=True):
        stated = comparison.p_adjusted
        if stated is None or not math.isclose(stated, wanted, rel_tol=EXACT, abs_tol=EXACT):
            told = "nothing" if stated is None else f"{stated:.9g}"
            yield evidence.problem(f"recorded {told}, by Holm {wanted:.9g}", f"comparisons[{i}].p_adjusted")
    for i, comparison in rows:
        if comparison.p_adjusted is not None and comparison.correction not in ("Holm", "BH", "Benjamini-Hochberg"):
            told = f"{comparison.correction!r} is no correction that is known here"
            yield evidence.problem(told, f"comparisons[{i}].correction")
        elif comparison.p_adjusted is not None and comparison.correction == "Holm" and not comparison.primary:
            message = "is corrected by Holm, but not among the primary comparisons"
            yield evidence.problem(message, f"comparisons[{i}].primary")
