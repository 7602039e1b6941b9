"""A plan is true: its keys are those that a run then makes, and nothing heavy is imported to find them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import registry
from bench.config import RunConfig
from bench.errors import ConfigError
from bench.estimates import Estimator, matmul_flops_per_second, stated_cost
from bench.plan import Plan, plan
from bench.planning import Planned
from bench.run import RunResult, execute
from bench.store import Store
from tests.bench.cli.command import ROOT
from tests.worlds import small_config

WANT_FILES = {"diffusers_pipeline", "folder"}  # generators whose options name files
SMALL = ["data.options.n_train=400", "data.options.n_test=200", "replicates=200"]


def config(folder: Path, *sets: str, **options: object) -> RunConfig:
    return small_config(folder, sets=[*SMALL, *sets], **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan")


@pytest.fixture(scope="module")
def before(folder: Path) -> Plan:
    return plan(config(folder, protocol="synthetic-only", generator="copy"))


@pytest.fixture(scope="module")
def done(folder: Path, before: Plan) -> RunResult:
    return execute(config(folder, protocol="synthetic-only", generator="copy"))


def test_the_plan_names_the_stages_that_the_run_makes(before: Plan, done: RunResult) -> None:
    assert {s.key for s in before.stages} == {s.key for s in done.record.stages}
    assert {s.key for s in before.to_do} == {s.key for s in done.record.stages if s.status == "executed"}
    assert before.notes == []
    assert before.run_id == done.record.run_id


def test_after_the_run_everything_is_cached(folder: Path, done: RunResult) -> None:
    after = plan(config(folder, protocol="synthetic-only", generator="copy"))
    assert after.to_do == []
    assert after.seconds == 0.0


def test_another_seed_reuses_data_and_extractor_and_is_estimated_from_the_first(folder: Path, done: RunResult) -> None:
    more = plan(config(folder, protocol="synthetic-only", generator="copy", seeds=[0, 1]))
    fits = [s for s in more.to_do if s.stage == "train"]
    assert [s.title.split(" · ")[0] for s in fits] == ["seed 1"] * len(fits)
    assert fits
    past = [s.seconds for s in done.record.stages if s.stage == "train"]
    for stage in fits:
        assert stage.cost.basis.startswith("measured")
        assert stage.cost.seconds is not None
        assert min(past) <= stage.cost.seconds <= max(past)


def test_the_whole_adversarial_protocol_is_walked_without_results(folder: Path, done: RunResult) -> None:
    made = plan(config(folder, protocol="adversarial", generator="ldm"))
    titles = " ".join(s.title for s in made.stages)
    assert made.notes == []
    for word in ("fit ldm", "fold 1 of 2", "round 1 guided", "C1 ", "C2 ", "C3 ", "C6 ", "fidelity", "compare"):
        assert word in titles
    fit = next(s for s in made.stages if s.title.endswith("fit ldm"))
    assert not fit.cached
    assert fit.cost.seconds is not None
    assert fit.cost.seconds > 0
    assert fit.cost.memory_mb
    assert "operations" in fit.cost.basis
    assert not (Store(config(folder).store).folder("fit", fit.key)).exists(), "a plan makes nothing"


@pytest.mark.parametrize("generator", sorted(set(registry.names("generator")) - WANT_FILES))
def test_a_plan_makes_nothing(generator: str, folder: Path, done: RunResult) -> None:
    asked = config(folder, protocol="synthetic-only", generator=generator)
    stored = sorted(Path(asked.store).rglob("stage.json"))
    made = plan(asked)
    assert any(s.stage == "fit" for s in made.stages)
    assert sorted(Path(asked.store).rglob("stage.json")) == stored


def test_a_wrong_option_is_told_before_data_are_prepared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bogus"):
        plan(config(tmp_path, "protocol.bogus=3", protocol="adversarial", generator="copy"))
    assert not any(tmp_path.rglob("stage.json"))


@pytest.mark.parametrize(("strategy", "said"), [("nonsense", "no strategy called"), ("vary", "needs a generator with")])
def test_a_strategy_that_cannot_work_ends_the_plan_as_it_ends_the_run(
    strategy: str, said: str, folder: Path, done: RunResult
) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(config(folder, f"protocol.strategy={strategy}", protocol="adversarial", generator="pca-gaussian"))


def test_no_torch(folder: Path, done: RunResult) -> None:
    sets = [f"--set={s}" for s in SMALL]
    options = ["--preset", "smoke", "--store", str(folder / "store"), "--generator", "ldm", "--json", *sets]
    probe = (
        "import sys; from bench.cli import app\n"
        f"try: app({['plan', *options]!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["total"]["to_do"] > 20
    assert found["total"]["stages"] == len(found["stages"])


def test_time_per_image_scales_with_images_and_area(tmp_path: Path) -> None:
    store = Store(tmp_path)
    describe = {"plugin": "m:G@1", "config": {"a": 1}, "device": "cpu", "precision": "fp32", "resolution": 32}
    stored = store.once("sample", "ab" * 32, lambda out, scratch: {"n": 100}, name="sample 100", **describe)
    rate = stored.meta["seconds"] / 100

    def planned(config: dict[str, int]) -> Planned:
        meta = {"stage": "sample", "name": "sample 50", "plugin": "m:G@1", "config": config}
        return Planned("sample", "sample 50", "k", False, meta, config, 50)

    same = Estimator(tmp_path, "cpu", "fp32", 32).cost(planned({"a": 1}))
    larger = Estimator(tmp_path, "cpu", "fp32", 64).cost(planned({"a": 1}))
    assert same.seconds == pytest.approx(50 * rate)
    assert larger.seconds == pytest.approx(4 * 50 * rate)
    assert "scaled" in larger.basis
    assert Estimator(tmp_path, "cpu", "fp32", 32).cost(planned({"a": 2})).basis == "not known"
    assert Estimator(tmp_path, "cuda", "fp32", 32).cost(planned({"a": 1})).basis == "not known"


def test_memory_and_disk_are_told_where_the_speed_is_not_known(tmp_path: Path) -> None:
    """On a GPU that has fitted nothing yet: there is no matrix product to time without torch."""
    from generators.ddpm import DDPM

    options = {"channels": (64, 128)}
    meta = {"plugin": "generators.ddpm:DDPM@4", "name": "fit ddpm", "config": options}
    fit = Planned("fit", "fit ddpm", "k", False, {**meta, "stage": "fit"}, options, 100)
    drawn = Planned("sample", "sample 500", "k", False, {**meta, "stage": "sample"}, options, 500)
    unknown, known = (Estimator(tmp_path, device, "fp32", 64) for device in ("cuda", "cpu"))
    stated = DDPM(DDPM.Config(**options)).cost(100, 64)
    of_fit = unknown.cost(fit)
    assert of_fit.seconds is None
    assert of_fit.basis == f"{stated.flops:.1e} operations, speed unknown"
    assert of_fit.memory_mb == known.cost(fit).memory_mb == 900 + stated.memory_mb
    assert of_fit.disk_mb == known.cost(fit).disk_mb == stated.disk_mb
    of_drawn = unknown.cost(drawn)
    assert of_drawn.seconds is None
    assert of_drawn.disk_mb == known.cost(drawn).disk_mb == pytest.approx(500 * 64 * 64 * 3 / 2**20)
    assert of_drawn.basis.endswith("operations, speed unknown")


def test_a_fit_without_a_step_tells_no_time_of_drawing(tmp_path: Path) -> None:
    """Networks taken as they are: kimg 0 of a checkpoint, whose cost is asked of its sizes; or of one that is gone."""
    from bench.trees import save_tree

    shape = {"resolution": 16, "z_dim": 8, "c_dim": 2, "w_dim": 8, "mapping_layers": 2, "channel_base": 128,
             "channel_max": 8, "conv_clamp": None, "mbstd_group": 4}  # fmt: skip
    save_tree(tmp_path / "given", {"shape": shape})
    for place in ("given", "gone"):
        options = {"kimg": 0, "init_from": str(tmp_path / place)}
        meta = {"plugin": "generators.stylegan2_ada:StyleGAN2ADA@2", "name": "sample 9", "config": options}
        drawn = Planned("sample", "sample 9", "k", False, {**meta, "stage": "sample"}, options, 9)
        assert Estimator(tmp_path, "cpu", "fp32", 16).cost(drawn).basis == "not known"


def test_stated_cost_of_gone_plugins_is_unknown() -> None:
    assert stated_cost("no_such_module:X@1", {}, 10, 32) is None
    assert stated_cost("generators.ldm:LatentDiffusion@1", {"no_such_option": 1}, 10, 32) is None
    found = stated_cost("generators.ldm:LatentDiffusion@1", {}, 10, 32)
    assert found is not None
    assert found.flops > 1e12


def test_speed_probe() -> None:
    assert 1e9 < matmul_flops_per_second(rounds=3) < 1e14
