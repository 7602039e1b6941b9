"""The page of a run: readable names of every number, subgroups, and what cannot be said in words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import PredictionEvidence, Threshold
from bench.metrics import measure_subgroups
from bench.record import EstimateRecord, FindingRecord, Record, RoundRecord
from leaderboard import figures, run_endpoints, run_images, run_results, run_subgroups
from leaderboard.glossary import WORDS
from leaderboard.load import Entry, load
from leaderboard.pages import run_html
from tests.leaderboard.runs import CHECKSUM, CLASSES, cases, make_run


class Cells(HTMLParser):
    """Text of each row's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def with_subgroups(path: Path) -> Entry:
    """The run at ``path`` with the subgroups that the runner measures, from its own predictions."""
    record = Record.read(path)
    for arm in record.arms:
        ids, groups, y = cases("test")
        assert arm.predictions
        scores = np.load(path.parent / arm.predictions.path)["scores"]
        thresholds = {t.rule: Threshold(t.rule, t.value, "val_thresh", CHECKSUM) for t in arm.thresholds}
        evidence = PredictionEvidence(y, scores, ids, groups, CLASSES, 1, thresholds)
        sex = np.where(np.arange(len(y)) % 2, "female", "male")
        site = np.where(np.arange(len(y)) % 12, "back", "<b>foot</b>")
        found = measure_subgroups(evidence, {"sex": sex, "site": site}, seed=0, replicates=100)
        arm.subgroups = {key: EstimateRecord.of(estimate) for key, estimate in found.items()}
    record.write(path)
    return load([path]).entries[0]


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return with_subgroups(make_run(tmp_path_factory.mktemp("run") / "a"))


def test_subgroups_have_a_table_with_their_counts(entry: Entry) -> None:
    shown = [row for row in Cells(run_subgroups.subgroups(entry.record)).rows if len(row) > 1]
    rows = {row[0]: row for row in reversed(shown)}  # the first table is that of the AUC
    assert rows["Subgroup"] == ["Subgroup", "Positive of all", "C0", "A1"]
    assert rows["sex: female"][1] == "30 of 150"
    stored = [arm.subgroups["auc[sex=female]"].value for arm in entry.record.arms if arm.name == "A1"]
    assert ["Subgroup", "Cases", "C0", "A1"] in shown
    assert ["sex: female", "30"] in [row[:2] for row in shown]  # sensitivity is of positives
    assert rows["sex: female"][3].startswith(f"{np.mean([v for v in stored if v is not None]):.3f} (")


def test_subgroups_that_are_too_small_say_so(entry: Entry) -> None:
    html = run_subgroups.subgroups(entry.record)
    rows = {row[0]: row for row in reversed(Cells(html).rows) if len(row) > 1}
    assert rows["site: <b>foot</b>"][2:] == ["insufficient n", "insufficient n"]
    assert "<b>foot" not in html
    assert "at least 20 are needed" in html
    assert "described, not tested" in html


def test_a_run_without_subgroups_has_no_such_section(entry: Entry, tmp_path: Path) -> None:
    assert 'id="subgroups"' in run_html(entry, "0" * 64, {})
    (plain,) = load([make_run(tmp_path / "a")]).entries
    assert 'id="subgroups"' not in run_html(plain, "0" * 64, {})


def test_every_metric_of_images_has_a_readable_name(entry: Entry) -> None:
    record = entry.record.model_copy(deep=True)
    value = EstimateRecord(value=0.25, low=0.2, high=0.3, n=100, direction="lower")
    missing = EstimateRecord(value=None, reason="needs the weights of VGG16 & more")
    added = ("membership_auc", "membership_tpr01", "lpips_diversity[melanoma]", "checkerboard", "duplicate_rate",
             "no_lesion_rate", "realism[melanoma]")  # fmt: skip
    for fidelity in record.fidelity:
        fidelity.metrics |= {**dict.fromkeys(added, value), "ppl2_wend": missing}
    html = run_images.fidelity(record)
    names = [row[0] for row in Cells(html).rows if row]
    for name in ("PPL (W)", "membership AUC ↓", "membership TPR at 1 % ↓", "LPIPS diversity melanoma ↓",
                 "checkerboard ↓", "duplicate rate ↓", "no lesion rate ↓", "realism melanoma ↓"):  # fmt: skip
        assert any(found.startswith(name) for found in names), name
    assert not [found for found in names if "_" in found.split(" ")[0] and not found.startswith("C_T")]
    assert "needs the weights of VGG16 &amp; more" in html
    assert WORDS["checkerboard"] in html


