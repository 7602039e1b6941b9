"""A valid record passes; whatever is changed in it, in its predictions or its files is named with its cell."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboard.evidence import Problem
from leaderboard.load import load
from leaderboard.validate import validate, validate_places

Change = Callable[[dict[str, Any]], None]


def edit(run: Path, change: Change) -> None:
    """Change the record as a careless or dishonest hand would: in the JSON."""
    path = run / "record.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def problems(run: Path) -> list[Problem]:
    (entry,) = load([run]).entries
    return validate(entry)


def cells(run: Path) -> set[tuple[str, str]]:
    return {(problem.arm, problem.cell) for problem in problems(run)}


def rewrite(run: Path, arm: int, part: str, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change stored predictions and make the record's checksum fit, so that only a recomputation can tell."""

    def fit_record(record: dict[str, Any]) -> None:
        file = record["arms"][arm][part]
        path = run / file["path"]
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        change(arrays)
        np.savez(path, **arrays)
        file["sha256"], file["n"] = hashlib.sha256(path.read_bytes()).hexdigest(), len(arrays["y"])

    edit(run, fit_record)


def arm0(record: dict[str, Any]) -> dict[str, Any]:
    return record["arms"][0]


def rename(arrays: dict[str, np.ndarray], column: str, row: int, name: str) -> None:
    names = arrays[column].tolist()
    arrays[column] = np.array([*names[:row], name, *names[row + 1 :]])  # a string array would cut a longer name


ARM = "arm 'C0', seed 0"


def test_a_record_of_the_runner_has_no_problem(run: Path) -> None:
    assert problems(run) == []
    assert validate_places([run.parent]) == (1, [])


@pytest.mark.parametrize(
    "metric", ["auc", "sensitivity@youden", "specificity@sens95", "accuracy@0.5", "brier", "pauc80"]
)
@pytest.mark.parametrize("part", ["value", "low", "high"])
def test_a_changed_number_is_named(run: Path, metric: str, part: str) -> None:
    edit(run, lambda r: arm0(r)["metrics"][metric].update({part: arm0(r)["metrics"][metric][part] + 1e-6}))
    assert (ARM, f"metrics.{metric}.{part}") in cells(run)


def test_a_changed_count_of_cases_is_named(run: Path) -> None:
    edit(run, lambda r: arm0(r)["metrics"]["auc"].update(n=3000))
    assert cells(run) == {(ARM, "metrics.auc.n")}


def test_a_changed_bootstrap_seed_does_not_hide_a_bound(run: Path) -> None:
    edit(run, lambda r: arm0(r)["metrics"]["auc"]["extra"]["bootstrap"].update(seed=5))
    assert any(cell.startswith("metrics.sensitivity@") for _, cell in cells(run))


def test_bounds_drawn_with_another_numpy_may_move_a_little_but_values_may_not(run: Path) -> None:
    def other_stream(record: dict[str, Any]) -> None:
        record["environment"]["packages"]["numpy"] = "1.0"
        sensitivity = arm0(record)["metrics"]["sensitivity@0.5"]
        sensitivity["low"] += 0.05 * (sensitivity["high"] - sensitivity["low"])

    edit(run, other_stream)
    assert problems(run) == []
    edit(run, lambda r: arm0(r)["metrics"]["sensitivity@0.5"].update(value=0.7))
    assert (ARM, "metrics.sensitivity@0.5.value") in cells(run)


def test_a_metric_that_does_not_follow_from_predictions_is_refused(run: Path) -> None:
    edit(run, lambda r: arm0(r)["metrics"].update({"auc_corrected": arm0(r)["metrics"]["auc"]}))
    assert (ARM, "metrics.auc_corrected") in cells(run)


def test_changed_predictions_are_named_by_checksum_and_by_every_metric_that_moves(run: Path) -> None:
    path = run / "predictions" / "C0-seed0-test.npz"
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["scores"][:5] = arrays["scores"][:5, ::-1]
    np.savez(path, **arrays)
    found = cells(run)
    assert (ARM, "predictions.sha256") in found
    assert {(ARM, "metrics.auc.value"), (ARM, "metrics.brier.value")} <= found


def test_changed_predictions_with_a_fitting_checksum_are_still_found(run: Path) -> None:
    rewrite(run, 0, "predictions", lambda a: a["scores"].__setitem__(slice(5), a["scores"][:5, ::-1].copy()))
    found = cells(run)
    assert (ARM, "metrics.auc.value") in found
    assert (ARM, "predictions.sha256") not in found


