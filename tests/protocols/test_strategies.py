"""Guidance strategies: what each asks of a generator, what it makes, and what the ledger says of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import Threshold
from bench.errors import CapabilityError, ConfigError
from bench.record import Record
from bench.run import execute
from bench.steering import moved_latents
from protocols.adversarial import Adversarial
from protocols.arms import easiest_cases, relabelled
from protocols.difficulty import FUNCTIONS, cross_entropy, difficulty_bins, gaussian_hardness, hard_cases
from protocols.strategies.guard import as_jpeg, blurred
from tests.worlds import small_config, small_lab

SMALL = ["data.options.n_train=400", "data.options.n_test=200", "replicates=200", 'protocol.arms=["C1","C3"]']
FAST = [
    "generator.steps=6", "generator.ae_steps=6", "generator.sampling_steps=3", "generator.finetune_steps=3",
    "generator.token_steps=3", "generator.inversion_steps=3", "protocol.max_cases=12",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strategies")


def run(folder: Path, strategy: str, generator: str = "ldm", *more: str) -> Record:
    sets = [*SMALL, *(FAST if generator == "ldm" else ["protocol.max_cases=12"]), f"protocol.strategy={strategy}"]
    return execute(small_config(folder, generator=generator, sets=[*sets, "protocol.label_check=0", *more])).record


@pytest.mark.parametrize("strategy", ["vary", "rejection", "difficulty", "guided", "finetune", "token", "neighbours"])
def test_every_strategy_runs_on_a_latent_model_with_its_controls(folder: Path, strategy: str) -> None:
    record = run(folder, strategy)
    assert not record.failures
    arms = {arm.name: arm for arm in record.arms}
    from_images = strategy in ("vary", "finetune", "token", "neighbours")
    assert set(arms) == {"C0", "guided", "C1", "C0r"} | ({"C3"} if from_images else set())
    assert arms["guided"].n_synthetic > 0
    (entry,) = (e for e in record.ledger if e["event"] == "round")
    assert entry["made"] >= entry["accepted"] > 0
    assert entry["mined_from"] == "train, out of fold"
    if from_images:
        assert arms["C3"].n_synthetic == arms["guided"].n_synthetic


def test_the_full_set_of_controls(folder: Path) -> None:
    record = run(folder, "vary", "ldm", "protocol.arms=full")
    arms = {arm.name: arm for arm in record.arms}
    assert list(arms) == ["C0", "C0r", "guided", "C0b", "C1", "C2", "C3", "C4", "C6", "C7"]
    assert arms["C0b"].n_synthetic == 0
    assert arms["C0b"].key != arms["C0"].key
    extra = {name: (arm.n_real, arm.n_synthetic) for name, arm in arms.items()}
    added = arms["guided"].n_synthetic
    assert extra["C1"] == extra["C3"] == extra["C4"] == extra["C7"] == extra["guided"]
    assert extra["C2"] == extra["C6"] == (extra["C0"][0] + added, 0)
    assert len({arm.key for arm in arms.values()}) == len(arms)


def test_easiest_cases_are_of_the_class_asked_for_and_come_in_turn() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [0.7, 0.3]], dtype=np.float32)
    assert easiest_cases(labels, p, np.array([1, 0, 1, 0, 0])).tolist() == [3, 0, 2, 1, 0]


def test_other_labels_make_another_set_with_the_same_pixels() -> None:
    from bench.testkit import tiny_images

    images = tiny_images(4, 16)
    other = relabelled(images, images.labels[::-1])
    assert np.array_equal(other.pixels, images.pixels)
    assert other.key != images.key
    assert relabelled(images, images.labels[::-1]).key == other.key
    finer = relabelled(images, images.labels * 2, ("a", "b", "c", "d"))
    assert finer.num_classes == 4


def test_strategies_share_the_fits_they_have_in_common(folder: Path) -> None:
    first, second = run(folder, "vary"), run(folder, "neighbours")
    fitted = [
        {s.key for s in r.stages if s.stage in ("fit", "train") and "round" not in s.name} for r in (first, second)
    ]
    assert fitted[0] == fitted[1]


def test_a_generator_that_lacks_the_capability_is_told_of_before_anything_is_guided(folder: Path) -> None:
    with pytest.raises(CapabilityError, match="needs a generator with CanInvert, 'copy' lacks it"):
        run(folder, "neighbours", "copy")


def test_difficulty_works_with_a_generator_that_only_samples(folder: Path) -> None:
    record = run(folder, "difficulty", "pca-gaussian")
    assert not record.failures
    assert any(s.name == "fit pca-gaussian" for s in record.stages)
    assert len({s.key for s in record.stages if s.name == "fit pca-gaussian"}) == 2  # by class, and by class and bin


def test_measures_of_difficulty_on_a_case_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], dtype=np.float32)
    y = np.array([0, 0, 1])
    found = {name: measure(p, y, 1, 0.5) for name, measure in FUNCTIONS.items()}
    assert found["loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8]), rel=1e-6)
    assert found["margin"] == pytest.approx([-0.8, 0.2, -0.6], abs=1e-6)
    assert found["entropy"][1] == pytest.approx(-(0.4 * np.log(0.4) + 0.6 * np.log(0.6)), rel=1e-6)
    assert found["misclassified"].tolist() == [0, 1, 0]
    assert found["edge"] == pytest.approx([-0.4, -0.1, -0.3], abs=1e-6)


def test_gaussian_hardness_is_the_log_likelihood_ratio_of_two_gaussians() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 4000)
    x = rng.normal(size=(8000, 3)) + y[:, None] * np.array([2.0, 0, 0])
    expected = np.where(y == 0, 2 * x[:, 0] - 2, 2 - 2 * x[:, 0])  # of unit Gaussians at 0 and 2
    assert np.abs(gaussian_hardness(x, y) - expected).max() < 0.5
    assert np.corrcoef(gaussian_hardness(x, y), expected)[0, 1] > 0.999
    shifted = gaussian_hardness(x + 100, y)
    assert shifted == pytest.approx(gaussian_hardness(x, y), abs=1e-6)


def test_bins_hold_equally_many_and_the_hardest_are_apart() -> None:
    rng = np.random.default_rng(0)
    difficulty, y = rng.random(200), np.arange(200) % 2
    bins = difficulty_bins(difficulty, y, 4, 0.1, difficulty)
    for k in (0, 1):
        counts = np.bincount(bins[y == k], minlength=5)
        assert counts[4] == 10
        assert counts[:4].max() - counts[:4].min() <= 1
        edges = [difficulty[(y == k) & (bins == b)] for b in range(5)]
        assert all(a.max() <= b.min() for a, b in pairwise(edges))


def test_what_is_left_out_of_the_bins_has_the_highest_loss_whatever_measures_difficulty() -> None:
    """By entropy a sure mistake is easy: it is label noise all the same. Equally hard cases go by their loss."""
    rng = np.random.default_rng(1)
    p_true = rng.random(100)
    p, y = np.stack([p_true, 1 - p_true], 1).astype(np.float32), np.zeros(100, dtype=np.int64)
    loss = cross_entropy(p, y)
    by_entropy = difficulty_bins(FUNCTIONS["entropy"](p, y, 1, 0.5), y, 4, 0.1, loss)
    assert set(np.flatnonzero(by_entropy == 4)) == set(np.argsort(-loss)[:10])
    assert np.abs(p_true[by_entropy == 3] - 0.5).max() < np.abs(p_true[by_entropy == 0] - 0.5).min()
    wrong = FUNCTIONS["misclassified"](p, y, 1, 0.5)
    by_error = difficulty_bins(wrong, y, 4, 0.1, loss)
    assert wrong[by_error == 3].all()
    assert all(loss[by_error == b].max() <= loss[by_error == b + 1].min() for b in range(4))


@pytest.mark.parametrize("options", ["", 'protocol.strategy_options={"measure": "gaussian"}'])
def test_difficulty_asks_for_the_second_hardest_bin(
    folder: Path, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.lab import Lab

    asked, fitted = [], []
    sample, fit = Lab.sample, Lab.fit_generator
    monkeypatch.setattr(
        Lab, "sample", lambda lab, g, y, **k: asked.append((y, k.get("codes"))) or sample(lab, g, y, **k)
    )
    monkeypatch.setattr(Lab, "fit_generator", lambda lab, train, **k: fitted.append(train) or fit(lab, train, **k))
    run(folder, "difficulty", "pca-gaussian", *([options] if options else []))
    (labels, codes), *rest = [(y, codes) for y, codes in asked if codes is not None]
    assert not rest
    assert np.array_equal(codes, labels * 5 + 2)
    finer = fitted[-1]
    assert finer.num_classes == 10
    assert finer.class_names[2].endswith("difficulty 2")
    counts = finer.counts().reshape(2, 5)
    assert (np.ptp(counts[:, :4], axis=1) <= 1).all()


def test_a_mining_split_is_mined_by_what_never_saw_it_and_is_an_arm_as_plain_data(folder: Path) -> None:
    record = run(folder, "vary", "ldm", "protocol.mining=split", "protocol.mining_share=0.3", "protocol.arms=standard")
    assert not record.failures
    arms = {arm.name: arm for arm in record.arms}
    (apart,) = (e for e in record.ledger if e["event"] == "mining split")
    rounds = [e for e in record.ledger if e["event"] == "round"]
    train = record.split.counts["train"]
    assert 0.2 * sum(train.values()) < len(apart["ids"]) < 0.4 * sum(train.values())
    assert all(set(e["mined_ids"]) <= set(apart["ids"]) and e["mined_from"] == "mining split" for e in rounds)
    rest = sum(train.values()) - len(apart["ids"])
    real = {name: arm.n_real for name, arm in arms.items()}
    assert real["C0"] == real["guided"] == real["C1"] == real["C3"] == rest
    assert real["C5"] == sum(train.values())
    assert ("guided", "C5") in {(c.arm, c.versus) for c in record.comparisons if c.primary}
    assert not any(s.name.startswith("predict out of fold") for s in record.stages)


def test_what_cannot_work_is_said_before_anything_is_fitted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.lab import Lab

    monkeypatch.setattr(Lab, "fit_generator", lambda *_, **__: pytest.fail("a generator was fitted"))
    with pytest.raises(ConfigError, match=r"set protocol\.mining to crossfit"):
        run(folder, "difficulty", "pca-gaussian", "protocol.mining=split")
    with pytest.raises(ConfigError, match="no-such-strategy"):
        run(folder, "no-such-strategy", "pca-gaussian")


@pytest.mark.parametrize(
    ("generator", "chosen"), [("ldm", "vary"), ("stylegan2_ada", "neighbours"), ("dcgan", "rejection")]
)
def test_auto_takes_the_strategy_closest_to_single_cases(folder: Path, generator: str, chosen: str) -> None:
    protocol = Adversarial(Adversarial.Config())
    lab = small_lab(folder, generator=generator)
    assert protocol._strategy(lab)[0] == chosen


def test_hard_cases_leave_out_the_highest_loss() -> None:
    from bench.testkit import tiny_images

    images = tiny_images(20, 16)
    p = np.random.default_rng(0).dirichlet([1, 1], len(images)).astype(np.float32)
    rows = hard_cases(images, p, 1, Threshold("youden", 0.5, "val_thresh", ""), drop_highest=0.1)
    loss = cross_entropy(p, images.labels)
    assert np.all(np.diff(loss[rows]) <= 0)
    assert loss[rows].max() < np.sort(loss)[-4:].min() + 1e-12


def test_the_guard_takes_away_what_only_pixels_carry() -> None:
    """Noise of single pixels does not survive a blur; a broad spot survives blur and JPEG."""
    rng = np.random.default_rng(0)
    flat = np.full((2, 32, 32, 3), 128, dtype=np.uint8)
    noisy = (flat + rng.integers(-8, 9, flat.shape)).astype(np.uint8)
    assert blurred(noisy).std() < 0.4 * noisy.std()
    spot = flat.copy()
    spot[:, 8:24, 8:24] = 60
    for alter in (blurred, as_jpeg):
        assert abs(alter(spot)[:, 14:18, 14:18].mean() - 60) < 3
        assert alter(spot).dtype == np.uint8


def test_latents_move_by_the_stated_share_and_keep_their_length() -> None:
    z = np.random.default_rng(0).normal(size=(50, 4, 8, 8)).astype(np.float32)
    lengths = np.linalg.norm(z.reshape(50, -1), axis=1)
    for step in (0.1, 1.0, 2.0):
        moved = moved_latents(z, step, seed=3)
        assert np.linalg.norm(moved.reshape(50, -1), axis=1) == pytest.approx(lengths, rel=1e-5)
        assert np.linalg.norm((moved - z).reshape(50, -1), axis=1) / lengths == pytest.approx(step, rel=1e-5)
    moved = moved_latents(z, 0.1, seed=3)
    assert np.array_equal(moved[:10], moved_latents(z[:10], 0.1, seed=3))
