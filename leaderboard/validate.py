"""Whether a record may stand on the board: one small function a check, each naming record, arm and cell.

Checks that need only the record are here; those of the files beside it in :mod:`leaderboard.stored`, of numbers that
follow from predictions in :mod:`leaderboard.recompute` and :mod:`leaderboard.compared`, of everything else, for records
that were added to the board, in :mod:`leaderboard.seal`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.errors import BenchError, DataError
from bench.record import ArmRecord, ComparisonRecord, EstimateRecord
from leaderboard import beside, compared, compared_more, elsewhere, recompute, seal, stored
from leaderboard.alike import check_names_of_data, disagreements
from leaderboard.evidence import Evidence, Problem
from leaderboard.load import Entry, load

Check = Callable[[Evidence], Iterator[Problem]]

# A bootstrap of these is centred on the value itself; that of a Fréchet distance or a calibration error is not.
CENTRED = ("auc", "accuracy", "sensitivity", "specificity")


def check_version(evidence: Evidence) -> Iterator[Problem]:
    """The record says with which metrics it was measured (that its schema can be read, loading has told)."""
    record = evidence.entry.record
    if record.status == "complete" and not record.metric_versions:
        yield evidence.problem("is empty: rows cannot be compared without it", "metric_versions")


def check_task(evidence: Evidence) -> Iterator[Problem]:
    """The task has classes, and the positive one is among them."""
    data = evidence.entry.record.data
    if evidence.entry.record.split is not None and not 0 <= data.positive < len(data.class_names):
        told = f"is {data.positive}, the task has the classes {', '.join(data.class_names) or '(none)'}"
        yield evidence.problem(told, "data.positive")


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


def check_config(evidence: Evidence) -> Iterator[Problem]:
    """What the record says of the run is what its configuration says."""
    record = evidence.entry.record
    data = record.config.get("data", {})
    told = {
        "preset": (record.preset, record.config.get("preset")),
        "seeds": (record.seeds, record.config.get("seeds")),
        "data.spec": (record.data.spec, data.get("spec")),
        "data.resolution": (record.data.resolution, data.get("resolution")),
        "protocol.name": (record.protocol.name, _name(record.config, "protocol")),
        "classifier.name": (record.classifier.name, _name(record.config, "classifier")),
    }
    if record.generator is not None:
        told["generator.name"] = (record.generator.name, _name(record.config, "generator"))
    for cell, (stated, configured) in told.items():
        if configured is not None and stated != configured:
            yield evidence.problem(f"is {stated!r}, the configuration has {configured!r}", cell)


def _name(config: dict[str, Any], section: str) -> Any:
    return config.get(section, {}).get("name")


def check_prevalence(evidence: Evidence) -> Iterator[Problem]:
    """Sensitivity, specificity, accuracy and precision of one threshold go with the class counts of the test split."""
    record = evidence.entry.record
    if record.split is None or "test" not in record.split.counts:
        return
    names, positive = record.data.class_names, record.data.positive
    counts = [record.split.counts["test"].get(name, 0) for name in names]
    positives, n = counts[positive], sum(counts)
    for arm in record.arms:
        for rule in dict.fromkeys(name.partition("@")[2] for name in arm.metrics if "@" in name):
            for cell, message in _counted(arm, rule, positives, n - positives):
                yield evidence.problem(message, cell, arm)


def _counted(arm: ArmRecord, rule: str, positives: int, negatives: int) -> Iterator[tuple[str, str]]:
    """Shares at one threshold as counts of cases: each must be a whole number, and they must add up."""
    sizes = {"sensitivity": positives, "specificity": negatives, "accuracy": positives + negatives}
    right: dict[str, float] = {}
    for name, size in sizes.items():
        estimate = arm.metrics.get(f"{name}@{rule}")
        if estimate is None or estimate.value is None:
            continue
        right[name] = estimate.value * size
        if abs(right[name] - round(right[name])) > 1e-6 * max(1, size):
            yield f"metrics.{name}@{rule}.value", f"{estimate.value:.9g} is no count of {size} cases"
    if right.keys() == sizes.keys() and abs(right["sensitivity"] + right["specificity"] - right["accuracy"]) > 0.5:
        parts = f"{right['sensitivity']:.1f} of {positives} and {right['specificity']:.1f} of {negatives}"
        yield f"metrics.accuracy@{rule}.value", f"{right['accuracy']:.1f} right cases are not {parts}"
    precision = arm.metrics.get(f"precision@{rule}")
    if precision is not None and precision.value is not None and {"sensitivity", "specificity"} <= right.keys():
        called = right["sensitivity"] + negatives - right["specificity"]
        if not math.isclose(precision.value * called, right["sensitivity"], abs_tol=0.5):
            told = f"{precision.value:g} implies other class counts than {positives} and {negatives}"
            yield f"metrics.precision@{rule}.value", told


def check_estimates(evidence: Evidence) -> Iterator[Problem]:
    """Numbers are finite, bounds ordered around centred values, and a number that is not there has its reason."""
    for arm, cell, estimate in _estimates(evidence):
        for message in _wrong_with(cell, estimate):
            yield evidence.problem(message, cell, arm)


def _estimates(evidence: Evidence) -> Iterator[tuple[ArmRecord | None, str, EstimateRecord]]:
    record = evidence.entry.record
    for arm in record.arms:
        for part in ("metrics", "subgroups"):
            for name, estimate in getattr(arm, part).items():
                yield arm, f"{part}.{name}", estimate
    for i, comparison in enumerate(record.comparisons):
        yield None, f"comparisons[{i}].estimate", comparison.estimate
        if comparison.per_hour is not None:
            yield None, f"comparisons[{i}].per_hour", comparison.per_hour
    for i, stratum in enumerate(record.strata):
        yield from ((None, f"strata[{i}].auc.{name}", e) for name, e in stratum.auc.items())
    for i, row in enumerate(record.rounds):
        yield from ((None, f"rounds[{i}].metrics.{name}", e) for name, e in row.metrics.items())
    for i, test in enumerate(record.further_tests):
        for j, judged in enumerate(test.arms):
            yield from ((None, f"further_tests[{i}].arms[{j}].metrics.{m}", e) for m, e in judged.metrics.items())
        yield from ((None, f"further_tests[{i}].comparisons[{j}]", c.estimate) for j, c in enumerate(test.comparisons))
    for name, estimate in record.floors.items():
        yield None, f"floors.{name}", estimate
    for i, found in enumerate(record.findings):
        yield None, f"findings[{i}].estimate", found.estimate
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
        if comparison.endpoint == "auc" and comparison.estimate.method.startswith(compared.METHOD):
            continue  # recomputed as a whole
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


def check_seal(evidence: Evidence) -> Iterator[Problem]:
    """Where the record is sealed, no cell, row of predictions or file differs from what was added to the board."""
    entry = evidence.entry
    try:
        sealed = seal.read_seal(entry)
    except DataError as error:
        yield evidence.problem(str(error), seal.SEAL)
        return
    if sealed is not None:
        for cell, message in (*seal.changed_cells(entry, sealed), *seal.changed_files(entry, sealed)):
            yield evidence.problem(message, cell)


CHECKS: tuple[Check, ...] = (
    check_version,
    check_task,
    check_ranked,
    check_config,
    check_split,
    check_names_of_data,
    check_seeds,
    check_estimates,
    check_prevalence,
    check_comparisons,
    stored.check_files,
    stored.check_pictures,
    stored.check_rows,
    stored.check_synthetic,
    stored.check_disjoint,
    stored.check_counts,
    recompute.check_thresholds,
    recompute.check_metrics,
    compared.check_compared,
    compared_more.check_secondary,
    compared_more.check_strata,
    beside.check_beside,
    elsewhere.check_elsewhere,
    check_seal,
)


def validate(entry: Entry, checks: Iterable[Check] = CHECKS) -> list[Problem]:
    """All problems of one record, in the order of the checks.

    A record so broken that a check cannot be carried out has that as its problem, never as a traceback.
    """
    evidence = Evidence.of(entry)
    return [problem for check in checks for problem in _carried_out(check, evidence)]


def _carried_out(check: Check, evidence: Evidence) -> Iterator[Problem]:
    try:
        yield from check(evidence)
    except (BenchError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        yield evidence.problem(f"cannot be carried out on this record: {type(error).__name__}: {error}", check.__name__)


def validate_places(places: Iterable[Path], *, sealed: bool = False) -> tuple[int, list[Problem]]:
    """How many records lie at or below ``places``, and all their problems; an unreadable record is a problem.

    ``sealed``: the places are committed records, of which each must have a seal.
    """
    loaded = load(places)
    problems = [Problem(str(path), "", "", reason) for path, reason in loaded.unreadable.items()]
    ids = Counter(entry.record.run_id for entry in loaded.entries)
    for entry in loaded.entries:
        if ids[entry.record.run_id] > 1:
            told = f"{entry.record.run_id!r} is used by another record"
            problems.append(Problem(str(entry.path), "", "run_id", told))
        if sealed and not (entry.folder / seal.SEAL).exists():
            told = "is missing: records come here by `bench leaderboard add RUN`"
            problems.append(Problem(str(entry.path), "", seal.SEAL, told))
        problems.extend(validate(entry))
    problems.extend(disagreements(loaded.entries))
    return len(loaded.entries) + len(loaded.unreadable), problems
