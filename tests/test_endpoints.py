"""The endpoints of a guided run: secondary ones, hard cases told by independent judges, beside a re-seeded C0."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bench.config import RunConfig
from bench.data.base import DataConfig, load_prepared
from bench.data.prepare import resolve
from bench.data.splits import make_splits
from bench.endpoints import HARD, hard_rows
from bench.errors import DataError, LeakError
from bench.plan import plan
from bench.record import ComparisonRecord, Record
from bench.report import print_report
from bench.run import RunResult, execute
from bench.stats import auc, benjamini_hochberg, two_level_bootstrap
from leaderboard.load import load
from leaderboard.pages import run_html
from leaderboard.validate import validate_places
from tests.worlds import small_config

SIZES = ["data.options.n_train=500", "data.options.n_test=240", "replicates=200"]
OPTIONS = ["protocol.rounds=2", "protocol.label_check=0", "classifier.steps=60"]
JOB = {"protocol": "adversarial", "generator": "copy-noise", "seeds": [0, 1], "sets": [*SIZES, *OPTIONS]}
PAIRS = {("guided", "C1"), ("guided", "C2")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoints")


@pytest.fixture(scope="module")
def elsewhere(folder: Path) -> Path:
    """A folder of 60 fresh phantom images, half of them melanomas, darker than the run's own."""
    drawn: Any = resolve(DataConfig(spec="phantom", resolution=16)).draw(np.arange(60) % 2, seed=77)
    for i, (pixels, label) in enumerate(zip(drawn.pixels[:], drawn.labels, strict=True)):
        path = folder / "elsewhere" / ("mel" if label else "nv") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((0.8 * pixels).astype(np.uint8)).save(path)
    return folder / "elsewhere"


def job(folder: Path, **changes: Any) -> RunConfig:
    return small_config(folder, **{**JOB, "also_test": [f"folder:{folder / 'elsewhere'}"], **changes})


@pytest.fixture(scope="module")
def planned(folder: Path, elsewhere: Path) -> set[str]:
    made = plan(job(folder))
    assert made.notes == []
    return {s.title for s in made.stages}


@pytest.fixture(scope="module")
def done(folder: Path, planned: set[str]) -> RunResult:
    return execute(job(folder))


def stored(done: RunResult, name: str) -> dict[str, np.ndarray]:
    with np.load(done.folder / "predictions" / name) as file:
        return dict(file)


def of(record: Record, endpoint: str) -> dict[tuple[str, str], ComparisonRecord]:
    return {(c.arm, c.versus): c for c in record.comparisons if c.endpoint == endpoint}


def test_every_pair_has_every_secondary_endpoint_and_none_is_primary(done: RunResult) -> None:
    pairs = of(done.record, "auc").keys()
    assert {(c.arm, c.versus) for c in done.record.comparisons if c.primary} == PAIRS
    for endpoint in ("pauc80", "specificity@sens95", "sensitivity@sens95"):
        found = of(done.record, endpoint)
        assert found.keys() == pairs
        for (arm, versus), c in found.items():
            assert not c.primary
            values = [[a.metrics[endpoint].value for a in done.record.arms if a.name == n] for n in (arm, versus)]
            assert c.estimate.value == pytest.approx(np.mean(values[0]) - np.mean(values[1]), abs=1e-9)
            assert c.estimate.low <= c.estimate.value <= c.estimate.high
            assert c.n_seeds == 2


def test_holm_is_for_the_primary_endpoint_and_bh_for_the_others_of_its_pairs(done: RunResult) -> None:
    for c in done.record.comparisons:
        expected = "" if (c.arm, c.versus) not in PAIRS else "Holm" if c.endpoint == "auc" else "BH"
        assert c.correction == expected
    family = [c for c in done.record.comparisons if c.correction == "BH"]
    assert len(family) == 2 * 4
    assert [c.p_adjusted for c in family] == pytest.approx(benjamini_hochberg([c.p for c in family]))


