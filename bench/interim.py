"""What a run of several seeds says before it is over: the primary comparison over the seeds that are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import evaluate
from bench.contracts import Images
from bench.differences import auc_differences
from bench.format import interval, number
from bench.lab import Fitted
from bench.record import ComparisonRecord, Record
from bench.workbench import Workbench

Judgements = Sequence[Mapping[str, evaluate.Judged]]
Classifiers = Sequence[Mapping[str, Fitted]]


def interim_comparisons(
    bench: Workbench,
    test: Images,
    positive: int,
    judged: Judgements,
    classifiers: Classifiers,
    primary: Sequence[tuple[str, str]],
) -> list[ComparisonRecord]:
    """ΔAUC of each primary pair over the finished seeds, Holm together.

    ``judged``, ``classifiers``: arm -> judgement and classifier, one mapping a seed. Each is the stage that a run of
    just these seeds would end with, so a run that goes on, or one with more seeds, repeats none of them.
    """
    arms = dict.fromkeys(name for pair in primary for name in pair)
    scores = {name: [seed[name].test_scores for seed in judged] for name in arms}
    keys = {name: [seed[name].key for seed in classifiers] for name in arms}
    return auc_differences(bench, test, positive, scores, keys, primary, primary)


def interim_lines(record: Record, of: int) -> list[str]:
    """What to say after a finished seed: the AUC of each arm over the seeds so far, and the primary differences."""
    seeds = {arm.seed for arm in record.arms}
    aucs: dict[str, list[float]] = {}
    for arm in record.arms:
        value = arm.metrics["auc"].value if "auc" in arm.metrics else None
        if value is not None:
            aucs.setdefault(arm.name, []).append(value)
    means = ", ".join(f"{name} {number(sum(values) / len(values), 1.0)}" for name, values in aucs.items())
    lines = [f"{len(seeds)} of {of} seeds: AUC {means}"] if means else []
    rows = [row for row in record.comparisons if row.primary]
    return lines + [
        f"  {row.arm} - {row.versus}: {interval(row.estimate, signed=True)} AUC over {_seeds(row.n_seeds)}"
        for row in rows
    ]


def _seeds(n: int) -> str:
    return f"{n} seed{'' if n == 1 else 's'}"
