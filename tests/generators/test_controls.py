"""Controls give exactly what they promise: known images, known moments, known failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.capabilities import CanVary, NeedsHeldOut
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import DataError, StageError
from bench.testing import tiny_images
from generators.controls import Collapse, CopyTrain, Oracle, PCAGaussian, UniformNoise
from generators.controls.statistical import principal_components


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(3, tmp_path / "work")


@pytest.fixture
def train() -> Images:
    return tiny_images((9, 5))


def row_of(image: np.ndarray, among: Images) -> int:
    """Position of ``image`` in ``among``; fails unless it is there exactly once."""
    found = np.flatnonzero((np.asarray(among.pixels) == image).all((1, 2, 3)))
    assert len(found) == 1
    return int(found[0])


def test_copies_are_training_images_of_the_label_and_parents_name_them(train: Images, ctx: StageContext) -> None:
    generator = CopyTrain()
    generator.fit(train, ctx)
    labels = np.array([1, 0, 0, 1, 0])
    images = generator.sample(labels, ctx)
    rows = [row_of(image, train) for image in images]
    assert train.labels[rows].tolist() == labels.tolist()
    assert generator.last_parents.tolist() == train.ids[rows].tolist()


@pytest.mark.parametrize("asked", [5, 8, 14])
def test_no_copy_repeats_before_its_class_is_used_up(train: Images, ctx: StageContext, asked: int) -> None:
    generator = CopyTrain()
    generator.fit(train, ctx)
    generator.sample(np.ones(asked, dtype=np.int64), ctx)
    _, uses = np.unique(generator.last_parents, return_counts=True)
    assert len(uses) == 5
    assert uses.max() - uses.min() <= 1


def test_a_short_call_is_the_beginning_of_a_long_one(train: Images, ctx: StageContext) -> None:
    labels = np.array([0, 1, 1, 0, 1, 1, 1, 1, 0])
    for cls in (CopyTrain, PCAGaussian, UniformNoise, Collapse):
        generator = cls()
        generator.fit(train, ctx)
        np.testing.assert_array_equal(generator.sample(labels[:4], ctx), generator.sample(labels, ctx)[:4])


def test_copy_keeps_its_pixels_on_disk_after_load(train: Images, ctx: StageContext, tmp_path: Path) -> None:
    generator = CopyTrain()
    generator.fit(train, ctx)
    (tmp_path / "saved").mkdir()
    generator.save(tmp_path / "saved")
    loaded = CopyTrain.load(tmp_path / "saved", CopyTrain.Config())
    assert isinstance(loaded._pixels, np.memmap)
    labels = np.array([0, 1, 1])
    np.testing.assert_array_equal(loaded.sample(labels, ctx), generator.sample(labels, ctx))


def test_oracle_gives_held_out_images_and_no_training_image(train: Images, ctx: StageContext) -> None:
    held_out = tiny_images((6, 4), seed=1, prefix="held")
    oracle = Oracle()
    assert isinstance(oracle, NeedsHeldOut)
    assert not isinstance(oracle, CanVary)
    oracle.fit_held_out(train, held_out, ctx)
    labels = np.array([1, 0, 0, 1])
    rows = [row_of(image, held_out) for image in oracle.sample(labels, ctx)]
    assert held_out.labels[rows].tolist() == labels.tolist()
    assert getattr(oracle, "last_parents", None) is None, "held-out ids must not pass for training parents"


def test_oracle_refuses_train_alone_and_shared_images(train: Images, ctx: StageContext) -> None:
    with pytest.raises(StageError, match="needs held-out"):
        Oracle().fit(train, ctx)
    with pytest.raises(StageError, match="2 held-out images are also in train, the first is tiny-0003"):
        Oracle().fit_held_out(train, train.take([3, 7]), ctx)


def test_oracle_says_how_often_it_repeats_itself(train: Images, ctx: StageContext) -> None:
    oracle = Oracle()
    oracle.fit_held_out(train, tiny_images((6, 4), seed=1, prefix="held"), ctx)
    oracle.sample(np.ones(11, dtype=np.int64), ctx)
    assert ctx.history[-1]["repeats"] == 7


def test_collapse_is_one_training_image_and_depends_on_the_seed_of_fit(train: Images, tmp_path: Path) -> None:
    chosen = set()
    for seed in range(8):
        ctx = StageContext(seed, tmp_path / str(seed))
        generator = Collapse()
        generator.fit(train, ctx)
        images = generator.sample(np.array([0, 1, 0, 1]), ctx)
        assert len(np.unique(images, axis=0)) == 1
        chosen.add(row_of(images[0], train))
    assert len(chosen) > 2


def test_collapse_per_class_is_one_image_of_each_class(train: Images, ctx: StageContext) -> None:
    generator = Collapse(Collapse.Config(per_class=True))
    generator.fit(train, ctx)
    labels = np.array([0, 1, 0, 1, 1])
    images = generator.sample(labels, ctx)
    assert len(np.unique(images, axis=0)) == 2
    assert train.labels[[row_of(image, train) for image in images]].tolist() == labels.tolist()


def test_noise_is_uniform_over_all_values(train: Images, ctx: StageContext) -> None:
    generator = UniformNoise()
    generator.fit(train, ctx)
    images = generator.sample(np.zeros(400, dtype=np.int64), ctx)
    counts = np.bincount(images.ravel(), minlength=256)
    expected = images.size / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 255 + 5 * np.sqrt(2 * 255)
    assert len(np.unique(images, axis=0)) == 400


def test_principal_components_equal_the_exact_ones() -> None:
    rng = np.random.default_rng(0)
    scales = 10 * 0.7 ** np.arange(40)
    x = (rng.standard_normal((200, 40)) * scales) @ np.linalg.qr(rng.standard_normal((40, 40)))[0]
    x = (x - x.mean(0)).astype(np.float32)
    found = principal_components(x, 6, rng).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(x.T.astype(np.float64)))
    exact = (vectors[:, -6:] * values[-6:]) @ vectors[:, -6:].T
    np.testing.assert_allclose(found.T @ found, exact, atol=1e-4 * values[-1])


def test_pca_gaussian_matches_the_moments_of_each_class(ctx: StageContext) -> None:
    train = tiny_images((300, 200), size=8)
    generator = PCAGaussian()
    generator.fit(train, ctx)
    labels = np.repeat([0, 1], 2000)
    drawn = generator.sample(labels, ctx).reshape(len(labels), -1).astype(float)
    for k in (0, 1):
        real = np.asarray(train.pixels)[train.labels == k].reshape(-1, 192).astype(float)
        made = drawn[labels == k]
        error = 4 * real.std(0) / np.sqrt(2000) + 1.5  # 4 standard errors, and what rounding and clipping may add
        assert (np.abs(made.mean(0) - real.mean(0)) < error).all()
        assert np.trace(np.cov(made.T)) == pytest.approx(np.trace(np.cov(real.T)), rel=0.1)


def test_pca_gaussian_of_a_single_image_is_that_image(ctx: StageContext) -> None:
    train = tiny_images((6, 1))
    generator = PCAGaussian()
    generator.fit(train, ctx)
    np.testing.assert_array_equal(generator.sample(np.array([1]), ctx)[0], train.pixels[6])


@pytest.mark.parametrize("cls", [CopyTrain, PCAGaussian])
def test_a_class_without_training_images_is_refused_by_name(cls: type, ctx: StageContext) -> None:
    generator = cls()
    generator.fit(tiny_images((6, 0)), ctx)
    assert len(generator.sample(np.zeros(3, dtype=np.int64), ctx)) == 3
    with pytest.raises(DataError, match=r"no (training )?image of 'melanoma'"):
        generator.sample(np.array([0, 1]), ctx)


@pytest.mark.parametrize("cls", [CopyTrain, Collapse, PCAGaussian, UniformNoise])
def test_a_label_that_is_no_class_is_refused_with_its_row(cls: type, train: Images, ctx: StageContext) -> None:
    generator = cls()
    generator.fit(train, ctx)
    for wrong in (2, -1):
        with pytest.raises(DataError, match=rf"label {wrong} \(row 1\) is no class: use 0..1"):
            generator.sample(np.array([0, wrong]), ctx)


@pytest.mark.parametrize("cls", [CopyTrain, Oracle, Collapse, PCAGaussian, UniformNoise])
def test_sampling_before_fit_says_so(cls: type, ctx: StageContext) -> None:
    with pytest.raises(StageError, match="was not fitted"):
        cls().sample(np.array([0]), ctx)


@pytest.mark.parametrize("cls", [CopyTrain, Collapse, PCAGaussian])
def test_no_training_image_is_refused(cls: type, ctx: StageContext) -> None:
    with pytest.raises(DataError, match="no"):
        cls().fit(tiny_images((0, 0)), ctx)


def test_controls_are_marked_as_such() -> None:
    assert all(cls.control for cls in (CopyTrain, Oracle, Collapse, PCAGaussian, UniformNoise))
