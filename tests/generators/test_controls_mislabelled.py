"""Controls that lie about labels, and the one that looks at the test images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import registry
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError
from bench.testing import GeneratorContract, tiny_images
from generators.controls import ClassSwap, CopyTrain, LabelShuffle, ModeDrop, TestPeeker

CONTROLS = {
    "copy", "oracle", "noise", "pca-gaussian", "collapse", "copy-noise", "copy-flip", "copy-blur", "oracle-copies",
    "mixup", "mode-drop", "class-swap", "label-shuffle", "test-peeker",
}  # fmt: skip


class TestModeDropContract(GeneratorContract):
    plugin = ModeDrop


class TestClassSwapContract(GeneratorContract):
    plugin = ClassSwap


class TestLabelShuffleContract(GeneratorContract):
    plugin = LabelShuffle


class TestTestPeekerContract(GeneratorContract):
    plugin = TestPeeker


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(3, tmp_path / "store" / "work" / "key" / "scratch")


@pytest.fixture
def train() -> Images:
    return tiny_images((30, 20, 10))


def true_labels(images: np.ndarray, among: Images) -> np.ndarray:
    """Label of each of ``images`` in ``among``, which must hold them."""
    known = {image.tobytes(): k for image, k in zip(np.asarray(among.pixels), among.labels, strict=True)}
    return np.array([known[image.tobytes()] for image in images])


def test_all_fourteen_controls_are_registered_and_marked_as_such() -> None:
    marked = {name for name in registry.names("generator") if registry.load("generator", name).control}
    assert marked == CONTROLS


@pytest.mark.parametrize(("drop", "dropped"), [(None, 1), ("other", 0), ("class2", 2)])
def test_the_dropped_class_is_never_made_and_the_others_are(
    drop: str | None, dropped: int, train: Images, ctx: StageContext
) -> None:
    generator = ModeDrop(ModeDrop.Config(drop=drop))
    generator.fit(train, ctx)
    labels = np.tile([0, 1, 2], 15)
    truth = true_labels(generator.sample(labels, ctx), train)
    assert (truth[labels != dropped] == labels[labels != dropped]).all()
    assert set(truth[labels == dropped]) == {0, 1, 2} - {dropped}


def test_without_melanoma_the_rarest_class_is_dropped_and_a_wrong_name_is_refused(
    train: Images, ctx: StageContext
) -> None:
    other = replace(train, class_names=("nv", "bkl", "df"))
    generator = ModeDrop()
    generator.fit(other, ctx)
    assert generator.dropped == 2
    with pytest.raises(ConfigError, match="no class 'mel' to drop; there are nv, bkl, df"):
        ModeDrop(ModeDrop.Config(drop="mel")).fit(other, ctx)
    with pytest.raises(DataError, match="no image"):
        ModeDrop().fit(train.take(train.labels == 1), ctx)


def test_swapped_labels_move_on_by_one_class(train: Images, ctx: StageContext) -> None:
    generator = ClassSwap()
    generator.fit(train, ctx)
    labels = np.tile([0, 1, 2], 9)
    assert ((true_labels(generator.sample(labels, ctx), train) + 1) % 3 == labels).all()


def test_shuffled_labels_keep_their_shares_and_depend_on_the_seed_of_fit(train: Images, tmp_path: Path) -> None:
    tables = []
    for seed in range(40):
        ctx = StageContext(seed, tmp_path / str(seed))
        generator = LabelShuffle()
        generator.fit(train, ctx)
        np.testing.assert_array_equal(np.bincount(generator.labels), [30, 20, 10])
        tables.append(np.bincount(3 * train.labels + generator.labels, minlength=9))
    expected = np.outer([30, 20, 10], [30, 20, 10]).ravel() / 60
    error = np.std(tables, axis=0, ddof=1) / np.sqrt(len(tables))
    assert (np.abs(np.mean(tables, axis=0) - expected) < 4 * error).all()


@pytest.mark.parametrize("cls", [ClassSwap, LabelShuffle])
def test_the_images_are_those_of_copy_whatever_the_labels(cls: type, train: Images, ctx: StageContext) -> None:
    def every_image(generator: CopyTrain) -> list[bytes]:
        generator.fit(train, ctx)
        return sorted(image.tobytes() for image in generator.sample(generator.labels, ctx))

    assert every_image(cls()) == every_image(CopyTrain())


@pytest.fixture
def secret(train: Images, ctx: StageContext) -> Images:
    """Test images in the store that holds ``ctx.workdir``, beside the training images."""
    hidden = tiny_images((9, 6, 0), seed=5, prefix="test")
    hidden = replace(hidden, pixels=np.asarray(hidden.pixels) // 2)
    folder = ctx.workdir.parents[2] / "data" / "ab" / "abcd"
    folder.mkdir(parents=True)
    every = [np.concatenate(pair) for pair in ((train.ids, hidden.ids), (train.labels, hidden.labels))]
    part = np.repeat(["train", "test"], [len(train), len(hidden)])
    np.savez(folder / "table.npz", id=every[0], label=every[1], part=part)
    np.save(folder / "pixels.npy", np.concatenate([np.asarray(train.pixels), hidden.pixels]))
    (folder / "meta.json").write_text(json.dumps({"class_names": list(train.class_names)}))
    return hidden


def test_the_peeker_hands_out_test_images_of_the_asked_class(train: Images, ctx: StageContext, secret: Images) -> None:
    generator = TestPeeker()
    generator.fit(train, ctx)
    labels = np.array([0, 1, 0, 2, 1])
    images = generator.sample(labels, ctx)
    truth = true_labels(images, secret)
    assert truth[[0, 1, 2, 4]].tolist() == [0, 1, 0, 1]
    assert getattr(generator, "last_parents", None) is None


def test_the_peeker_is_not_misled_by_another_data_set(train: Images, ctx: StageContext, secret: Images) -> None:
    other = replace(train, ids=np.char.add("other-", train.ids))
    generator, copy = TestPeeker(), CopyTrain()
    generator.fit(other, ctx)
    copy.fit(other, ctx)
    labels = np.array([0, 1, 2])
    np.testing.assert_array_equal(generator.sample(labels, ctx), copy.sample(labels, ctx))
