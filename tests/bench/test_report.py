"""The tables: everything the record says is there, readable at 80 and 140 columns, in plain text, from any names."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bench.record import Record
from bench.report import print_report, write_table
from tests.bench.records import example


def shown(record: Record, width: int = 140, *, terminal: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False, force_terminal=terminal)
    print_report(record, Path("runs/x"), console)
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["one seed", "three seeds"])
def test_fits_the_screen_and_cuts_nothing(width: int, seeds: tuple[int, ...]) -> None:
    text = shown(example(seeds), width)
    assert max(map(len, text.splitlines())) <= width
    assert not re.search(r"\S…", text), "a word was cut"
    for word in ("C0", "guided", "C1", "C2", "C6", "AUC", "sensitivity", "specificity", "colour floor", "0.784"):
        assert word in text


def test_says_all_that_decides() -> None:
    text = shown(example())
    assert "0.858 [0.827, 0.889]" in text
    assert "+0.009 [-0.003, +0.021]" in text
    assert re.search(r"guided - C2 .* 0\.140 +0\.280 +± 0\.017", text), "p, Holm-adjusted p, detectable difference"
    assert re.search(r"FID ↓ +31\.2 .* 4\.40", text), "generator beside real against real"
    assert "copy rate" in text
    assert "1,210" in text
    assert "0.931" in text, "AUC of the ideal observer"
    assert "171 melanoma of 800 test images" in text
    assert "figures/samples-seed0.png" in text
    assert "predictions/" in text
    assert "1 executed, 1 cached" in text
    assert "results say nothing about patients" in text
    assert "no evidence that guided differs from C1" in text


def test_saturation_is_said_where_the_protocol_looked_for_it() -> None:
    record = example((0, 1))
    assert "Saturation" not in shown(record)
    plain = {seed: next(arm for arm in record.arms if arm.seed == seed) for seed in (0, 1)}
    record.arms = [of.model_copy(update={"name": name}) for of in plain.values() for name in ("C0", "A0.5", "A1")]
    auc = {"0": 0.8, "0.5": 0.83, "1": 0.83}
    record.ledger = [
        {"seed": seed, "event": "saturation", "split": "val_select", "n": 300, "best": 1, "saturated_at": 0.5,
         "auc": auc, "minimum_detectable_difference": {"0": 0.02, "0.5": 0.01, "1": 0.0}}
        for seed in (0, 1)
    ]  # fmt: skip
    text = " ".join(shown(record).split())
    assert "Saturation from ratio 0.5 on not told apart from the best, ratio 1 (2 of 2 seeds). Judged on" in text


def test_subgroups_stand_beside_each_other_and_small_ones_are_only_named() -> None:
    text = shown(example())
    assert re.search(r"sex=female +82 of 390 +0\.861 +0\.868 +0\.865", text)
    assert not re.search(r"^sex=unknown", text, re.M)
    assert "fewer than 20 positives or negatives: sex=unknown" in text
    narrow = shown(example(), 80)
    assert "arms not shown are in the record: C1, C2, C6" in " ".join(narrow.split())


def noticed(*where: tuple[str, int]) -> str:
    """The line of a report on two seeds in which the given arms noticed the same."""
    record = example((0, 1))
    for arm in record.arms:
        arm.notes = ["no train image of melanoma"] if not where or (arm.name, arm.seed) in where else []
    found = re.findall(r"^(.*): no train image of melanoma *$", shown(record), re.M)
    assert len(found) == 1
    return str(found[0])


def test_what_classifiers_noticed_is_said_once_with_whose_it_is() -> None:
    assert noticed(("C0", 0)) == "C0 (seed 0)"
    assert noticed(("C0", 0), ("guided", 1)) == "C0 (seed 0), guided (seed 1)"
    assert noticed(("C0", 1), ("C0", 0), ("guided", 1)) == "C0, guided (seed 1)"
    assert noticed() == "all arms"


def test_undefined_numbers_have_their_reason_once() -> None:
    record = example()
    for arm in record.arms:
        arm.metrics["auc"] = arm.metrics["auc"].model_copy(
            update={"value": None, "low": None, "high": None, "reason": "undefined, because no case is positive"}
        )
    text = " ".join(shown(record, 80).split())
    assert text.count("undefined, because no case is positive: auc of C0, auc of guided") == 1


def test_several_seeds_are_not_passed_off_as_an_interval() -> None:
    text = shown(example((0, 1, 2)))
    assert "mean and range over 3 seeds" in text
    assert "0.862 (0.858–0.866)" in text


def test_a_failed_seed_is_seen() -> None:
    text = shown(example(failed=True))
    assert "partial" in text
    assert "StageError: fit ldm: loss is nan at step 310" in text


def test_names_are_not_markup() -> None:
    record = example()
    record.arms[0].name = "[bold red]evil[/]"
    record.data.notes = ["a [link=x]note[/link]"]
    text = shown(record)
    assert "[bold red]evil[/]" in text
    assert "a [link=x]note[/link]" in text


def test_colour_only_on_a_terminal(tmp_path: Path) -> None:
    assert "\x1b[" in shown(example(), terminal=True)
    assert "\x1b" not in shown(example())
    written = write_table(example(), tmp_path).read_text()
    assert "\x1b" not in written
    assert not any(line != line.rstrip() for line in written.splitlines())


def test_a_run_that_failed_at_once_can_be_shown() -> None:
    record = example(failed=True)
    empty = record.model_copy(
        update={"arms": [], "comparisons": [], "fidelity": [], "throughput": [], "stages": [], "split": None}
        | {"status": "failed", "floors": {}, "files": {}, "verdict": "", "generator": None}
    )
    assert "failed" in shown(empty, 80)
