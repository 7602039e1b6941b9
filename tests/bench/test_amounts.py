"""Which arms make a curve, where C0 stands on it, and what is said of saturation."""

from __future__ import annotations

from typing import Any

import pytest

from bench import amounts
from bench.amounts import (
    RATIO,
    SHARE,
    SIZE,
    Curve,
    curves,
    record_curves,
    saturation_events,
    saturation_limits,
    saturation_words,
)
from bench.record import ComparisonRecord, EstimateRecord
from tests.bench.records import example


def found(*names: str, **options: Any) -> dict[tuple[str, bool], list[tuple[float, str]]]:
    """Title and whether repeated -> amounts with the names of their arms."""
    return {(c.sweep.title, c.repeated): list(c.points) for c in curves((name, options, name) for name in names)}


def test_ratios_start_from_real_images_alone_and_have_their_own_control() -> None:
    names = ("C0", "C0b", "A2", "A0.5", "A0.5-real", "A2-real", "Abal", "Abal-real", "A+22000", "A1e-05")
    assert found(*names) == {
        (RATIO.title, False): [(0.0, "C0"), (1e-5, "A1e-05"), (0.5, "A0.5"), (2.0, "A2")],
        (RATIO.title, True): [(0.0, "C0"), (0.5, "A0.5-real"), (2.0, "A2-real")],
    }


def test_the_size_of_s0_is_that_of_the_option() -> None:
    assert found("C0", "S0", "S4", "S0.25", size=2.0) == {
        (SIZE.title, False): [(0.25, "S0.25"), (2.0, "S0"), (4.0, "S4")]
    }
    assert found("C0", "S0", "S4") == {(SIZE.title, False): [(1.0, "S0"), (4.0, "S4")]}


def test_a_learning_curve_ends_with_all_real_images() -> None:
    assert found("C0", "R0.5", "R0.05") == {(SHARE.title, False): [(0.05, "R0.05"), (0.5, "R0.5"), (1.0, "C0")]}


@pytest.mark.parametrize(
    "names", [("C0", "A1", "A1-real"), ("C0", "R0.4", "M0.4"), ("C0", "S0"), ("C0", "C1", "guided")]
)
def test_one_amount_makes_no_curve(names: tuple[str, ...]) -> None:
    assert found(*names) == {}


def test_curves_without_c0_have_no_reference() -> None:
    (curve,) = curves((name, {}, name) for name in ("A1", "A2"))
    assert (curve.points, curve.reference) == (((1.0, "A1"), (2.0, "A2")), None)


def event(
    seed: int, at: float, best: float, missed: float = 0.031, over: tuple[float, ...] = (0, 0.5, 1, 2)
) -> dict[str, Any]:
    told = {f"{amount:g}": 0.0 if amount == best else missed for amount in over}
    return {
        "seed": seed, "event": "saturation", "split": "val_select", "n": 1075, "best": best, "saturated_at": at,
        "auc": dict.fromkeys(told, 0.8), "minimum_detectable_difference": told,
    }  # fmt: skip


def ratios() -> Curve[str]:
    return curves((name, {}, name) for name in ("C0", "A0.5", "A1", "A2"))[0]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([event(0, 0.5, 2)], "from ratio 0.5 on not told apart from the best, ratio 2"),
        ([event(0, 0, 1)], "real images alone are not told apart from the best, ratio 1"),
        ([event(0, 0, 0)], "the best is real images alone"),
        ([event(0, 2, 2)], "the best, ratio 2, is told apart from all that is less"),
        (
            [event(0, 0.5, 2), event(1, 0, 1), event(2, 0.5, 2)],
            "from ratio 0.5 on not told apart from the best, ratio 2 (2 of 3 seeds), "
            "real images alone are not told apart from the best, ratio 1 (1 of 3 seeds)",
        ),
        ([], ""),
    ],
)
def test_saturation_is_said_as_the_record_has_it(events: list[dict[str, Any]], words: str) -> None:
    assert saturation_words(events, RATIO) == words


def test_what_cannot_be_told_is_said_too() -> None:
    assert saturation_limits([event(0, 0.5, 2), event(1, 0, 1, 0.043)]) == (
        "Judged on val_select (1,075 images); gaps below 0.031–0.043 are missed more than once in five times."
    )
    assert saturation_limits([event(0, 2, 2)]) == "Judged on val_select (1,075 images)."
    assert saturation_limits([]) == ""


def test_saturation_is_of_the_amounts_of_a_curve_and_of_its_last_word_for_each_seed() -> None:
    other = event(5, 0.25, 4, over=(0.25, 4))
    broken = [
        {"event": "saturation", "seed": 6},
        {"event": "saturation", "auc": None},
        {**event(7, 1, 1), "best": 3.0},
        {"event": "round", "auc": {}},
    ]
    ledger = [event(0, 0, 1), event(1, 2, 2), other, *broken, event(0, 0.5, 1)]
    assert saturation_events(ledger, ratios()) == [event(0, 0.5, 1), event(1, 2, 2)]
    repeated = curves((name, {}, name) for name in ("C0", "A0.5-real", "A1-real", "A2-real"))[0]
    assert saturation_events(ledger, repeated) == []


def test_differences_are_the_recorded_ones_from_c0() -> None:
    record = example()
    first = record.arms[0]
    record.arms = [first.model_copy(update={"name": name}) for name in ("C0", "A0.5", "A1", "A2")]
    rows = [
        ("auc", "A0.5", "C0", 0.01),
        ("auc", "A1", "A1-real", 0.5),
        ("pauc80", "A1", "C0", 0.6),
        ("auc", "A2", "C0", None),
    ]
    record.comparisons = [
        ComparisonRecord(endpoint=endpoint, arm=arm, versus=versus, estimate=EstimateRecord(value=value, reason="x"))
        for endpoint, arm, versus, value in rows
    ]
    (curve,) = record_curves(record)
    assert [(amount, row.arm) for amount, row in amounts.differences(record, curve)] == [(0.5, "A0.5")]
