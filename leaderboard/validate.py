"""Whether a record may stand on the board: one small function a check, each naming record, arm and cell.

Checks that need only the record are here, those that need its stored predictions in :mod:`leaderboard.recompute`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench.record import SCHEMA_VERSION, ArmRecord, ComparisonRecord, EstimateRecord
from leaderboard import recompute
from leaderboard.evidence import Evidence, Problem
from leaderboard.load import Entry, load

Check = Callable[[Evidence], Iterator[Problem]]

# A bootstrap of these is centred on the value itself; that of a Fréchet distance or a calibration error is not.
CENTRED = ("auc", "accuracy", "sensitivity", "specificity")


def check_version(evidence: Evidence) -> Iterator[Problem]:
    """The schema is one that this leaderboard reads, and the record says with which metrics it was measured."""
    record = evidence.entry.record
    if record.schema_version != SCHEMA_VERSION:
        message = f"is {record.schema_version}, this leaderboard reads {SCHEMA_VERSION}"
        yield evidence.problem(message, "schema_version")
    if record.status == "complete" and not record.metric_versions:
        yield evidence.problem("is empty: rows cannot be compared without it", "metric_versions")


def check_ranked(evidence: Evidence) -> Iterator[Problem]:
    """Runs of the ``smoke`` preset test the machinery; their numbers mean nothing and are refused."""
    record = evidence.entry.record
    if record.preset == "smoke":
        yield evidence.problem("smoke results are never ranked: run with preset cpu, gpu or paper", "preset")
    elif not record.ranked:
        yield evidence.problem("the run says of itself that it is not to be ranked", "ranked")


def check_split(evidence: Evidence) -> Iterator[Problem]:
    """A record that is not a failure names its split, which holds no more images than the data set."""
    record = evidence.entry.record
    if record.split is None:
        if record.status != "failed":
            yield evidence.problem("is missing", "split")
        return
    for name in ("train", "val_thresh", "test"):
        if not sum(record.split.counts.get(name, {}).values()):
            yield evidence.problem("has no images", f"split.counts.{name}")
    total = sum(sum(classes.values()) for classes in record.split.counts.values())
    if total > record.data.n:
        yield evidence.problem(f"adds up to {total} images, the data set has {record.data.n}", "split.counts")


def check_seeds(evidence: Evidence) -> Iterator[Problem]:
    """Every arm has each seed at most once; a complete record has all arms with all seeds."""
    record = evidence.entry.record
    if len(set(record.seeds)) != len(record.seeds):
        yield evidence.problem(f"a seed occurs twice in {record.seeds}", "seeds")
    for (name, seed), times in Counter((arm.name, arm.seed) for arm in record.arms).items():
        if times > 1:
            yield evidence.problem(f"arm {name!r} has seed {seed} {times} times", "arms")
        if seed not in record.seeds:
            yield evidence.problem(f"arm {name!r} has seed {seed}, the run has {record.seeds}", "arms")
    if record.status == "complete":
        yield from _complete(evidence)


def _complete(evidence: Evidence) -> Iterator[Problem]:
    record = evidence.entry.record
    if not record.arms:
        yield evidence.problem("the record says complete and has no arm", "arms")
    for name in dict.fromkeys(arm.name for arm in record.arms):
        missing = set(record.seeds) - {arm.seed for arm in record.arms if arm.name == name}
        if missing:
            yield evidence.problem(f"the record says complete; arm {name!r} lacks seeds {sorted(missing)}", "status")
    for arm in record.arms:
        if arm.error is not None:
            yield evidence.problem(f"the record says complete; this arm failed: {arm.error}", "error", arm)
        elif not arm.metrics:
            yield evidence.problem("the record says complete; this arm has no metrics", "metrics", arm)
    for failure in record.failures:
        yield evidence.problem(f"the record says complete; {failure.phase} failed: {failure.error}", "failures")


def check_estimates(evidence: Evidence) -> Iterator[Problem]:
    """Numbers are finite, bounds ordered around centred values, and a number that is not there has its reason."""
    for arm, cell, estimate in _estimates(evidence):
        for message in _wrong_with(cell, estimate):
            yield evidence.problem(message, cell, arm)


def _estimates(evidence: Evidence) -> Iterator[tuple[ArmRecord | None, str, EstimateRecord]]:
    record = evidence.entry.record
    for arm in record.arms:
        for name, estimate in arm.metrics.items():
            yield arm, f"metrics.{name}", estimate
    for i, comparison in enumerate(record.comparisons):
        yield None, f"comparisons[{i}].estimate", comparison.estimate
    for name, estimate in record.floors.items():
        yield None, f"floors.{name}", estimate
    for i, fidelity in enumerate(record.fidelity):
        for part in ("metrics", "floor"):
            for name, estimate in getattr(fidelity, part).items():
                yield None, f"fidelity[{i}].{part}.{name}", estimate


def _wrong_with(cell: str, estimate: EstimateRecord) -> Iterator[str]:
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        if not estimate.reason:
            yield "has neither a value nor a reason why there is none"
        return
    if not all(math.isfinite(x) for x in (value, low, high) if x is not None):
        yield f"is not finite: {value} [{low}, {high}]"
        return
    if (low is None) != (high is None):
        yield f"has one bound only: [{low}, {high}]"
    elif low is not None and high is not None:
        if low > high:
            yield f"bounds are not ordered: [{low:g}, {high:g}]"
        elif _centred(cell) and not low <= value <= high:
            yield f"{value:g} lies outside its own interval [{low:g}, {high:g}]"
    if not 0 < estimate.level < 1:
        yield f"level {estimate.level:g} is not in (0, 1)"


def _centred(cell: str) -> bool:
    name = cell.rpartition(".")[2].partition("@")[0]
    return name in CENTRED or cell.startswith("comparisons")


def check_comparisons(evidence: Evidence) -> Iterator[Problem]:
    """A comparison is between arms of the record, its p-values are probabilities, its difference follows from them."""
    record = evidence.entry.record
    names = {arm.name for arm in record.arms}
    for i, comparison in enumerate(record.comparisons):
        cell = f"comparisons[{i}]"
        for name in (comparison.arm, comparison.versus):
            if name not in names:
                yield evidence.problem(f"names arm {name!r}, which is not in the record", cell)
        p, adjusted = comparison.p, comparison.p_adjusted
        if any(x is not None and not 0 <= x <= 1 for x in (p, adjusted)):
            yield evidence.problem(f"p-values must lie in [0, 1], got {p} and {adjusted}", cell)
        elif p is not None and adjusted is not None and adjusted < p:
            yield evidence.problem(f"adjusted p {adjusted:g} is smaller than p {p:g}", f"{cell}.p_adjusted")
        failed = {failure.seed for failure in record.failures}
        expected = _difference([arm for arm in record.arms if arm.seed not in failed], comparison)
        stated = comparison.estimate.value
        if expected is not None and stated is not None and not math.isclose(expected, stated, abs_tol=1e-6):
            message = f"recorded {stated:.6f}, but the arms' {comparison.endpoint} differ by {expected:.6f}"
            yield evidence.problem(message, f"{cell}.estimate.value")


def _difference(arms: list[ArmRecord], comparison: ComparisonRecord) -> float | None:
    """Mean over the shared seeds of arm minus versus, or None where the endpoint is not recorded for both."""
    values = [
        {
            a.seed: a.metrics[comparison.endpoint].value
            for a in arms
            if a.name == name and comparison.endpoint in a.metrics
        }
        for name in (comparison.arm, comparison.versus)
    ]
    pairs = [(values[0][seed], values[1][seed]) for seed in values[0].keys() & values[1].keys()]
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    return sum(differences) / len(differences) if differences and len(differences) == comparison.n_seeds else None


CHECKS: tuple[Check, ...] = (
    check_version,
    check_ranked,
    check_split,
    check_seeds,
    check_estimates,
    check_comparisons,
    recompute.check_files,
    recompute.check_rows,
    recompute.check_synthetic,
    recompute.check_disjoint,
    recompute.check_counts,
    recompute.check_thresholds,
    recompute.check_metrics,
)


def validate(entry: Entry, checks: Iterable[Check] = CHECKS) -> list[Problem]:
    """All problems of one record, in the order of the checks."""
    evidence = Evidence.of(entry)
    return [problem for check in checks for problem in check(evidence)]


def validate_places(places: Iterable[Path]) -> tuple[int, list[Problem]]:
    """How many records lie at or below ``places``, and all their problems; an unreadable record is a problem."""
    loaded = load(places)
    problems = [Problem(str(path), "", "", reason) for path, reason in loaded.unreadable.items()]
    ids = Counter(entry.record.run_id for entry in loaded.entries)
    for entry in loaded.entries:
        if ids[entry.record.run_id] > 1:
            problems.append(
                Problem(str(entry.path), "", "run_id", f"{entry.record.run_id!r} is used by another record")
            )
        problems.extend(validate(entry))
    return len(loaded.entries) + len(loaded.unreadable), problems
