"""Records come onto the board checked, compact and sealed; whatever is changed there afterwards is named."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.errors import DataError
from bench.record import Record
from leaderboard.add import MAX_GRID, add_records, committed
from leaderboard.cli import app
from leaderboard.load import load
from leaderboard.seal import SEAL, changed_cells, leaves, read_seal
from leaderboard.validate import validate, validate_places
from tests.leaderboard.runs import make_run

runner = CliRunner()
TRACK = "ham10000-melanoma-32px-" + hashlib.sha256(b"split").hexdigest()[:8]


@pytest.fixture
def added(run: Path, tmp_path: Path) -> Path:
    """Folder of a record on a board."""
    (one,) = add_records([run], tmp_path / "records")
    return one.folder


def spoil(run: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    record["arms"][0]["metrics"]["auc"]["value"] += 0.05
    (run / "record.json").write_text(json.dumps(record))


def with_pictures(run: Path, data: str, size: int = 2_000) -> None:
    """Give a run two figures, one of them a sample grid, of the data set ``data``."""
    (run / "figures").mkdir(exist_ok=True)
    for name in ("samples-seed0", "roc"):
        (run / "figures" / f"{name}.png").write_bytes(b"\x89PNG" + bytes(size))
    record = json.loads((run / "record.json").read_text())
    record["data"]["name"] = data
    record["files"] = {"samples, seed 0": "figures/samples-seed0.png", "ROC curves": "figures/roc.png"}
    record["checksums"] = {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in record["files"].values()
    }
    (run / "record.json").write_text(json.dumps(record))


def test_a_run_is_added_to_its_track_sealed_and_smaller(run: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    for new in (True, False):  # adding again is harmless
        (added,) = add_records([run], records)
        assert added.folder == records / TRACK / "run-a"
        assert added.new is new
    assert sorted(p.name for p in added.folder.iterdir()) == ["predictions", "record.json", SEAL]
    stored = sum(p.stat().st_size for p in (added.folder / "predictions").iterdir())
    assert stored < 0.5 * sum(p.stat().st_size for p in (run / "predictions").iterdir())
    assert validate_places([records], sealed=True) == (1, [])
    assert committed(records) == {"run-a": added.folder}


def test_folders_of_the_machine_are_not_published(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    plain = "python -m bench run --generator ldm"
    record["command"] = f"{plain} --store '/home/ada l/store' --out=/home/ada/runs --seeds 2"
    record["config"] |= {"store": "/home/ada l/store", "out": "/home/ada/runs"}
    (run / "record.json").write_text(json.dumps(record))
    (added,) = add_records([run], tmp_path / "records")
    text = (added.folder / "record.json").read_text()
    assert "/home" not in text
    assert Record.read(added.folder / "record.json").command == f"{plain} --seeds 2"
    (again,) = add_records([run], tmp_path / "records")  # the same run still, whatever its folders
    assert not again.new


def test_what_was_added_says_what_the_run_says(run: Path, added: Path) -> None:
    before, after = Record.read(run / "record.json"), Record.read(added / "record.json")
    assert [arm.metrics for arm in after.arms] == [arm.metrics for arm in before.arms]
    assert after.comparisons == before.comparisons
    for a, b in zip(before.arms, after.arms, strict=True):
        assert a.predictions is not None
        assert b.predictions is not None
        with np.load(run / a.predictions.path) as x, np.load(added / b.predictions.path) as y:
            assert all(np.array_equal(x[name], y[name]) for name in ("ids", "groups", "y", "scores"))


def test_only_grids_of_drawn_images_are_published(run: Path, tmp_path: Path) -> None:
    with_pictures(run, "phantom")
    (drawn,) = add_records([run], tmp_path / "a")
    assert Record.read(drawn.folder / "record.json").files == {"samples, seed 0": "figures/samples-seed0.png"}
    with_pictures(run, "ham10000")
    (photographs,) = add_records([run], tmp_path / "b")
    assert Record.read(photographs.folder / "record.json").files == {}
    assert not list(photographs.folder.rglob("*.png"))
    with_pictures(run, "phantom", MAX_GRID)
    (large,) = add_records([run], tmp_path / "c")
    assert not list(large.folder.rglob("*.png"))


def test_a_changed_picture_of_a_run_is_named(run: Path, tmp_path: Path) -> None:
    with_pictures(run, "phantom")
    (run / "figures" / "roc.png").write_bytes(b"another picture")
    (problem,) = validate_places([run])[1]
    assert problem.cell == "checksums.figures/roc.png"
    (run / "figures" / "roc.png").unlink()
    (problem,) = validate_places([run])[1]
    assert problem.message == "the file is missing"
    with pytest.raises(DataError, match=r"roc\.png"):
        add_records([run], tmp_path / "records")


def test_nothing_is_added_when_one_record_is_wrong(run: Path, tmp_path: Path) -> None:
    spoil(make_run(run.parent / "run-b", "ddpm", seeds=(0,)).parent)
    result = runner.invoke(app, ["add", str(run.parent), "--records", str(tmp_path / "records")])
    assert isinstance(result.exception, DataError)
    assert "run-b" in str(result.exception)
    assert "metrics.auc.value" in str(result.exception)
    assert not (tmp_path / "records").exists()


def test_other_results_are_not_overwritten(run: Path, added: Path) -> None:
    before = (added / "record.json").read_bytes()
    make_run(run, "ldm", {"C0": (2.0, 0), "A1": (2.4, 500)})
    with pytest.raises(DataError, match="already in"):
        add_records([run], added.parents[1])
    assert (added / "record.json").read_bytes() == before


@pytest.mark.parametrize("run_id", ["../outside", ".hidden", "a/b", ""])
def test_a_run_id_that_leads_elsewhere_is_refused(run: Path, tmp_path: Path, run_id: str) -> None:
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps({**record, "run_id": run_id}))
    with pytest.raises(DataError, match="run_id"):
        add_records([run], tmp_path / "records")
    assert not (tmp_path / "outside").exists()


def test_a_committed_record_without_seal_is_named(added: Path) -> None:
    (added / SEAL).unlink()
    (problem,) = validate_places([added.parents[1]], sealed=True)[1]
    assert problem.cell == SEAL
    (added / SEAL).write_text("{}")
    (problem,) = validate_places([added.parents[1]], sealed=True)[1]
    assert "not a readable seal" in problem.message


def flipped(value: Any) -> Any:
    """Another value of the same kind, as a hand would put it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.001 + 1e-6
    if isinstance(value, str):
        return value + "x" if not value else value[:-1] + ("y" if value[-1] == "x" else "x")
    return "something" if value is None else {"cell": 1} if value == {} else [1]


