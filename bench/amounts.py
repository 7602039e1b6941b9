"""Arms that differ by one amount alone make a curve: ratio sweep, size sweep, learning curve.

Protocols name such arms by the amount: ``A0.5`` is train and half as many synthetic images, ``A0.5-real`` train and
half as many repeated real ones, ``S2`` synthetic images alone, twice as many as train (``S0``: as many as the
protocol's option ``size`` says), ``R0.1`` a tenth of the groups of train. C0, trained on all of train, stands on the
first curve at 0, on the last at 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from bench.format import number
from bench.record import ArmRecord, ComparisonRecord, Record

REFERENCE = "C0"
REPEATED, REAL_ALONE = "repeated real images", "real images alone"
NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"

T = TypeVar("T")


@dataclass(frozen=True)
class Sweep:
    """What is varied. ``at`` says an amount in words; ``real``: where C0 stands, None where it has no place.

    ``scale``: "log" where amounts are chosen by doubling, and none is zero.
    """

    title: str
    unit: str
    at: str
    arms: re.Pattern[str]
    real: float | None
    scale: Literal["linear", "log"]
    reference: str


RATIO = Sweep(
    "AUC over the amount of synthetic images", "added images per real image", "ratio {:g}",
    re.compile(f"A{NUMBER}(-real)?"), 0.0, "linear", "Ratio 0 and dashed line: C0, real images alone.",
)  # fmt: skip
SIZE = Sweep(
    "AUC of training on synthetic images alone", "synthetic images, multiples of train", "{:g} × train",
    re.compile(f"S{NUMBER}()"), None, "log", "Dashed line: C0, trained on the real images of train.",
)  # fmt: skip
SHARE = Sweep(
    "Learning curve", "share of the groups of train", "share {:g}",
    re.compile(f"R{NUMBER}()"), 1.0, "log", "Share 1 and dashed line: C0, all real images of train.",
)  # fmt: skip
SWEEPS = (RATIO, SIZE, SHARE)


@dataclass(frozen=True)
class Curve(Generic[T]):
    """What was found for each amount, ascending, C0 among them where it has a place; ``reference``: that of C0.

    ``repeated``: the images added are repeated real ones, the control of as many synthetic ones.
    """

    sweep: Sweep
    repeated: bool
    points: tuple[tuple[float, T], ...]
    reference: T | None


def curves(arms: Iterable[tuple[str, Mapping[str, Any], T]]) -> list[Curve[T]]:
    """The curves with two amounts or more among ``arms``: (name, options of the protocol, what was found).

    Of several findings for one amount the first counts.
    """
    references: list[T] = []
    found: dict[tuple[Sweep, bool], dict[float, T]] = {}
    for name, options, of in arms:
        if name == REFERENCE:
            references.append(of)
        for sweep in SWEEPS:
            if match := sweep.arms.fullmatch(name):
                amount = float(options.get("size", 1.0)) if name == "S0" else float(match[1])
                found.setdefault((sweep, bool(match[2])), {}).setdefault(amount, of)
    return [
        _curve(sweep, repeated, found[sweep, repeated], references)
        for sweep in SWEEPS for repeated in (False, True) if len(found.get((sweep, repeated), ())) > 1
    ]  # fmt: skip


def _curve(sweep: Sweep, repeated: bool, points: Mapping[float, T], references: Sequence[T]) -> Curve[T]:
    at_real = {sweep.real: references[0]} if sweep.real is not None and references else {}
    ordered = tuple(sorted({**points, **at_real}.items(), key=lambda point: point[0]))
    return Curve(sweep, repeated, ordered, references[0] if references else None)


def record_curves(record: Record) -> list[Curve[list[ArmRecord]]]:
    """The curves of a run: what was found is an arm of every seed."""
    by_name: dict[str, list[ArmRecord]] = {}
    for arm in record.arms:
        by_name.setdefault(arm.name, []).append(arm)
    return curves((name, record.protocol.config, arms) for name, arms in by_name.items())


def differences(record: Record, curve: Curve[list[ArmRecord]]) -> Iterator[tuple[float, ComparisonRecord]]:
    """(amount, AUC of its arm minus that of C0), paired over seeds and test images, as the record has it."""
    against = {c.arm: c for c in record.comparisons if c.endpoint == "auc" and c.versus == REFERENCE}
    for amount, arms in curve.points:
        if (found := against.get(arms[0].name)) is not None and found.estimate.value is not None:
            yield amount, found


def saturation_events(ledger: Iterable[Mapping[str, Any]], curve: Curve[Any]) -> list[Mapping[str, Any]]:
    """The entries on saturation that are about the amounts of ``curve``, one a seed: the last."""
    amounts = {amount for amount, _ in curve.points}
    found = {
        event.get("seed"): event
        for event in ledger
        if event.get("event") == "saturation" and not curve.repeated and _amounts(event) and _amounts(event) <= amounts
    }
    return list(found.values())


def _amounts(event: Mapping[str, Any]) -> set[float]:
    """The amounts that an entry on saturation judged; empty where it does not say them, or decided for another."""
    try:
        judged = {float(amount) for amount in event["auc"]}
        return judged if {_told(event, "saturated_at"), _told(event, "best")} <= judged else set()
    except (KeyError, TypeError, ValueError):
        return set()


def _told(event: Mapping[str, Any], name: str) -> float:
    return float(f"{float(event[name]):g}")  # as the names of arms have it


def saturation_words(events: Sequence[Mapping[str, Any]], sweep: Sweep) -> str:
    """From which amount on more are not seen to help, with how many of the seeds; "" without entries.

    See :func:`protocols.saturation.saturation` for the rule; nothing is decided here.
    """
    times = Counter(_saturated(event, sweep) for event in events)
    several = len(events) > 1
    return ", ".join(f"{words} ({n} of {len(events)} seeds)" if several else words for words, n in times.items())


def _saturated(event: Mapping[str, Any], sweep: Sweep) -> str:
    amount, best, least = _told(event, "saturated_at"), _told(event, "best"), min(map(float, event["auc"]))
    of_best = _at(best, sweep)
    if amount < best:
        alone = amount == sweep.real == 0
        enough = f"{REAL_ALONE} are" if alone else f"from {_at(amount, sweep)} on"
        return f"{enough} not told apart from the best, {of_best}"
    return f"the best is {of_best}" if best == least else f"the best, {of_best}, is told apart from all that is less"


def _at(amount: float, sweep: Sweep) -> str:
    return REAL_ALONE if amount == sweep.real == 0 else sweep.at.format(amount)


def saturation_limits(events: Sequence[Mapping[str, Any]]) -> str:
    """On which images saturation was judged, and which gaps could not be seen there; "" without entries."""
    if not events:
        return ""
    missed = [m for event in events if isinstance(m := _missed(event), float) and m > 0]
    least, most = (number(limit(missed), 0.1) for limit in (min, max)) if missed else ("", "")
    gaps = f"; gaps below {least if least == most else f'{least}–{most}'} are missed more than once in five times"
    images = f" ({events[0]['n']:,} images)" if isinstance(events[0].get("n"), int) else ""
    return f"Judged on {events[0].get('split', 'val_select')}{images}{gaps if missed else ''}."


def _missed(event: Mapping[str, Any]) -> object:
    told = event.get("minimum_detectable_difference")
    return told.get(f"{_told(event, 'saturated_at'):g}") if isinstance(told, Mapping) else None