def test_relabelled_cases_break_the_counts_of_the_split(run: Path) -> None:
    rewrite(run, 0, "predictions", lambda a: a["y"].__setitem__(0, 1))
    assert (ARM, "predictions.y") in cells(run)


def test_dropped_cases_are_found(run: Path) -> None:
    def drop(arrays: dict[str, np.ndarray]) -> None:
        arrays.update({name: array[10:] for name, array in arrays.items()})

    rewrite(run, 0, "predictions", drop)
    assert (ARM, "predictions.y") in cells(run)


def test_a_synthetic_image_in_the_test_set_is_named(run: Path) -> None:
    rewrite(run, 0, "predictions", lambda a: rename(a, "ids", 3, "syn-0123-000003"))
    (problem,) = [p for p in problems(run) if p.message.startswith("1 synthetic")]
    assert (problem.arm, problem.cell) == (ARM, "predictions.ids")
    assert "syn-0123-000003" in problem.message
    assert problem.record.endswith("record.json")


def test_a_lesion_in_test_and_in_val_thresh_is_a_leak(run: Path) -> None:
    rewrite(run, 0, "predictions", lambda a: rename(a, "groups", 0, "val_thresh-lesion-0-0"))
    assert (ARM, "predictions.groups") in cells(run)


def test_a_repeated_image_is_named(run: Path) -> None:
    rewrite(run, 0, "predictions", lambda a: a["ids"].__setitem__(1, a["ids"][0]))
    assert any("occurs 2 times" in p.message for p in problems(run))


@pytest.mark.parametrize("bad", [np.nan, -0.1, 0.9])
def test_scores_that_are_no_distribution_are_named_with_their_image(run: Path, bad: float) -> None:
    rewrite(run, 0, "predictions", lambda a: a["scores"].__setitem__(7, [bad, 0.2]))
    (problem,) = [p for p in problems(run) if "not a distribution" in p.message]
    assert "ISIC_test_00007" in problem.message


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        (lambda t: t.update(split="test"), "thresholds.youden"),
        (lambda t: t.update(split_checksum="0" * 64), "thresholds.youden"),
        (lambda t: t.update(value=t["value"] + 0.01), "thresholds.youden"),
    ],
)
def test_a_threshold_from_elsewhere_is_named(run: Path, change: Change, cell: str) -> None:
    edit(run, lambda r: change(next(t for t in arm0(r)["thresholds"] if t["rule"] == "youden")))
    assert (ARM, cell) in cells(run)


def test_thresholds_without_the_predictions_they_were_fitted_on_cannot_be_checked(run: Path) -> None:
    edit(run, lambda r: arm0(r).update(threshold_predictions=None))
    assert cells(run) == {(ARM, "threshold_predictions")}


def test_a_missing_predictions_file_is_named(run: Path) -> None:
    (run / "predictions" / "A1-seed1-test.npz").unlink()
    (problem,) = problems(run)
    assert (problem.arm, problem.cell) == ("arm 'A1', seed 1", "predictions")
    assert "is missing" in problem.message


def test_a_missing_file_of_threshold_predictions_is_missing_and_not_unrecorded(run: Path) -> None:
    (run / "predictions" / "A1-seed1-val_thresh.npz").unlink()
    (problem,) = problems(run)
    assert (problem.arm, problem.cell) == ("arm 'A1', seed 1", "threshold_predictions")
    assert "is missing" in problem.message


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_broken_predictions_file_is_named(run: Path, content: bytes) -> None:
    (run / "predictions" / "C0-seed0-test.npz").write_bytes(content)
    assert cells(run) == {(ARM, "predictions")}


def test_pickled_predictions_are_refused(run: Path) -> None:
    rewrite(run, 0, "predictions", lambda a: a.update(ids=a["ids"].astype(object)))
    assert (ARM, "predictions") in cells(run)