def replace(record: Any, path: str, value: Any) -> None:
    """Set the cell that :func:`leaves` calls ``path``."""
    for parent, where, name in containers(record, ""):
        if name == path:
            parent[where] = value
            return
    raise AssertionError(path)


def containers(value: Any, path: str) -> Any:
    """(container, key, path) of every element."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        name = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}" if path else str(key)
        yield value, key, name
        yield from containers(inner, name)


def test_every_single_cell_that_is_changed_is_named_by_the_seal(added: Path) -> None:
    entry = load([added]).entries[0]
    record, seal = json.loads(entry.path.read_text()), read_seal(entry)
    assert seal is not None
    cells = [(path, value) for name in record for path, value in leaves(record[name], name)]
    assert len(cells) > 1_000
    for path, value in cells[:: max(1, len(cells) // 400)]:
        changed = copy.deepcopy(record)
        replace(changed, path, flipped(value))
        entry.path.write_text(json.dumps(changed))
        assert any(cell.startswith(path) for cell, _ in changed_cells(entry, seal)), path


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_cell_of_a_record_fails_validation_and_is_named(added: Path, data: st.DataObject) -> None:
    path = added / "record.json"
    before = path.read_bytes()
    record = json.loads(before)
    cells = [(name, value) for top in record for name, value in leaves(record[top], top)]
    name, value = data.draw(st.sampled_from(cells))
    replace(record, name, flipped(value))
    path.write_text(json.dumps(record))
    try:
        problems = validate_places([added], sealed=True)[1]
        assert problems, name
        parts = name.replace("[", ".").replace("]", "").split(".")
        assert any(name in f"{p.cell} {p.message}" or parts[-1] in f"{p.cell} {p.message}" for p in problems), name
    finally:
        path.write_bytes(before)


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_prediction_fails_validation_and_its_row_is_named(added: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted((added / "predictions").iterdir())))
    before = file.read_bytes()
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    row, column = data.draw(st.integers(0, len(arrays["y"]) - 1)), data.draw(st.sampled_from(sorted(arrays)))
    if column == "scores":
        arrays["scores"][row] = arrays["scores"][row, ::-1] + np.float32(1e-4)
    else:
        arrays[column] = np.array([flipped(v) if i == row else v for i, v in enumerate(arrays[column].tolist())])
    np.savez_compressed(file, **arrays)
    try:
        problems = [str(p) for p in validate_places([added], sealed=True)[1]]
        assert any(f"predictions/{file.name}: has sha256" in p for p in problems)
        # two hexadecimal digits a row: one change in 256 is told by the file alone
        named = any(f"row {row} (id {arrays['ids'][row]})" in p for p in problems)
        told = any(f"predictions/{file.name}" in p and "row" not in p for p in problems)
        assert named or told
    finally:
        file.write_bytes(before)


def test_a_changed_number_is_found_even_if_the_record_is_sealed_anew(added: Path) -> None:
    from leaderboard.seal import write_seal

    spoil(added)
    write_seal(added)
    entry = load([added]).entries[0]
    assert {p.cell for p in validate(entry)} >= {"metrics.auc.value"}


def test_removed_cells_and_files_and_further_ones_are_named(added: Path) -> None:
    record = json.loads((added / "record.json").read_text())
    del record["arms"][0]["metrics"]["brier"]
    (added / "record.json").write_text(json.dumps(record))
    (added / "photograph.png").write_bytes(b"not ours")
    found = [str(p) for p in validate_places([added])[1]]
    assert any("arms[0]: lacks" in text for text in found)
    assert any("metrics.brier: follows from the predictions, but is not recorded" in text for text in found)
    assert any("photograph.png: lies beside the record, but is not sealed" in text for text in found)
    shutil.rmtree(added / "predictions")
    found = [str(p) for p in validate_places([added])[1]]
    assert sum("is sealed, but missing" in text for text in found) == 8


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        (lambda c: c.update(p=c["p"] / 2 + 1e-5), "p"),
        (lambda c: c["estimate"].update(low=c["estimate"]["low"] - 0.01), "estimate.low"),
        (lambda c: c["estimate"].update(value=c["estimate"]["value"] + 0.001), "estimate.value"),
        (lambda c: c.update(minimum_detectable_difference=0.001), "minimum_detectable_difference"),
        (lambda c: c.update(n_seeds=10), "n_seeds"),
        (lambda c: c.update(p_adjusted=1.0), "p_adjusted"),
        (lambda c: c.update(primary=False), "primary"),
    ],
)
def test_comparisons_are_recomputed_from_predictions(run: Path, change: Any, cell: str) -> None:
    record = json.loads((run / "record.json").read_text())
    change(record["comparisons"][0])
    (run / "record.json").write_text(json.dumps(record))
    assert f"comparisons[0].{cell}" in {p.cell for p in validate_places([run])[1]}


def test_shares_that_do_not_go_with_the_class_counts_are_named(run: Path) -> None:
    from leaderboard.evidence import Evidence
    from leaderboard.validate import check_prevalence

    def cells(**values: float) -> set[str]:
        record = json.loads((run / "record.json").read_text())
        metrics = record["arms"][0]["metrics"]
        for name, value in values.items():
            metrics.setdefault(f"{name}@youden", copy.deepcopy(metrics["accuracy@youden"]))["value"] = value
        place = run.parent / "changed" / "record.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(record))
        return {p.cell for p in check_prevalence(Evidence(load([place]).entries[0]))}

    assert cells() == set()
    assert cells(sensitivity=0.5, specificity=0.75, accuracy=0.7) == set()  # 30 of 60, 180 of 240
    assert cells(sensitivity=0.501, specificity=0.75, accuracy=0.7) == {"metrics.sensitivity@youden.value"}
    assert cells(sensitivity=0.5, specificity=0.75, accuracy=0.9) == {"metrics.accuracy@youden.value"}
    assert cells(sensitivity=0.5, specificity=0.75, accuracy=0.7, precision=30 / 90) == set()
    wrong = cells(sensitivity=0.5, specificity=0.75, accuracy=0.7, precision=0.6)
    assert wrong == {"metrics.precision@youden.value"}