def test_the_reseeded_c0_is_trained_as_c0_but_for_its_random_stream(done: RunResult, folder: Path) -> None:
    store = small_config(folder).store
    metas = []
    for name in ("C0", "C0r"):
        key = next(a.key for a in done.record.arms if (a.name, a.seed) == (name, 0))
        metas.append(json.loads((store / "train" / key[:2] / key / "stage.json").read_text()))
    assert metas[0]["seed"] != metas[1]["seed"]
    for part in ("plugin", "config", "inputs"):
        assert metas[0][part] == metas[1][part]


def test_hard_is_a_third_of_each_class_by_judges_that_are_no_arm(done: RunResult) -> None:
    (stratum,) = done.record.strata
    judges = stored(done, "judges-test.npz")
    rows = hard_rows(judges["scores"], judges["y"])
    counts = np.bincount(judges["y"])
    assert np.bincount(judges["y"][rows]).tolist() == [-(-n // 3) for n in counts]
    assert (stratum.n, stratum.positives, stratum.judges) == (len(rows), -(-counts[1] // 3), 2 * 2)
    p = judges["scores"][np.arange(len(judges["y"])), judges["y"]]
    for k in (0, 1):
        of_class = np.flatnonzero(judges["y"] == k)
        assert p[np.intersect1d(of_class, rows)].max() <= p[np.setdiff1d(of_class, rows)].min()
    names = {a.name for a in done.record.arms}
    assert set(stratum.auc) == names == {"C0", "C0r", "guided", "C1", "C2", "C6"}
    for name in names:
        scores = [stored(done, f"{name}-seed{seed}-test.npz")["scores"][rows, 1] for seed in (0, 1)]
        values = [auc(judges["y"][rows] == 1, s) for s in scores]
        assert stratum.auc[name].value == pytest.approx(np.mean(values), abs=1e-12)


def test_the_difference_on_hard_cases_is_the_two_level_bootstrap_there(done: RunResult) -> None:
    judges = stored(done, "judges-test.npz")
    rows = hard_rows(judges["scores"], judges["y"])
    for arm, versus in (("guided", "C1"), ("C0", "C0r"), ("C6", "C0r")):
        sides = [
            np.stack([stored(done, f"{name}-seed{seed}-test.npz")["scores"][rows, 1] for seed in (0, 1)])
            for name in (arm, versus)
        ]
        found = two_level_bootstrap(judges["y"][rows] == 1, *sides, judges["groups"][rows], replicates=2_000)
        stated = of(done.record, HARD)[arm, versus]
        assert stated.estimate.value == pytest.approx(found.value, abs=1e-12)
        assert stated.p == pytest.approx(found.p, abs=1e-12)
        assert stated.estimate.low == pytest.approx(max(-1, found.low), abs=1e-12)


def test_cases_that_c0_got_wrong_look_easier_for_any_other_training(done: RunResult) -> None:
    """Why judges are needed: by C0's own errors C0 looks worst, and a mere re-seeding looks like a remedy."""
    gains, fair = [], []
    judges = stored(done, "judges-test.npz")
    for seed in (0, 1):
        base, again = (stored(done, f"{name}-seed{seed}-test.npz") for name in ("C0", "C0r"))
        y = base["y"]
        for difficulty, out in ((base["scores"], gains), (judges["scores"], fair)):
            rows = hard_rows(difficulty, y)
            out.append(auc(y[rows] == 1, again["scores"][rows, 1]) - auc(y[rows] == 1, base["scores"][rows, 1]))
    assert min(gains) > 0
    assert np.mean(gains) > np.mean(fair)


def test_the_plan_names_these_stages_and_a_repeat_executes_none(done: RunResult, planned: set[str]) -> None:
    assert {"secondary endpoints", "AUC on hard cases", "seed 0 · predict test, judge 1"} <= planned
    after = plan(job(done.folder.parents[1]))
    assert [s.title for s in after.to_do] == []
    assert {s.key for s in after.stages} == {s.key for s in done.record.stages}


def test_every_image_of_a_further_test_set_is_scored_at_the_arms_own_thresholds(done: RunResult) -> None:
    (test,) = done.record.further_tests
    assert (test.name, test.counts) == ("folder-elsewhere", {"benign": 30, "melanoma": 30})
    arms = {(a.name, a.seed): a for a in done.record.arms}
    assert [(a.name, a.seed) for a in test.arms] == list(arms)
    for arm in test.arms:
        with np.load(done.folder / arm.predictions.path) as file:
            y, score = file["y"], file["scores"][:, 1]
        assert arm.metrics["auc"].value == pytest.approx(auc(y == 1, score), abs=1e-12)
        cut = next(t.value for t in arms[arm.name, arm.seed].thresholds if t.rule == "sens95")
        assert arm.metrics["sensitivity@sens95"].value == pytest.approx(np.mean(score[y == 1] >= cut), abs=1e-12)
    assert {(c.arm, c.versus) for c in test.comparisons} == PAIRS
    assert not any(c.primary or c.correction for c in test.comparisons)


def test_a_further_test_set_makes_another_run_of_the_same_fits(done: RunResult, folder: Path) -> None:
    plain, more = job(folder, also_test=[]), job(folder)
    assert plain.run_id() != more.run_id()
    assert "also_test" not in plain.identity()
    keys = {s.key for s in plan(plain).stages}
    added = {s.stage for s in plan(more).stages if s.key not in keys}
    assert added == {"data", "invariants", "predict", "measure", "compare"}
    assert plan(plain).to_do == []


def test_training_images_in_a_further_test_set_are_refused_by_name(done: RunResult, folder: Path) -> None:
    stored = next((folder / "store" / "data").glob("*/*/table.npz"))
    prepared = next(p for p in map(load_prepared, {s.parent for s in stored.parents[2].glob("*/*/table.npz")})
                    if len(p.images) > 100)  # fmt: skip
    leaked = make_splits(prepared, job(folder).effective_data()).images(prepared, "train").take([3, 4])
    for label, pixels in zip(("mel", "nv"), leaked.pixels[:], strict=True):
        path = folder / "leaking" / label / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.clip(pixels + 2.0, 0, 255).astype(np.uint8)).save(path)
    with pytest.raises(LeakError, match=f"train and --also-test folder:.*near-duplicate.*{leaked.ids[0]} = mel/0"):
        execute(job(folder, also_test=[f"folder:{folder / 'leaking'}"]))


def test_a_further_test_set_of_another_task_is_refused(done: RunResult, folder: Path) -> None:
    other = job(folder, sets=[*JOB["sets"], "data.task=classes"])
    with pytest.raises(DataError, match=r"with classes mel, nv, that of the run is 'classes'"):
        plan(other)


def test_the_memorization_of_every_round_is_in_record_and_ledger(done: RunResult) -> None:
    rows = done.record.rounds
    assert [(r.seed, r.round) for r in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    accepted = [e["accepted"] for e in done.record.ledger if e["event"] == "round"]
    assert [r.n_synthetic for r in rows] == accepted
    noted = [e for e in done.record.ledger if e["event"] == "memorization"]
    assert [(e["seed"], e["round"], e["images"]) for e in noted] == [(r.seed, r.round, r.n_synthetic) for r in rows]
    for row in rows:
        assert set(row.metrics) == {"copy_rate", "copy_rate[pixels]", "copy_rate[domain]"}
        assert "needs 100 held-out images" in row.metrics["copy_rate"].reason  # a smoke run has 26
        assert row.flagged == []


def test_terminal_and_page_show_them(done: RunResult) -> None:
    text = io.StringIO()
    print_report(done.record, done.folder, Console(file=text, width=140, no_color=True))
    (entry,) = load([done.folder]).entries
    html = run_html(entry, "0" * 64, {})
    for words in ("Secondary endpoints of the primary pairs", "Memorization by round", "folder-elsewhere", "C0r"):
        assert words in text.getvalue()
        assert words in html
    assert "AUC on hard test cases" in text.getvalue()
    assert "hard test images" in html


@pytest.fixture
def copied(done: RunResult, tmp_path: Path) -> Path:
    shutil.copytree(done.folder, tmp_path / "run")
    return tmp_path / "run"


def problems(run: Path, change: Any) -> set[str]:
    record = json.loads((run / "record.json").read_text())
    change(record)
    (run / "record.json").write_text(json.dumps(record))
    _, found = validate_places([run])
    return {p.cell for p in found if "preset" not in p.message and "smoke" not in p.message}


def test_a_true_record_comes_out_of_its_predictions_again(copied: Path) -> None:
    assert problems(copied, lambda r: None) == set()


@pytest.mark.parametrize("endpoint", ["pauc80", "sensitivity@sens95", HARD])
@pytest.mark.parametrize("part", ["low", "p", "p_adjusted"])
def test_a_changed_secondary_number_is_named(copied: Path, endpoint: str, part: str) -> None:
    record = json.loads((copied / "record.json").read_text())
    i = next(i for i, c in enumerate(record["comparisons"]) if c["endpoint"] == endpoint and c["correction"] == "BH")

    def change(r: Any) -> None:
        row = r["comparisons"][i]
        place = row["estimate"] if part == "low" else row
        place[part] = place[part] - 0.01 if place[part] > 0.5 or part == "low" else place[part] + 0.01

    cell = f"comparisons[{i}].estimate.low" if part == "low" else f"comparisons[{i}].{part}"
    assert cell in problems(copied, change)


TAMPERED = {
    "further_tests/0/arms/1/metrics/auc/value": 0.001,
    "further_tests/0/arms/0/metrics/sensitivity@youden/value": 0.1,
    "further_tests/0/arms/2/metrics/specificity@youden/low": -0.02,
    "further_tests/0/comparisons/0/estimate/value": 0.003,
    "further_tests/0/comparisons/1/p": 0.01,
    "further_tests/0/counts/melanoma": 1,
    "further_tests/0/groups": -1,
    "strata/0/auc/guided/value": 0.001,
    "strata/0/auc/C0/high": 0.01,
    "strata/0/n": 1,
    "strata/0/positives": 1,
}


@pytest.mark.parametrize("place", TAMPERED)
def test_a_changed_number_that_follows_from_predictions_is_named(copied: Path, place: str) -> None:
    *path, last = (int(part) if part.isdigit() else part for part in place.split("/"))

    def change(r: Any) -> None:
        for part in path:
            r = r[part]
        r[last] += TAMPERED[place]

    cell = re.sub(r"/(\d+)", r"[\1]", place).removesuffix("/melanoma").replace("/", ".")
    assert cell in problems(copied, change)


@pytest.mark.parametrize("part", ["value", "low", "high"])
def test_a_gain_by_hour_that_is_no_difference_over_hours_is_named(copied: Path, part: str) -> None:
    def change(r: Any) -> None:
        row = next(c for c in r["comparisons"] if c["primary"])
        row["extra_seconds"] = 720.0
        row["per_hour"] = {**row["estimate"], **{k: 5 * row["estimate"][k] for k in ("value", "low", "high")}}

    def wrong(r: Any) -> None:
        change(r)
        next(c for c in r["comparisons"] if c["primary"])["per_hour"][part] += 1e-4

    first = next(i for i, c in enumerate(Record.read(copied / "record.json").comparisons) if c.primary)
    assert problems(copied, change) == set()
    assert problems(copied, wrong) == {f"comparisons[{first}].per_hour.{part}"}


def test_an_arm_of_a_further_test_set_that_the_run_does_not_have_is_named(copied: Path) -> None:
    def change(r: Any) -> None:
        r["further_tests"][0]["arms"][0]["name"] = "C99"

    assert "further_tests[0].arms[0]" in problems(copied, change)


def test_a_changed_file_of_the_judges_is_named(copied: Path) -> None:
    path = copied / "predictions" / "judges-test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["scores"] = arrays["scores"][:, ::-1]
    np.savez(path, **arrays)
    assert "strata[0].predictions.sha256" in problems(copied, lambda r: None)