def test_memorization_stands_beside_what_held_out_images_give(entry: Entry) -> None:
    record = entry.record.model_copy(deep=True)
    rate = EstimateRecord(value=0.25, low=0.2, high=0.3, n=100, direction="lower", extra={"null": 0.0098})
    for fidelity in record.fidelity:
        fidelity.metrics["copy_rate"] = rate
        fidelity.floor.pop("copy_rate", None)
    (row,) = [row for row in Cells(run_images.fidelity(record)).rows if row and row[0].startswith("copy rate ↓")]
    assert row[-1] == "0.0098"


def test_a_submission_says_on_its_page_that_it_was_trained_elsewhere(entry: Entry) -> None:
    external = Entry(entry.path, entry.record.model_copy(update={"origin": "external"}))
    assert "trained elsewhere" in run_html(external, "0" * 64, {})
    assert "trained elsewhere" not in run_html(entry, "0" * 64, {})


def test_what_the_protocol_found_itself_is_shown(entry: Entry) -> None:
    estimate = EstimateRecord(value=0.21, low=0.15, high=0.27, n=100)
    found = [FindingRecord(name="optimism of <mining>", seed=3, estimate=estimate)]
    page = run_html(Entry(entry.path, entry.record.model_copy(update={"findings": found})), "0" * 64, {})
    assert ["optimism of <mining>", "3", "0.210 [0.150, 0.270]"] in Cells(page).rows
    assert 'id="findings"' not in run_html(entry, "0" * 64, {})


def test_a_run_without_command_says_how_to_repeat_it(entry: Entry) -> None:
    called = Entry(entry.path, entry.record.model_copy(update={"command": ""}))
    assert "the run file under Configuration repeats it" in run_html(called, "0" * 64, {})
    assert "the run file under Configuration repeats it" not in run_html(entry, "0" * 64, {})


def test_why_a_metric_is_undefined_stands_below_its_table(entry: Entry) -> None:
    record = entry.record.model_copy(deep=True)
    for fidelity in record.fidelity:
        for name in ("copy_rate", "membership_tpr01"):
            fidelity.metrics[name] = EstimateRecord(value=None, reason="a 0.01 quantile needs <100> images")
    html = run_images.fidelity(record)
    told = "Undefined: copy rate, membership TPR at 1 %: a 0.01 quantile needs &lt;100&gt; images."
    assert html.count(f">{told}<") == 1
    assert "Undefined: copy rate" not in run_images.fidelity(entry.record)


def test_memorization_by_round_is_told_from_99_percent_of_held_out_images(entry: Entry) -> None:
    rate = EstimateRecord(value=0.25, low=0.2, high=0.3, n=60, extra={"p_innocent": 1e-5})
    none = EstimateRecord(value=None, reason="too few")
    rows = [
        RoundRecord(seed=0, round=r, n_synthetic=60, n_reference=120, extractor="x", metrics=metrics, flagged=flagged)
        for r, metrics, flagged in ((1, {"copy_rate": rate}, ["copy_rate"]), (2, {"copy_rate": none}, []))
    ]
    html = run_endpoints.rounds(entry.record.model_copy(update={"rounds": rows}))
    assert ["0", "1", "60", "0.250 [0.200, 0.300], p < 0.001", "copy rate"] in Cells(html).rows
    assert ["0", "2", "60", "undefined", "no"] in Cells(html).rows
    assert "nearer to train than 99 % of 120 held-out images" in html
    assert "Undefined: copy rate: too few." in html


def test_differences_without_correction_have_no_column_for_it(entry: Entry) -> None:
    (comparison,) = entry.record.comparisons
    plain = comparison.model_copy(update={"p_adjusted": None, "correction": "", "primary": False})
    for rows, adjusted in (([comparison], ["p, Holm"]), ([plain], []), ([comparison, plain], ["p, Holm"])):
        table = Cells(run_results.difference_table("differences", rows)).rows
        assert [head for head in table[0] if head.startswith("p, ")] == adjusted
        assert {len(row) for row in table} == {6 + len(adjusted)}


def test_an_arm_has_the_same_line_in_every_figure_of_a_page(entry: Entry) -> None:
    chosen = [{"event": "chosen round", "arm": "A1", "val_select_auc": [0.7, 0.8]}]
    page = figures.of_run(Entry(entry.path, entry.record.model_copy(update={"ledger": chosen})))
    lines = re.findall(r'<path class="line (s\d)"[^>]*><title>([^<]*)</title>', page)
    assert lines.count(("s1", "A1")) == 3  # ROC, reliability, rounds; C0 has no rounds
    assert {name: {style for style, of in lines if of == name} for _, name in lines} == {"C0": {"s0"}, "A1": {"s1"}}