def test_predictions_outside_the_record_folder_are_refused(run: Path) -> None:
    (run.parent / "elsewhere.npz").write_bytes((run / "predictions" / "C0-seed0-test.npz").read_bytes())
    edit(run, lambda r: arm0(r)["predictions"].update(path="../elsewhere.npz"))
    assert any("outside the record's folder" in p.message for p in problems(run))


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        (lambda r: r.update(preset="smoke", ranked=False), "preset"),
        (lambda r: r.update(ranked=False), "ranked"),
        (lambda r: r.update(metric_versions={}), "metric_versions"),
        (lambda r: r.update(split=None), "split"),
        (lambda r: r["split"]["counts"].update(val_thresh={"nevus": 0, "melanoma": 0}), "split.counts.val_thresh"),
        (lambda r: r["data"].update(n=100), "split.counts"),
        (lambda r: r.update(seeds=[0, 1, 2]), "status"),
        (lambda r: r.update(seeds=[0]), "arms"),
        (lambda r: r["floors"]["colour floor"].update(low=0.9), "floors.colour floor"),
        (lambda r: r["floors"]["colour floor"].update(value=None), "floors.colour floor"),
        (lambda r: r["fidelity"][0]["metrics"]["kid"].update(high=None), "fidelity[0].metrics.kid"),
        (lambda r: r["comparisons"][0].update(arm="C9"), "comparisons[0]"),
        (lambda r: r["comparisons"][0].update(p=1.5), "comparisons[0]"),
        (lambda r: r["comparisons"][0].update(p=0.5, p_adjusted=0.01), "comparisons[0].p_adjusted"),
        (lambda r: r["comparisons"][0]["estimate"].update(value=0.2, high=0.4), "comparisons[0].estimate.value"),
        (lambda r: r["comparisons"][0]["estimate"].update(low=0.5, high=0.6), "comparisons[0].estimate"),
    ],
)
def test_what_contradicts_itself_is_named(run: Path, change: Change, cell: str) -> None:
    edit(run, change)
    assert ("", cell) in cells(run)


def test_an_arm_that_failed_in_a_complete_record_is_named(run: Path) -> None:
    edit(run, lambda r: arm0(r).update(error="StageError: loss is NaN"))
    assert (ARM, "error") in cells(run)


def test_an_interval_that_misses_its_own_value_is_named(run: Path) -> None:
    edit(run, lambda r: arm0(r)["metrics"]["auc"].update(low=0.999, high=1.0))
    assert (ARM, "metrics.auc") in cells(run)


def test_bounds_of_a_subgroup_are_looked_at_too(run: Path) -> None:
    def add(record: dict[str, Any]) -> None:
        arm0(record)["subgroups"] = {"auc[sex=female]": {**arm0(record)["metrics"]["auc"], "low": 0.9, "high": 0.1}}

    edit(run, add)
    assert cells(run) == {(ARM, "subgroups.auc[sex=female]")}


def test_unknown_fields_and_unreadable_records_are_problems(run: Path) -> None:
    edit(run, lambda r: r.update(accuracy_on_a_good_day=0.99))
    count, found = validate_places([run.parent])
    assert count == 1
    assert "accuracy_on_a_good_day" in str(found[0])
    (run / "record.json").write_bytes(b"\xff\xfe")
    assert len(validate_places([run.parent])[1]) == 1


def test_a_record_of_a_later_schema_is_named(run: Path) -> None:
    edit(run, lambda r: r.update(schema_version=99))
    ((count, (problem,))) = validate_places([run.parent])
    assert count == 1
    assert "schema_version: is 99" in problem.message


def test_two_records_with_one_run_id_are_named(run: Path) -> None:
    import shutil

    shutil.copytree(run, run.with_name("copy"))
    _, found = validate_places([run.parent])
    assert [p.cell for p in found] == ["run_id", "run_id"]


def test_a_fingerprint_or_checksum_that_is_none_is_named(run: Path) -> None:
    def rename_data(record: dict[str, Any]) -> None:
        record["data"]["fingerprint"], record["split"]["checksum"] = "mine", ""

    edit(run, rename_data)
    assert {("", "data.fingerprint"), ("", "split.checksum")} <= cells(run)


def test_records_of_one_split_must_agree_on_it(run: Path) -> None:
    other = Path(shutil.copytree(run, run.with_name("other")))
    edit(other, lambda record: record.update(run_id="other"))
    assert validate_places([run.parent])[1] == []
    edit(other, lambda record: record["data"].update(n=record["data"]["n"] + 1))
    edit(other, lambda record: record["split"]["groups"].update(test=1))
    found = {(p.record, p.cell) for p in validate_places([run.parent])[1]}
    named = {str(run / "record.json"), str(other / "record.json")}
    assert {cell for record, cell in found if record in named} >= {"data.n", "split.groups"}
