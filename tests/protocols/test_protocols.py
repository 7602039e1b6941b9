"""Each protocol on a small world with real classifiers and control generators."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.errors import CapabilityError, ConfigError
from bench.lab import Outcome
from protocols.adversarial import Adversarial
from protocols.augmented import Augmented
from protocols.mixed import Mixed
from protocols.real_only import RealOnly
from protocols.resampling import halves, nested_share, oversample
from protocols.synthetic_only import SyntheticOnly
from tests.worlds import discs, small_lab


def added(outcome: Outcome, arm: str, n_train: int = 80) -> Counter[int]:
    return Counter(outcome.arms[arm].train.labels[n_train:].tolist())


def test_real_only_has_one_arm_on_train(tmp_path: Path) -> None:
    lab = small_lab(tmp_path)
    outcome = RealOnly(RealOnly.Config()).run(lab)
    assert list(outcome.arms) == ["C0"]
    assert outcome.arms["C0"].train.key == lab.train.key
    assert outcome.generator is None


def test_shares_of_the_real_images_are_nested_and_tear_no_group(tmp_path: Path) -> None:
    lab = small_lab(tmp_path)
    outcome = RealOnly(RealOnly.Config(fractions=(0.2, 0.5))).run(lab)
    assert list(outcome.arms) == ["C0", "R0.2", "R0.5"]
    small, half = (outcome.arms[name].train for name in ("R0.2", "R0.5"))
    assert set(small.ids) < set(half.ids) < set(lab.train.ids)
    left_out = lab.train.take(~np.isin(lab.train.ids, half.ids))
    assert not set(half.groups) & set(left_out.groups)
    assert [e["images"] for e in outcome.ledger] == [len(small), len(half)]
    assert outcome.primary == [("R0.2", "C0"), ("R0.5", "C0")]


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.95])
def test_a_share_keeps_the_class_shares_whatever_the_order_of_rows(fraction: float) -> None:
    images = discs(200, 5)
    part = nested_share(images, fraction, seed=3)
    assert part.counts() == pytest.approx(fraction * images.counts(), abs=2 * 2)  # two images a group, one group more
    assert part.counts().min() > 0
    order = np.random.default_rng(0).permutation(len(images))
    assert set(nested_share(images.take(order), fraction, seed=3).ids) == set(part.ids)
    assert set(nested_share(images, fraction, seed=4).ids) != set(part.ids)


def test_halves_share_no_group_and_are_equal() -> None:
    images = discs(200, 5)
    a, b = halves(images, 0)
    assert not set(a.groups) & set(b.groups)
    assert len(a) + len(b) == 200
    assert a.counts() == pytest.approx(b.counts(), abs=4)


def test_mixed_has_the_class_counts_of_train_and_its_real_part_alone_beside_it(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="noise")
    outcome = Mixed(Mixed.Config()).run(lab)
    assert list(outcome.arms) == ["C0", "R0.4", "M0.4"]
    mixed, alone = outcome.arms["M0.4"].train, outcome.arms["R0.4"].train
    assert mixed.counts().tolist() == lab.train.counts().tolist()
    real = [i for i in map(str, mixed.ids) if not i.startswith("syn-")]
    assert real == list(map(str, alone.ids))
    assert len(real) == pytest.approx(0.4 * len(lab.train), abs=4)
    assert outcome.primary == [("M0.4", "R0.4"), ("M0.4", "C0")]
    share = RealOnly(RealOnly.Config(fractions=(0.4,))).run(small_lab(tmp_path)).arms["R0.4"]
    assert share.classifier.key == outcome.arms["R0.4"].classifier.key, "the learning curve uses the same stage"


def test_synthetic_only_trains_on_no_real_image(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="pca-gaussian")
    outcome = SyntheticOnly(SyntheticOnly.Config(size=0.5)).run(lab)
    tstr = outcome.arms["S0"].train
    assert all(i.startswith("syn-") for i in tstr.ids)
    assert tstr.counts().tolist() == [24, 16]
    assert outcome.primary == [("S0", "C0")]


def test_larger_synthetic_sets_hold_the_smaller_ones(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="pca-gaussian")
    outcome = SyntheticOnly(SyntheticOnly.Config(sizes=(0.5, 2.0))).run(lab)
    assert list(outcome.arms) == ["C0", "S0", "S0.5", "S2"]
    half, one, two = (outcome.arms[name].train for name in ("S0.5", "S0", "S2"))
    assert [len(half), len(one), len(two)] == [40, 80, 160]
    assert set(half.ids) < set(one.ids) < set(two.ids)
    assert [s.stage for s in lab.bench.stages].count("sample") == 1


def test_the_smallest_ratio_that_is_not_told_from_the_best_is_written_down(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="copy")
    options = {"ratios": (0.5, 1.0), "balance": False, "classical": False}
    outcome = Augmented(Augmented.Config(**options)).run(lab)
    assert [s.stage for s in lab.bench.stages].count("sample") == 1, "one pool serves all ratios"
    small, large = (outcome.arms[name].train for name in ("A0.5", "A1"))
    assert set(small.ids) < set(large.ids)
    entry = next(e for e in outcome.ledger if e["event"] == "saturation")
    aucs, told = entry["auc"], entry["minimum_detectable_difference"]
    assert aucs == {"0": aucs["0"], "0.5": aucs["0.5"], "1": aucs["1"]}
    assert aucs[f"{entry['best']:g}"] == max(aucs.values())
    assert aucs["0"] == lab.selection_score(outcome.arms["C0"].classifier)
    within = [float(a) for a in aucs if max(aucs.values()) - aucs[a] <= told[a]]
    assert entry["saturated_at"] == min(within)


def test_augmented_gives_every_arm_an_oversampling_control_of_equal_counts(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="noise")
    outcome = Augmented(Augmented.Config(ratios=(0.25,), balance=True, positives=7)).run(lab)
    assert list(outcome.arms) == ["C0", "C0b", "A0.25", "A0.25-real", "Abal", "Abal-real", "A+7", "A+7-real"]
    for name in ("A0.25", "Abal", "A+7"):
        assert added(outcome, name) == added(outcome, f"{name}-real")
    assert added(outcome, "Abal") == {1: 16}
    assert added(outcome, "A+7") == {1: 7}
    repeats = outcome.arms["Abal-real"].train
    assert set(map(str, repeats.ids)) <= set(map(str, lab.train.ids))


def test_oversampling_keeps_labels_and_leaves_out_absent_classes(tmp_path: Path) -> None:
    train = small_lab(tmp_path).train
    benign = train.take(train.labels == 0)
    assert oversample(train, np.array([1, 0, 1]), 0).labels.tolist() == [1, 0, 1]
    assert oversample(benign, np.array([1, 0, 1]), 0).labels.tolist() == [0]


@pytest.fixture
def guided(tmp_path: Path):  # type: ignore[no-untyped-def]
    lab = small_lab(tmp_path, generator="copy")
    options = {"strategy": "rejection", "rounds": 2, "folds": 2, "label_check": 0.0}
    return lab, Adversarial(Adversarial.Config(**options)).run(lab)


def test_adversarial_controls_get_the_same_number_of_the_same_classes(guided) -> None:  # type: ignore[no-untyped-def]
    lab, outcome = guided
    assert list(outcome.arms) == ["C0", "guided", "C1", "C2", "C6"]
    rounds = [e for e in outcome.ledger if e["event"] == "round"]
    per_round = np.cumsum([e["accepted_per_class"] for e in rounds], axis=0)
    chosen = {e["arm"]: e["round"] for e in outcome.ledger if e["event"] == "chosen round"}
    for arm in ("guided", "C1", "C2", "C6"):
        assert [added(outcome, arm)[k] for k in (0, 1)] == per_round[chosen[arm] - 1].tolist()
    assert set(map(str, outcome.arms["C2"].train.ids)) <= set(map(str, lab.train.ids))
    assert not set(map(str, outcome.arms["C6"].train.ids[80:])) & set(map(str, lab.train.ids))


def test_the_ledger_says_what_was_mined_made_and_chosen(guided) -> None:  # type: ignore[no-untyped-def]
    lab, outcome = guided
    rounds = [e for e in outcome.ledger if e["event"] == "round"]
    assert [e["round"] for e in rounds] == [1, 2]
    train_ids = set(map(str, lab.train.ids))
    for entry in rounds:
        assert set(entry["mined_ids"]) <= train_ids
        assert len(entry["mined_ids"]) == entry["mined"] > 0
        assert entry["made"] == entry["accepted"] + sum(entry["rejected"].values())
        assert 0 <= entry["val_select_auc"] <= 1
    chosen = next(e for e in outcome.ledger if e["event"] == "chosen round" and e["arm"] == "guided")
    assert chosen["round"] == int(np.argmax([e["val_select_auc"] for e in rounds])) + 1


def test_arms_share_initial_weights_and_steps(guided) -> None:  # type: ignore[no-untyped-def]
    lab, outcome = guided
    fits = {s.key: lab.bench.store.find("train", s.key).meta for s in lab.bench.stages if s.stage == "train"}
    metas = [fits[arm.classifier.key] for arm in outcome.arms.values()]
    assert len({m["seed"] for m in metas}) == 1
    assert len({m["config"]["steps"] for m in metas}) == 1


def test_variations_need_a_generator_that_can(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="noise")
    with pytest.raises(CapabilityError, match="needs a generator with CanVary, 'noise' lacks it"):
        Adversarial(Adversarial.Config(strategy="vary", folds=2)).run(lab)


def test_variations_of_random_cases_stand_beside_variations_of_hard_ones(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="ddpm")
    options = {"rounds": 1, "folds": 2, "label_check": 0.0, "arms": ("C1", "C3"), "max_cases": 12}
    outcome = Adversarial(Adversarial.Config(**options)).run(lab)
    assert list(outcome.arms) == ["C0", "guided", "C1", "C3"]
    children = outcome.arms["guided"].train.take(np.arange(80, 92))
    assert children.parents is not None
    entry = outcome.ledger[0]
    assert set(map(str, children.parents)) <= set(entry["mined_ids"])
    assert added(outcome, "guided") == added(outcome, "C3")
    assert outcome.primary == [("guided", "C1"), ("guided", "C3")]


def test_an_unknown_strategy_is_named(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="noise")
    with pytest.raises(ConfigError, match=r"no strategy called 'rejektion'\. Did you mean 'rejection'"):
        Adversarial(Adversarial.Config(strategy="rejektion", folds=2)).run(lab)
