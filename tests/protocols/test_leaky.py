"""Optimism of mining the evaluation set: the estimate against known answers, and the protocol that measures it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.config import build_config
from bench.environment import environment
from bench.errors import DataError
from bench.recording import empty_record
from bench.run import execute
from bench.stats import auc, two_level_bootstrap
from protocols.leaky import AdversarialLeaky
from protocols.optimism import Contrast, mean_contrast
from tests.worlds import small_config, small_lab

N = 400
Y = np.random.default_rng(0).random(N) < 0.3
FIRST = np.arange(N) % 2 == 0
GROUPS = np.array([f"g{i}" for i in range(N)])


def scores(separation: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(separation * Y, 1.0)


def test_the_value_is_the_mean_difference_of_aucs() -> None:
    a, b = scores(2.0, 1), scores(1.0, 2)
    found = mean_contrast(Y, GROUPS, [[Contrast(FIRST, a, b), Contrast(~FIRST, b, a)]], replicates=50)
    halves = [(FIRST, a, b), (~FIRST, b, a)]
    by_hand = [auc(Y[h], u[h]) - auc(Y[h], v[h]) for h, u, v in halves]
    assert found.value == pytest.approx(np.mean(by_hand), abs=1e-12)


def test_with_all_cases_and_one_repeat_it_is_the_bootstrap_of_two_arms() -> None:
    a, b = scores(1.5, 1), scores(1.0, 2)
    found = mean_contrast(Y, GROUPS, [[Contrast(np.ones(N, dtype=bool), a, b)]], replicates=4000)
    reference = two_level_bootstrap(Y, a[None], b[None], GROUPS, replicates=4000)
    assert found.value == pytest.approx(reference.value, abs=1e-12)
    assert found.extra["se"] == pytest.approx(reference.se, rel=0.05)
    assert [found.low, found.high] == pytest.approx([reference.low, reference.high], abs=0.1 * reference.se)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """The same distribution for both models: 0 is outside of about 1 in 20 intervals (binomial, 200 of them)."""
    from scipy.stats import binomtest

    missed = 0
    for i in range(200):
        rng = np.random.default_rng([7, i])
        y = rng.random(N) < 0.3
        a, b = rng.normal(y, 1.0), rng.normal(y, 1.0)
        found = mean_contrast(y, GROUPS, [[Contrast(FIRST, a, b), Contrast(~FIRST, b, a)]], replicates=300, seed=i)
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 0 <= found.high
    assert binomtest(missed, 200, 0.05).pvalue > 0.01, missed


def test_repeats_that_differ_widen_the_interval() -> None:
    alike = [[Contrast(FIRST, scores(1.5, 1), scores(1.0, 2))]] * 4
    apart = [[Contrast(FIRST, scores(s, 1), scores(1.0, 2))] for s in (0.5, 1.0, 2.0, 2.5)]
    narrow, wide = (mean_contrast(Y, GROUPS, repeats, replicates=500).extra["se"] for repeats in (alike, apart))
    assert wide > 1.5 * narrow


def test_a_part_without_positives_is_told() -> None:
    with pytest.raises(DataError, match=f"0 positive and {(~Y).sum()} negative cases"):
        mean_contrast(Y, GROUPS, [[Contrast(~Y, scores(1, 1), scores(1, 2))]])


OPTIONS = {"hold_out": 0.5, "repeats": 2, "folds": 2, "per_case": 2, "p_true_below": 0.9}


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    lab = small_lab(tmp_path_factory.mktemp("leaky"), n=120, generator="copy")
    return lab, AdversarialLeaky(AdversarialLeaky.Config(**OPTIONS)).run(lab)


def test_the_simulated_test_set_is_of_train_and_trains_nothing_as_it_is(leaky) -> None:  # type: ignore[no-untyped-def]
    lab, outcome = leaky
    test = next(e for e in outcome.ledger if e["event"] == "simulated test set")
    assert set(test["ids"]) < set(lab.train.ids)
    group_of = dict(zip(lab.train.ids, lab.train.groups, strict=True))
    held = {group_of[i] for i in test["ids"]}
    for arm in outcome.arms.values():
        real = [i for i in arm.train.ids if not i.startswith("syn-")]
        assert not {group_of[i] for i in real} & held
        assert {group_of[i] for i in real} | held == set(lab.train.groups)


def test_only_the_leaky_arm_mines_the_simulated_test_set(leaky) -> None:  # type: ignore[no-untyped-def]
    _, outcome = leaky
    test = set(next(e for e in outcome.ledger if e["event"] == "simulated test set")["ids"])
    mined = {e["stream"]: set(e["mined_ids"]) for e in outcome.ledger if e["event"] == "mined"}
    assert set(mined) == {f"{name}/{r}/{i}" for name in ("leaky", "crossfit") for r in (1, 2) for i in (0, 1)}
    for r in (1, 2):
        a, b = mined[f"leaky/{r}/0"], mined[f"leaky/{r}/1"]
        assert a | b <= test
        assert not a & b
        assert not (mined[f"crossfit/{r}/0"] | mined[f"crossfit/{r}/1"]) & test
    counts = {e["stream"]: e["made"] for e in outcome.ledger if e["event"] == "mined"}
    for r in (1, 2):
        for i in (0, 1):
            assert counts[f"leaky/{r}/{i}"] == counts[f"crossfit/{r}/{i}"] == 2 * len(mined[f"leaky/{r}/{i}"])


def test_optimism_is_the_gain_on_the_mined_half_beyond_that_on_the_other(leaky) -> None:  # type: ignore[no-untyped-def]
    _, outcome = leaky
    for name in ("leaky", "crossfit"):
        value = {k.split(",")[0]: e.value for k, e in outcome.findings.items() if k.endswith(name)}
        gap = value["gain on the half"] - value["gain on the other half"]
        assert value["optimism"] == pytest.approx(gap, abs=1e-12)


def test_it_is_never_ranked_and_its_findings_are_recorded(tmp_path: Path) -> None:
    cpu = build_config(preset="cpu", protocol="adversarial-leaky", store=tmp_path / "s", out=tmp_path / "r")
    here = environment("cpu", "fp32", 1, ())
    assert not empty_record(cpu, "", here).ranked
    assert empty_record(build_config(preset="cpu", protocol="augmented"), "", here).ranked
    sets = ["data.options.n_train=500", "data.options.n_test=120", "replicates=100", "data.options.d_prime=1"]
    config = small_config(tmp_path, protocol="adversarial-leaky", generator="copy", sets=sets, seeds=[0, 1])
    record = execute(config).record
    assert record.status == "complete", record.failures
    assert {(f.name, f.seed) for f in record.findings} >= {("optimism, leaky", 0), ("optimism, crossfit", 1)}
    assert all(f.estimate.low <= f.estimate.value <= f.estimate.high for f in record.findings)
    assert {a.name for a in record.arms} == {"C0", "leaky", "crossfit"}
