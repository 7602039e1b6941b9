"""What a run says of the generator itself and of subgroups, from a run of small drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data.base import Prepared
from bench.record import Record
from bench.run import execute
from bench.subgroups import judge_subgroups, subgroup_columns
from bench.testkit import tiny_images
from tests.bench.metrics.test_perceptual import drawn_backbone
from tests.worlds import small_config, small_lab

SMALL = ["data.options.n_train=400", "data.options.n_test=300", "replicates=200", "data.resolution=32"]
FAST = ["generator.steps=4", "generator.ae_steps=4", "generator.sampling_steps=3", "paths=20"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn backbones of LPIPS where fetched ones would lie."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("weights")
    for net in ("alex", "vgg"):
        (folder / f"lpips-{net}").mkdir()
        arrays = {k: np.ascontiguousarray(v) for k, v in drawn_backbone(net).items()}
        save_file(arrays, folder / f"lpips-{net}" / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def run(folder: Path, generator: str, *sets: str) -> Record:
    config = small_config(folder, protocol="synthetic-only", generator=generator, sets=[*SMALL, *sets])
    return execute(config).record


def test_a_latent_model_is_asked_for_path_membership_diversity_and_failures(folder, weights, monkeypatch):
    monkeypatch.setenv("BENCH_WEIGHTS", str(weights))
    row = run(folder, "ldm", *FAST).fidelity[0]
    for name in ("ppl_zend", "membership_auc", "membership_tpr01", "lpips_diversity", "checkerboard", "duplicate_rate"):
        found = row.metrics[name]
        assert found.value is not None or "need" in (found.reason or ""), (name, found.reason)
    path, diversity = row.metrics["ppl_zend"], row.metrics["lpips_diversity"]
    assert path.n == 20
    assert path.value > 0
    assert path.extra["distance"].startswith("lpips-vgg-0.1:")
    assert diversity.extra["distance"].startswith("lpips-alex-0.1:")
    assert row.metrics["lpips_diversity[melanoma]"].n < diversity.n
    assert row.floor["lpips_diversity"].value > 0
    assert 0 <= row.metrics["membership_auc"].value <= 1


def test_without_weights_it_is_said_how_to_get_them_and_they_are_measured_once_they_are_there(
    folder, weights, tmp_path, monkeypatch
):
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    found = run(folder, "collapse").fidelity[0].metrics["lpips_diversity"]
    assert found.value is None
    assert "bench weights fetch lpips-alex" in found.reason
    monkeypatch.setenv("BENCH_WEIGHTS", str(weights))
    metrics = run(folder, "collapse").fidelity[0].metrics
    assert metrics["lpips_diversity"].value == pytest.approx(0, abs=1e-6)
    assert metrics["lpips_diversity"].value < run(folder, "noise").fidelity[0].metrics["lpips_diversity"].value
    assert "ppl_zend" not in metrics
    assert "membership_auc" not in metrics


def test_subgroups_of_the_phantom_are_its_artifacts(folder, weights, monkeypatch):
    monkeypatch.setenv("BENCH_WEIGHTS", str(weights))
    record = run(folder, "collapse")
    for arm in record.arms:
        hair = [arm.subgroups[f"auc[hair={part}]"] for part in ("yes", "no")]
        assert sum(e.n for e in hair) == arm.metrics["auc"].n
        assert {name.partition("[")[0] for name in arm.subgroups} == {
            "auc", *(f"{m}@{rule}" for m in ("sensitivity", "specificity") for rule in ("youden", "sens95"))
        }  # fmt: skip


def test_unknown_ages_are_a_subgroup_and_no_obstacle(tmp_path):
    """Ages are numbers and some are not known: NaN must neither stop the stage nor make a group of its own."""
    lab = small_lab(tmp_path)
    test = lab.val_select
    ages = np.where(np.arange(len(test)) % 3 == 0, np.nan, 60.0)
    classifier = lab.fit_classifier(lab.train, title="C0")
    found = judge_subgroups(lab, classifier, test, {"age": ages})
    assert {name.partition("[")[2] for name in found} == {"age=50-70]", "age=unknown]"}
    assert judge_subgroups(lab, classifier, test, {"age": ages}) == found


def test_columns_follow_the_images_and_say_nothing_where_nothing_is_known():
    images = tiny_images(4, 16)
    table = {
        "sex": np.array(["female", "male"] * 4), "site": np.full(8, ""), "age": np.arange(8.0),
        "artifact_ruler": np.array([0, 1, -1, 0, 1, -1, 0, 1]), "ink": np.zeros(8, dtype=np.int64),
        "dx_type": np.array(["histo", "follow"] * 4),
    }  # fmt: skip
    prepared = Prepared(Path("."), images, table, {})
    columns = subgroup_columns(prepared, images.take([7, 2, 1]))
    assert set(columns) == {"sex", "age", "ruler"}
    assert columns["sex"].tolist() == ["male", "female", "male"]
    assert columns["age"].tolist() == [7, 2, 1]
    assert columns["ruler"].tolist() == ["yes", "", "yes"]
