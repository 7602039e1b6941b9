"""Predictions made elsewhere are scored by the same code, or refused with the row that is wrong."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.config import RunConfig, build_config
from bench.contracts import Images, PredictionEvidence
from bench.errors import ConfigError, DataError, LeakError
from bench.metrics import measure_predictions
from bench.workbench import Workbench
from bench.world import World, prepare_world
from leaderboard.add import add_records
from leaderboard.cli import app
from leaderboard.load import load
from leaderboard.submit import MARK, NO_THRESHOLDS, Submission, submit
from leaderboard.validate import validate, validate_places

SETS = ("data.resolution=16", 'data.options={"n_train": 600, "n_test": 240}', "replicates=200")
Row = dict[str, str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def config(store: Path, tmp_path: Path) -> RunConfig:
    return build_config(preset="cpu", sets=SETS, store=store, out=tmp_path / "runs")


@pytest.fixture(scope="module")
def world(store: Path) -> World:
    return prepare_world(Workbench(build_config(preset="cpu", sets=SETS, store=store)))


def rows_of(images: Images, seed: int = 0) -> list[Row]:
    """What a colour classifier would say, in no particular order: darker is more likely a melanoma, with noise."""
    rng = np.random.default_rng(seed)
    darkness = 128 - np.asarray(images.pixels, dtype=np.float64).mean((1, 2, 3))
    p = 1 / (1 + np.exp(-darkness / 30 + rng.normal(size=len(images))))
    other, melanoma = images.class_names
    rows = [{"id": str(i), other: f"{1 - q:.6f}", melanoma: f"{q:.6f}"} for i, q in zip(images.ids, p, strict=True)]
    return [rows[k] for k in rng.permutation(len(rows))]


def write(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def tables(world: World, tmp_path: Path) -> dict[str, Path]:
    return {name: write(tmp_path / f"{name}.csv", rows_of(world.parts[name])) for name in ("test", "val_thresh")}


def test_a_submission_becomes_a_valid_record_with_the_metrics_of_its_predictions(
    world: World, config: RunConfig, tables: dict[str, Path]
) -> None:
    scored = submit(Submission("dark spots", [tables["test"]], [tables["val_thresh"]]), config)
    (entry,) = load([scored.folder]).entries
    assert validate(entry) == []
    record = entry.record
    assert (record.origin, record.verdict, record.status) == ("external", MARK, "complete")
    assert record.arms[0].description == MARK
    by_id = {row["id"]: float(row["melanoma"]) for row in rows_of(world.test)}
    p = np.array([by_id[str(i)] for i in world.test.ids])
    scores = np.stack([1 - p, p], axis=1).astype(np.float32)
    evidence = PredictionEvidence(
        world.test.labels, scores, world.test.ids, world.test.groups, world.task.class_names, 1, {}
    )
    expected = measure_predictions(evidence, 0, config.replicates)["auc"]
    assert record.arms[0].metrics["auc"].value == pytest.approx(expected.value, abs=1e-12)
    assert record.arms[0].metrics["auc"].low == pytest.approx(expected.low, abs=1e-12)
    assert record.split is not None
    assert {t.split_checksum for t in record.arms[0].thresholds} == {world.splits.checksum}
    assert "sensitivity@youden" in record.arms[0].metrics


def test_without_val_thresh_there_is_no_metric_at_a_threshold_and_the_record_says_so(
    config: RunConfig, tables: dict[str, Path]
) -> None:
    scored = submit(Submission("dark spots", [tables["test"]]), config)
    (arm,) = scored.record.arms
    assert not [name for name in arm.metrics if "@" in name and "@test-" not in name]
    assert (arm.thresholds, arm.threshold_predictions) == ([], None)
    assert NO_THRESHOLDS in arm.notes
    assert validate_places([scored.folder]) == (1, [])


def test_several_files_are_several_seeds_and_go_onto_the_board(world: World, config: RunConfig, tmp_path: Path) -> None:
    files = [write(tmp_path / f"seed{s}.csv", rows_of(world.test, s)) for s in range(3)]
    fitted = [write(tmp_path / f"val{s}.csv", rows_of(world.parts["val_thresh"], s)) for s in range(3)]
    scored = submit(Submission("dark spots", files, fitted, description="no training"), config)
    assert [arm.seed for arm in scored.record.arms] == [0, 1, 2]
    assert len({arm.metrics["auc"].value for arm in scored.record.arms}) == 3
    (added,) = add_records([scored.folder], tmp_path / "records")
    assert added.folder.parent.name.startswith("phantom-melanoma-16px-")
    assert validate_places([tmp_path / "records"], sealed=True) == (1, [])


def test_the_command_writes_the_record_and_how_to_repeat_it(
    store: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    options = [part for text in SETS for part in ("--set", text)]
    words = ["submit", str(tables["test"]), "--name", "dark", "--val-thresh", str(tables["val_thresh"]), *options]
    done = CliRunner().invoke(app, [*words, "--store", str(store), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    record = json.loads((Path(done.stdout.strip()) / "record.json").read_text())
    again = shlex.split(record["command"])
    assert again[:5] == ["python", "-m", "bench", "leaderboard", "submit"]
    assert str(tables["val_thresh"]) in again
    assert "AUC 0." in done.stderr


def change(row: Row, **cells: str) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [{**r, **cells} if r["id"] == row["id"] else r for r in rows]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows[5:], "5 of 240 images of test have no row: phantom"),
        (lambda rows: [*rows, rows[3]], "lines 5 and 242: id"),
        (lambda rows: [*rows, {**rows[0], "id": "phantom0-test-p9"}], "is no image of test"),
        (lambda rows: [{**rows[0], "id": ""}, *rows[1:]], "line 2: the id is empty"),
        (lambda rows: [{**rows[0], "melanoma": "nan"}, *rows[1:]], "melanoma is nan, a probability lies in 0..1"),
        (lambda rows: [{**rows[0], "melanoma": "1.2"}, *rows[1:]], "a probability lies in 0..1"),
        (lambda rows: [{**rows[0], "melanoma": ""}, *rows[1:]], "melanoma is '', not a probability"),
        (lambda rows: [{**rows[0], "melanoma": "0.6", "benign": "0.6"}, *rows[1:]], "sum to 1.2, not to 1"),
        (
            lambda rows: [{k: v for k, v in r.items() if k != "melanoma"} for r in rows],
            "no column for class 'melanoma'",
        ),
        (lambda rows: [{"mel" if k == "melanoma" else k: v for k, v in r.items()} for r in rows], "is 'mel' meant?"),
        (lambda rows: [{**r, "nevus": "0"} for r in rows], "column 'nevus' is no class"),
        (lambda rows: [{**r, "y": "melanoma"} for r in rows], "the image is 'benign': these are other labels"),
    ],
)
def test_a_table_that_does_not_fit_the_test_images_is_refused_by_row(
    world: World, config: RunConfig, tmp_path: Path, spoil: Callable[[list[Row]], list[Row]], words: str
) -> None:
    path = write(tmp_path / "bad.csv", spoil(rows_of(world.test)))
    with pytest.raises(DataError, match=re.escape(words)) as raised:
        submit(Submission("bad", [path]), config)
    assert str(path) in str(raised.value)
    assert not config.out.exists()


@pytest.mark.parametrize("form", ["names", "numbers"])
def test_right_labels_may_be_given(world: World, config: RunConfig, tmp_path: Path, form: str) -> None:
    names = world.task.class_names
    label = {str(i): int(y) for i, y in zip(world.test.ids, world.test.labels, strict=True)}
    told = {i: names[y] if form == "names" else str(y) for i, y in label.items()}
    path = write(tmp_path / "t.csv", [{**r, "y": told[r["id"]]} for r in rows_of(world.test)])
    assert submit(Submission("labelled", [path]), config).record.status == "complete"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"predictions": []}, "at least one CSV"),
        ({"thresholds": [Path("a"), Path("b")]}, "1 files of test predictions, 2 of val_thresh"),
        ({"name": "--"}, "give the entry a name"),
        ({"samples": Path("x")}, "--samples needs --generator"),
    ],
)
def test_an_incomplete_submission_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        replace(Submission("a", [Path("t.csv")]), **fields)


def save(folder: Path, images: Images) -> Path:
    for pixels, label, name in zip(np.asarray(images.pixels), images.labels, images.ids, strict=True):
        place = folder / images.class_names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{name}.png")
    return folder


def test_submitted_samples_are_measured_like_those_of_a_generator(
    world: World, store: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    config = build_config(
        preset="cpu", sets=[*SETS, "domain.steps=20"], store=store, out=tmp_path / "runs", precision="fp32"
    )
    drawn = world.dataset.draw(world.reference.labels, seed=5)  # type: ignore[attr-defined]
    folder = save(tmp_path / "samples", drawn)
    handed = Submission("drawn", [tables["test"]], generator="phantom itself", n_synthetic=60, samples=folder)
    scored = submit(handed, config)
    (fidelity,) = scored.record.fidelity
    assert (fidelity.name, fidelity.n_synthetic) == ("phantom itself", len(world.reference))
    assert fidelity.extractor.startswith("domain:small_cnn")
    assert {"kid", "fid", "copy_rate"} <= set(fidelity.metrics)
    assert validate_places([scored.folder]) == (1, [])
    copies = save(tmp_path / "copies", world.reference)
    with pytest.raises(LeakError, match="copies of held-out real images"):
        submit(replace(handed, samples=copies), config)
