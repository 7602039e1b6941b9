"""Numbers on further test sets, recomputed from the predictions beside the record: metrics, counts, differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.errors import BenchError, DataError
from bench.record import ComparisonRecord, FurtherTestRecord
from bench.stats import ArmDifference
from leaderboard.compared import METHOD, REPLICATES, paired_difference, wrong_cells
from leaderboard.evidence import Evidence, Problem
from leaderboard.load import Predictions, read_predictions
from leaderboard.recompute import differences, measure, random_slack

Sides = dict[str, dict[int, Predictions]]  # arm -> seed -> its predictions on one further test set


def check_elsewhere(evidence: Evidence) -> Iterator[Problem]:
    """Every number on every further test set follows from the stored predictions and the thresholds of the arms."""
    for i, test in enumerate(evidence.entry.record.further_tests):
        cell, sides = f"further_tests[{i}]", _sides(evidence, test)
        yield from _wrong_images(evidence, cell, test, sides)
        yield from _wrong_metrics(evidence, cell, test, sides)
        yield from _wrong_differences(evidence, cell, test, sides)


def _sides(evidence: Evidence, test: FurtherTestRecord) -> Sides:
    """The predictions that can be read; :mod:`leaderboard.beside` names the others."""
    sides: Sides = {}
    for arm in test.arms:
        try:
            sides.setdefault(arm.name, {})[arm.seed] = read_predictions(evidence.entry, arm.predictions)
        except DataError:
            continue
    return sides


def _wrong_images(evidence: Evidence, cell: str, test: FurtherTestRecord, sides: Sides) -> Iterator[Problem]:
    read = [predictions for seeds in sides.values() for predictions in seeds.values()]
    if not read:
        return
    first, names = read[0], list(test.counts)
    if not all(np.array_equal(first.ids, p.ids) and np.array_equal(first.y, p.y) for p in read):
        yield evidence.problem("the arms were judged on different images", f"{cell}.arms")
    found = {name: int(np.sum(first.y == k)) for k, name in enumerate(names)}
    if found != test.counts:
        yield evidence.problem(f"is {test.counts}, the predictions have {found}", f"{cell}.counts")
    if (groups := len(np.unique(first.groups))) != test.groups:
        yield evidence.problem(f"is {test.groups}, the predictions have {groups}", f"{cell}.groups")


def _wrong_metrics(evidence: Evidence, cell: str, test: FurtherTestRecord, sides: Sides) -> Iterator[Problem]:
    record = evidence.entry.record
    trained = {(arm.name, arm.seed): arm for arm in record.arms}
    for j, arm in enumerate(test.arms):
        here, predictions = f"{cell}.arms[{j}]", sides.get(arm.name, {}).get(arm.seed)
        if (arm.name, arm.seed) not in trained:
            yield evidence.problem(f"arm {arm.name!r} with seed {arm.seed} is not in the record", here)
            continue
        if predictions is None:
            continue
        try:
            found = measure(record, trained[arm.name, arm.seed], predictions)
        except BenchError as error:
            yield evidence.problem(f"cannot be recomputed: {error}", f"{here}.metrics")
            continue
        for name, stated in arm.metrics.items():
            if name not in found:
                told = "is recorded, but does not follow from predictions and thresholds"
                yield evidence.problem(told, f"{here}.metrics.{name}")
                continue
            for part, message in differences(stated, found[name], record):
                yield evidence.problem(message, f"{here}.metrics.{name}.{part}")


def _wrong_differences(evidence: Evidence, cell: str, test: FurtherTestRecord, sides: Sides) -> Iterator[Problem]:
    record = evidence.entry.record
    replicates = int(record.config.get("replicates", REPLICATES))
    for j, stated in enumerate(test.comparisons):
        here = f"{cell}.comparisons[{j}]"
        if stated.endpoint != "auc" or not stated.estimate.method.startswith(METHOD):
            yield evidence.problem(f"{stated.endpoint} by {stated.estimate.method!r} cannot be recomputed", here)
            continue
        try:
            found, seeds, n = _difference(evidence, stated, sides, replicates)
        except (BenchError, ValueError, KeyError) as error:
            yield evidence.problem(f"cannot be recomputed: {error}", here)
            continue
        for part, message in wrong_cells(stated, found, seeds, n, random_slack(record), replicates):
            yield evidence.problem(message, f"{here}.{part}")


def _difference(
    evidence: Evidence, stated: ComparisonRecord, sides: Sides, replicates: int
) -> tuple[ArmDifference, int, int]:
    """Seeds that failed are left out, as the runner leaves them out."""
    failed = {failure.seed for failure in evidence.entry.record.failures}
    pair = [
        {seed: p for seed, p in sides.get(name, {}).items() if seed not in failed}
        for name in (stated.arm, stated.versus)
    ]
    return paired_difference(stated, pair, evidence.entry.record.data.positive, replicates)
