"""What controls and strategies cost, by planned work: the arms of a guided run share what they can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import estimates
from bench.config import build_config
from bench.plan import Plan, PlannedStage, plan

# Few images, of which p_true_below makes as many hard cases as the preset takes at most: what a full data set has.
SETS = ("data.options.n_train=1600", "data.options.n_test=200", "protocol.p_true_below=0.95")
ROUNDS, FOLDS, CASES = 2, 3, 800  # of the preset cpu
Planner = Callable[..., Plan]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cost")


@pytest.fixture
def planned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    """Plans on a processor of a fixed speed, from stated operations alone: nothing was made before."""
    monkeypatch.setattr(estimates, "matmul_flops_per_second", lambda: 1e10)

    def planned(generator: str, *sets: str) -> Plan:
        made = plan(
            build_config(
                preset="cpu", protocol="adversarial", generator=generator, device="cpu", precision="fp32",
                store=folder / "store", out=folder / "runs", sets=[*SETS, *sets],
            )
        )  # fmt: skip
        assert made.notes == []
        return made

    return planned


def seconds(stages: list[PlannedStage]) -> float:
    return sum(stage.cost.seconds or 0.0 for stage in stages)


@pytest.mark.parametrize("generator", ["ldm", "ddpm"])
@pytest.mark.parametrize("strategy", ["vary", "rejection"])
def test_the_standard_arms_cost_little_beside_the_guided_one(
    generator: str, strategy: str, planned: Planner, folder: Path
) -> None:
    of = f"protocol.strategy={strategy}"
    alone, standard = planned(generator, of, "protocol.arms=[]"), planned(generator, of, "protocol.arms=standard")
    keys = {s.key for s in standard.stages}
    assert {s.key for s in alone.to_do if s.stage in ("fit", "train", "sample", "vary")} <= keys, "all of it is shared"
    assert sum(s.stage == "fit" for s in standard.stages) == 1
    made = [s for s in alone.stages if s.stage == "vary"]
    assert [s.title.split()[4] for s in made] == [str(CASES)] * ROUNDS * (strategy == "vary")
    controls = {name for s in standard.stages if s.stage == "train" for name in ("C1", "C2", "C3", "C6")
                if f" {name} " in s.title}  # fmt: skip
    assert controls == {"C1", "C2", "C6"} | ({"C3"} if strategy == "vary" else set())
    ratio = seconds(standard.to_do) / seconds(alone.to_do)
    assert 1.1 < ratio <= 2.2


@pytest.mark.parametrize("generator", ["ldm", "ddpm"])
def test_a_second_strategy_adds_its_own_sampling_and_retraining_alone(generator: str, planned: Planner) -> None:
    first, second = planned(generator, "protocol.strategy=vary"), planned(generator, "protocol.strategy=rejection")
    known = {s.key for s in first.stages}
    added = [s for s in second.to_do if s.key not in known]
    kinds = {s.stage for s in added}
    assert {"sample", "train"} <= kinds <= {"sample", "train", "predict", "held-out", "features", "measure", "compare"}
    trained = [s.title for s in added if s.stage == "train"]
    retrained = [title for title in trained if any(f"round {r} " in title for r in (1, 2))]
    folds = [title for title in trained if " fold " in title]
    assert sorted(retrained + folds) == sorted(trained), "neither C0 nor the label check nor the extractor"
    assert len(folds) == FOLDS * (ROUNDS - 1), "those of the first round saw no synthetic image"
    assert not any("fidelity" in s.title for s in added), "the generator was measured already"
    (fit,) = (s for s in second.stages if s.stage == "fit")
    assert fit.cost.seconds
    assert seconds(added) <= seconds(second.to_do) - fit.cost.seconds
