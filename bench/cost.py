"""What an arm costs beyond C0: the seconds of every stage that it used and C0 did not, whoever paid for them.

A stage counts with the time of its execution, also where it came from the store. What an arm used: its classifier, the
images that it was trained on and what these were made from; and what a protocol says it did for the arm
(:meth:`bench.lab.Lab.making`), such as mining, which no image tells of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.lab import SYNTHETIC_PREFIX, Arm, Outcome
from bench.record import ComparisonRecord, EstimateRecord, StageRecord
from bench.workbench import Workbench

BASE = "C0"
PREFIX = 12  # hex digits of a stage's key in the ids of its images
HOUR = 3600.0


@dataclass(frozen=True)
class Extra:
    """``seconds`` beyond C0 with one seed, over ``stages`` stages that ran on ``devices``."""

    seconds: float
    stages: int
    devices: frozenset[str]


def extra_costs(bench: Workbench, outcome: Outcome) -> dict[str, Extra]:
    """Arm -> what it took beyond C0 with the present seed; empty without C0."""
    if BASE not in outcome.arms:
        return {}
    made = {stage.key: stage for stage in bench.stages}
    used = {name: used_by(bench, arm, bench.charged.get((bench.seed, name), ()), made) for name, arm in
            outcome.arms.items()}  # fmt: skip
    out = {}
    for name, keys in used.items():
        stages = [made[key] for key in keys - used[BASE]]
        devices = frozenset(str(_meta(bench, stage).get("device")) for stage in stages)
        out[name] = Extra(sum(stage.seconds for stage in stages), len(stages), devices)
    return out


def used_by(bench: Workbench, arm: Arm, charged: Iterable[str], made: Mapping[str, StageRecord]) -> set[str]:
    """Keys of the stages that ``arm`` was made with: those it asked for, and all that went into them."""
    by_prefix = {key[:PREFIX]: key for key in made}
    prefixes = {str(i)[len(SYNTHETIC_PREFIX) :][:PREFIX] for i in arm.train.ids if str(i).startswith(SYNTHETIC_PREFIX)}
    waiting = [arm.classifier.key, *charged, *(by_prefix[p] for p in prefixes if p in by_prefix)]
    found: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in made and key not in found:
            found.add(key)
            waiting += _strings(_meta(bench, made[key]).get("inputs"))
    return found


def with_rates(
    rows: Sequence[ComparisonRecord], costs: Sequence[Mapping[str, Extra]], device_name: str
) -> list[ComparisonRecord]:
    """The primary comparisons of ``rows`` with their gain by hour of compute; ``costs``: one mapping a seed."""
    return [_with_rate(row, costs, device_name) if row.primary else row for row in rows]


def _with_rate(row: ComparisonRecord, costs: Sequence[Mapping[str, Extra]], device_name: str) -> ComparisonRecord:
    extras = [cost[row.arm] for cost in costs if row.arm in cost]
    if not extras:
        return row
    seconds = sum(extra.seconds for extra in extras) / len(extras)
    devices = sorted(frozenset().union(*(extra.devices for extra in extras)))
    rate = _rate(row.estimate, seconds, devices, device_name)
    return row.model_copy(update={"extra_seconds": seconds, "per_hour": rate})


def _rate(e: EstimateRecord, seconds: float, devices: Sequence[str], device_name: str) -> EstimateRecord:
    unit = f"AUC per hour of {device_name}"
    reason = f"its stages ran on {' and '.join(devices)}, whose hours do not add up" if len(devices) > 1 else None
    reason = "it took no compute beyond C0" if seconds <= 0 else reason
    if reason or e.value is None:
        return EstimateRecord(value=None, n=e.n, unit=unit, reason=reason or e.reason)
    scale = HOUR / seconds
    low, high = (None if limit is None else limit * scale for limit in (e.low, e.high))
    method = "difference and its limits by hours of compute beyond C0, mean over seeds; the hours are taken as known"
    return EstimateRecord(
        value=e.value * scale, low=low, high=high, n=e.n, unit=unit, direction="higher", method=method
    )


def _meta(bench: Workbench, stage: StageRecord) -> dict[str, Any]:
    found = bench.store.find(stage.stage, stage.key)
    return {} if found is None else found.meta


def _strings(value: Any) -> Iterator[str]:
    """All strings in nested JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
