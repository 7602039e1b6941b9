"""Numbers carry the digits they have, and no more."""

from __future__ import annotations

import pytest

from bench.format import (
    counts,
    detectable,
    interval,
    megabytes,
    number,
    over_seeds,
    p_value,
    seeds_text,
    throughput_note,
    words_over_seeds,
)
from bench.record import ComparisonRecord, EstimateRecord
from bench.verdict import verdict
from tests.bench.records import example


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.88712, "0.887"), (31.234, "31.2"), (1234.5, "1,234"), (0.00123, "0.0012"), (2.5, "2.50"), (0.0, "0.000")],
)
def test_decimals_fit_the_size(value: float, text: str) -> None:
    assert number(value) == text


def test_signed_differences_keep_three_decimals_and_no_negative_zero() -> None:
    tiny = EstimateRecord(value=-1e-6, low=-2e-6, high=3e-6)
    assert interval(tiny, signed=True) == "+0.000 [+0.000, +0.000]"
    assert interval(EstimateRecord(value=-0.02, low=-0.04, high=0.0), signed=True) == "-0.020 [-0.040, +0.000]"


def test_an_interval_has_one_number_of_decimals() -> None:
    assert interval(EstimateRecord(value=0.9, low=0.005, high=0.99)) == "0.900 [0.005, 0.990]"
    assert interval(EstimateRecord(value=0.9, low=0.85, high=0.95), stacked=True) == "0.900\n0.850–0.950"
    assert interval(EstimateRecord(value=0.1, low=-0.05, high=0.2), stacked=True) == "0.100\n-0.050 to 0.200"


def test_no_value_is_said() -> None:
    assert interval(EstimateRecord(value=None, reason="one class only")) == "undefined"


def test_several_seeds_give_mean_range_and_what_is_missing() -> None:
    rows = [EstimateRecord(value=v) for v in (0.8, 0.9, None)]
    assert over_seeds(rows) == "0.850 (0.800–0.900, 1 undefined)"
    assert over_seeds([EstimateRecord(value=v) for v in (0.9781, 0.9779)]) == "0.978 (all)"


def test_small_p_is_not_zero() -> None:
    assert [p_value(p) for p in (None, 0.0, 0.0344, 1.0)] == ["–", "< 0.001", "0.034", "1.000"]


def test_megabytes() -> None:
    assert [megabytes(v) for v in (None, 12.4, 2048.0)] == ["–", "12 MB", "2.0 GB"]


@pytest.mark.parametrize("value", [-0.0004, -1e-9, -0.0, 0.0, 0.0004])
@pytest.mark.parametrize("significant", [False, True])
def test_table_and_verdict_write_a_difference_alike(value: float, significant: bool) -> None:
    estimate = EstimateRecord(value=value, low=value - 0.004, high=-value + 0.0004)
    row = ComparisonRecord(
        endpoint="auc", arm="guided", versus="C2", estimate=estimate, p_adjusted=0.01 if significant else 0.9,
        minimum_detectable_difference=0.0061, primary=True,
    )  # fmt: skip
    assert interval(estimate, signed=True).startswith("+0.000 [-0.004, +0.00")
    assert f"{interval(estimate, signed=True)} AUC" in verdict([row])
    assert "-0.000" not in verdict([row])
    assert ("could have seen Δ ≥ 0.006)" in verdict([row])) is not significant


def test_a_verdict_without_numbers_is_a_sentence_still() -> None:
    estimate = EstimateRecord(value=None, reason="one lesion only")
    row = ComparisonRecord(endpoint="auc", arm="guided", versus="C1", estimate=estimate, primary=True)
    assert verdict([row]).startswith("No evidence that guided differs from C1 (undefined AUC).")


def test_unfinished_seeds_are_counted() -> None:
    record = example((0, 1))
    assert seeds_text(record) == ""
    record.seeds = [0, 1, 2]
    assert seeds_text(record) == "2 of 3 seeds finished"
    record.arms = []
    assert seeds_text(record) == "0 of 3 seeds finished"
    assert seeds_text(example((0, 7), failed=True)) == "1 of 2 seeds finished", "a failed seed is none"


def test_arms_whose_seeds_chose_other_rounds_say_so() -> None:
    assert counts([1574, 766, 785]) == "766–1,574"
    assert counts([7012, 7012]) == "7,012"
    assert (
        words_over_seeds(["real + 1574 guided synthetic", "real + 766 guided synthetic"]) == "real + guided synthetic"
    )
    assert words_over_seeds(["real + 1574 guided"] * 2) == "real + 1574 guided"


def test_a_speed_under_bf16_says_what_may_still_be_float32() -> None:
    assert throughput_note(["fp32", "fp32"]) == "warm-up left out"
    assert "predictions and some networks compute in float32" in throughput_note(["fp32", "bf16"])


def test_what_could_have_been_shown_is_at_most_a_whole() -> None:
    assert [detectable(mdd) for mdd in (None, 0.0123, 0.99, 1.0, 1.7)] == ["–", "± 0.012", "± 0.990", "none", "none"]
