"""What an arm costs beyond C0, stage by stage, and what its gain is worth by the hour."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench.cost import Extra, extra_costs, with_rates
from bench.lab import Lab, Outcome
from bench.record import ComparisonRecord, EstimateRecord
from protocols.adversarial import Adversarial
from tests.worlds import small_lab

OPTIONS: dict[str, Any] = {
    "strategy": "rejection", "rounds": 2, "folds": 2, "label_check": 0.4, "max_cases": 12, "arms": ("C1", "C2", "C6")
}  # fmt: skip


def run(lab: Lab, **options: Any) -> Outcome:
    return Adversarial(Adversarial.Config(**{**OPTIONS, **options})).run(lab)


def another_seed(lab: Lab, seed: int) -> Lab:
    """The same laboratory for another seed of the same run."""
    lab.bench.seed = seed
    other = copy.copy(lab)
    other.seed, other.ledger, other.lineage = seed, [], []
    return other


def stages_of(lab: Lab, outcome: Outcome) -> dict[str, list[str]]:
    """Arm -> names of the stages whose time it is charged, found by giving stage i the time 2^i."""
    plain = list(lab.bench.stages)
    lab.bench.stages[:] = [row.model_copy(update={"seconds": 2.0**i}) for i, row in enumerate(plain)]
    costs = extra_costs(lab.bench, outcome)
    lab.bench.stages[:] = plain
    found = {
        arm: [row.name for i, row in enumerate(plain) if int(cost.seconds) >> i & 1] for arm, cost in costs.items()
    }
    assert {arm: len(names) for arm, names in found.items()} == {arm: cost.stages for arm, cost in costs.items()}
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cost")


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[Lab, Outcome, dict[str, list[str]]]:
    """A run, and what each arm is charged."""
    lab = small_lab(folder, n=60, generator="copy-noise", sets=["classifier.steps=3"])
    outcome = run(lab)
    return lab, outcome, stages_of(lab, outcome)


def trained(arm: str, rounds: int) -> list[str]:
    words = {"C1": "random synthetic", "C2": "repeated hard real", "C6": "held-out real"}
    return [f"train small_cnn: round {rounds} {arm} {words[arm]}"]


def chosen(outcome: Outcome, arm: str) -> int:
    """The round that ``arm`` reports."""
    return next(int(e["round"]) for e in outcome.ledger if e.get("event") == "chosen round" and e["arm"] == arm)


def test_mining_and_rejected_images_are_charged_to_the_guided_arm_alone(
    done: tuple[Lab, Outcome, dict[str, list[str]]],
) -> None:
    lab, outcome, found = done
    ledger = [e for e in outcome.ledger if e["event"] == "round"]
    assert sum(e["made"] - e["accepted"] for e in ledger) > 0, "images were rejected"
    guided, others = found["guided"], {arm: names for arm, names in found.items() if arm != "guided"}
    every = [row.name for row in lab.bench.stages]
    mining = [name for name in every if " fold " in name or "out of fold" in name]
    candidates = [name for name in every if name.startswith("sample") and "(round" in name]
    assert len(mining) == 2 * OPTIONS["rounds"] * OPTIONS["folds"]
    assert mining == [name for name in guided if name in mining]
    assert len(candidates) == OPTIONS["rounds"]
    assert set(candidates) < set(guided), "all that was made, of which a part was accepted"
    for needed in ("fit copy-noise", "train small_cnn: independent label check", "predict label check"):
        assert needed in guided
    assert [n for n in guided if "guided" in n and n.startswith("train")] == [
        f"train small_cnn: round {r} guided" for r in range(1, OPTIONS["rounds"] + 1)
    ], "a round that is not reported was work too"
    assert not any("children" in name for name in guided), "what the ledger tells of single images costs no arm"
    for arm, names in others.items():
        assert not set(names) & {*mining, *candidates, "train small_cnn: independent label check"}, arm


def test_a_control_is_charged_what_it_was_made_with_and_c0_nothing(
    done: tuple[Lab, Outcome, dict[str, list[str]]],
) -> None:
    _, outcome, found = done
    assert found["C0"] == []
    for arm in ("C2", "C6"):
        assert found[arm] == trained(arm, chosen(outcome, arm)), "real images cost no stage"
    rounds = chosen(outcome, "C1")
    samples = [name for name in found["C1"] if name.startswith("sample")]
    assert [name.split()[-1] for name in samples] == [f"(C1/{r})" for r in range(1, rounds + 1)]
    assert sorted(found["C1"]) == sorted(["fit copy-noise", *samples, *trained("C1", rounds)])


def test_without_c0_there_is_nothing_to_be_beyond(done: tuple[Lab, Outcome, dict[str, list[str]]]) -> None:
    lab, outcome, _ = done
    without = copy.copy(outcome)
    without.arms = {name: arm for name, arm in outcome.arms.items() if name != "C0"}
    assert extra_costs(lab.bench, without) == {}


def test_stages_found_in_the_store_count_with_the_time_they_once_took(
    done: tuple[Lab, Outcome, dict[str, list[str]]], folder: Path
) -> None:
    first, outcome, _ = done
    again = small_lab(folder, n=60, generator="copy-noise", sets=["classifier.steps=3"])
    costs = extra_costs(again.bench, run(again))
    assert {row.status for row in first.bench.stages} == {"executed"}
    assert {row.status for row in again.bench.stages} == {"cached"}
    assert costs == extra_costs(first.bench, outcome)
    assert all(extra.seconds > 0 for arm, extra in costs.items() if arm != "C0")


def test_a_seed_is_not_charged_the_work_of_another(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, n=60, generator="copy-noise", sets=["classifier.steps=3"])
    run(lab, rounds=1, arms=("C1",))
    outcome = run(another_seed(lab, 1), rounds=1, arms=("C1",))
    plain = list(lab.bench.stages)
    lab.bench.stages[:] = [row.model_copy(update={"seconds": float(row.seed == 0)}) for row in plain]
    costs = extra_costs(lab.bench, outcome)
    assert {extra.seconds for extra in costs.values()} == {0.0}, "no stage of seed 0"
    assert costs["guided"].stages > costs["C1"].stages > 0


# ---- by the hour --------------------------------------------------------------------------------------------------


def row(value: float | None = 0.02, *, arm: str = "guided", primary: bool = True) -> ComparisonRecord:
    limits = {} if value is None else {"low": value - 0.01, "high": value + 0.03}
    reason = "one class only" if value is None else None
    estimate = EstimateRecord(value=value, n=800, reason=reason, method="two-level bootstrap", **limits)
    return ComparisonRecord(endpoint="auc", arm=arm, versus="C1", estimate=estimate, primary=primary)


def extra(seconds: float, *devices: str) -> dict[str, Extra]:
    return {"guided": Extra(seconds, 9, frozenset(devices or ("cpu",)))}


def test_the_rate_is_the_difference_by_the_mean_hours_of_the_seeds() -> None:
    (found,) = with_rates([row()], [extra(900), extra(2700), {}], "AMD EPYC")
    assert found.extra_seconds == pytest.approx(1800)
    assert found.per_hour is not None
    rate = (found.per_hour.value, found.per_hour.low, found.per_hour.high)
    assert rate == pytest.approx((0.04, 0.02, 0.10))
    assert found.per_hour.unit == "AUC per hour of AMD EPYC"
    assert (found.per_hour.n, found.per_hour.direction) == (800, "higher")
    assert found.estimate == row().estimate


@pytest.mark.parametrize(
    "costs", [[extra(10, "cpu", "cuda:0")], [extra(10, "cpu"), extra(10, "cuda:0")]], ids=["in a seed", "over seeds"]
)
def test_hours_of_different_devices_are_not_added_up(costs: list[dict[str, Extra]]) -> None:
    (found,) = with_rates([row()], costs, "NVIDIA H100")
    assert found.per_hour is not None
    assert found.per_hour.value is None
    assert found.per_hour.reason == "its stages ran on cpu and cuda:0, whose hours do not add up"


def test_no_rate_without_compute_or_without_a_difference() -> None:
    (free,), (undefined,) = (with_rates([of], [extra(s)], "CPU") for of, s in ((row(), 0.0), (row(None), 60.0)))
    assert free.per_hour is not None
    assert undefined.per_hour is not None
    assert (free.per_hour.value, free.per_hour.reason) == (None, "it took no compute beyond C0")
    assert (undefined.per_hour.value, undefined.per_hour.reason) == (None, "one class only")


def test_only_primary_comparisons_of_arms_with_a_cost_have_a_rate() -> None:
    rows = [row(primary=False), row(arm="other")]
    assert with_rates(rows, [extra(60)], "CPU") == rows
    assert all(found.per_hour is None for found in with_rates(rows, [extra(60)], "CPU"))


def test_the_devices_are_those_on_which_the_stages_of_an_arm_were_made(
    done: tuple[Lab, Outcome, dict[str, list[str]]],
) -> None:
    """A store that two machines share: C1 was trained on the other one."""
    lab, outcome, _ = done
    described = outcome.arms["C1"].classifier.stored.folder / "stage.json"
    before = described.read_text()
    described.write_text(json.dumps({**json.loads(before), "device": "cuda:0"}))
    costs = extra_costs(lab.bench, outcome)
    described.write_text(before)
    assert costs["C1"].devices == {"cpu", "cuda:0"}
    assert costs["guided"].devices == costs["C2"].devices == extra_costs(lab.bench, outcome)["C1"].devices == {"cpu"}
    (found,) = with_rates([row(arm="C1")], [costs], "CPU")
    assert found.per_hour is not None
    assert found.per_hour.value is None
