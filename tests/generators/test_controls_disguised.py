"""Disguised and mixed controls: every image is what the docstring says, made from the parent that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.capabilities import NeedsHeldOut
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import DataError, StageError
from bench.testing import GeneratorContract, tiny_images
from generators.controls import BlurredCopy, CopyTrain, Mixup, NoisyCopy, OracleCopies, TurnedCopy
from generators.controls.altered import shifted, turned


class TestNoisyCopyContract(GeneratorContract):
    plugin = NoisyCopy


class TestTurnedCopyContract(GeneratorContract):
    plugin = TurnedCopy


class TestBlurredCopyContract(GeneratorContract):
    plugin = BlurredCopy


class TestMixupContract(GeneratorContract):
    plugin = Mixup


class TestOracleCopiesContract(GeneratorContract):
    plugin = OracleCopies
    options = {"share": 0.4}


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(3, tmp_path / "work")


@pytest.fixture
def train() -> Images:
    return tiny_images((40, 30))


LABELS = np.tile([0, 1, 1, 0], 15)


def sampled(generator: CopyTrain | Mixup, train: Images, ctx: StageContext) -> tuple[np.ndarray, np.ndarray]:
    """Images of LABELS and their parents, both float [M, H, W, 3]; checks that parents are of the asked class."""
    generator.fit(train, ctx)
    images = generator.sample(LABELS, ctx)
    rows = [train.ids.tolist().index(parent) for parent in generator.last_parents]
    assert train.labels[rows].tolist() == LABELS.tolist()
    return images.astype(float), np.asarray(train.pixels)[rows].astype(float)


def test_noise_has_the_asked_spread_and_no_image_is_untouched(train: Images, ctx: StageContext) -> None:
    images, parents = sampled(NoisyCopy(NoisyCopy.Config(sd=3.0)), train, ctx)
    inside = (parents > 15) & (parents < 240)  # clipping bends the rest
    noise = (images - parents)[inside]
    assert noise.std() == pytest.approx(np.sqrt(9 + 1 / 12), rel=0.02)  # and the rounding to whole levels
    assert abs(noise.mean()) < 4 * 3 / np.sqrt(noise.size)
    assert (images != parents).any(axis=(1, 2, 3)).all()


def test_symmetries_are_the_eight_of_a_square(train: Images) -> None:
    image = np.asarray(train.pixels[0])
    expected = [np.rot90(side, k) for side in (image, image[:, ::-1]) for k in range(4)]
    found = [turned(image, symmetry) for symmetry in range(8)]
    assert (found[0] == image).all()
    assert all(sum((f == e).all() for f in found) == 1 for e in expected)


def test_flips_without_shift_are_turned_parents_and_never_the_parent_itself(train: Images, ctx: StageContext) -> None:
    images, parents = sampled(TurnedCopy(TurnedCopy.Config(shift=0)), train, ctx)
    used = set()
    for image, parent in zip(images, parents, strict=True):
        which = [s for s in range(8) if (turned(parent, s) == image).all()]
        assert len(which) == 1
        used.add(which[0])
    assert used == set(range(1, 8))


def test_a_shift_moves_whole_pixels_and_repeats_the_edge() -> None:
    image = np.arange(3 * 4, dtype=np.uint8).reshape(3, 4, 1)
    assert shifted(image, 1, 0)[..., 0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert shifted(image, 0, -2)[..., 0].tolist() == [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]
    assert shifted(image, 0, 0).tolist() == image.tolist()


def test_rectangles_are_mirrored_but_keep_their_shape(train: Images, ctx: StageContext) -> None:
    wide = Images(np.asarray(train.pixels)[:, :12], train.labels, train.ids, train.groups, train.class_names)
    images, parents = sampled(TurnedCopy(), wide, ctx)
    assert images.shape == parents.shape == (60, 12, 16, 3)


def test_blur_keeps_the_mean_and_lowers_the_contrast_the_more_the_wider(train: Images, ctx: StageContext) -> None:
    contrasts = []
    for sigma in (0.5, 1.0, 2.0, 4.0):
        images, parents = sampled(BlurredCopy(BlurredCopy.Config(sigma=sigma)), train, ctx)
        assert np.abs(images.mean((1, 2)) - parents.mean((1, 2))).max() < 4 * sigma
        contrasts.append(float(np.mean(images.std((1, 2)) / parents.std((1, 2)))))
    assert contrasts == sorted(contrasts, reverse=True)
    assert contrasts[0] < 1


def test_blur_of_a_point_is_a_gaussian(ctx: StageContext) -> None:
    pixels = np.zeros((1, 33, 33, 3), dtype=np.uint8)
    pixels[0, 16, 16, 1] = 255
    name = np.array(["point"])
    generator = BlurredCopy(BlurredCopy.Config(sigma=1.0))
    generator.fit(Images(pixels, np.zeros(1, dtype=np.int64), name, name, ("other", "melanoma")), ctx)
    found = generator.sample(np.zeros(1, dtype=np.int64), ctx)[0]
    y, x = np.mgrid[-16:17, -16:17]
    weights = np.exp(-(x**2 + y**2) / 2)
    assert np.abs(found[..., 1] - 255 * weights / weights.sum()).max() <= 1
    assert not found[..., [0, 2]].any()


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_mixup_lies_between_two_different_images_of_the_class(share: float, train: Images, ctx: StageContext) -> None:
    images, parents = sampled(Mixup(Mixup.Config(share=share)), train, ctx)
    pixels = np.asarray(train.pixels).astype(float)
    for image, parent, label in zip(images, parents, LABELS, strict=True):
        others = np.flatnonzero(train.labels == label)
        mixtures = share * parent + (1 - share) * pixels[others]
        near = np.abs(mixtures - image).max((1, 2, 3)) <= 0.5
        assert near.sum() == 1
        assert (pixels[others[near][0]] != parent).any()


def test_mixup_of_a_single_image_is_that_image(ctx: StageContext) -> None:
    lonely = tiny_images((6, 1))
    generator = Mixup()
    generator.fit(lonely, ctx)
    np.testing.assert_array_equal(generator.sample(np.array([1]), ctx)[0], lonely.pixels[6])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5, 1.0])
def test_the_planted_share_is_exact_in_every_class_and_parents_tell_copies(
    share: float, train: Images, ctx: StageContext
) -> None:
    held_out = tiny_images((40, 30), seed=1, prefix="held")
    generator = OracleCopies(OracleCopies.Config(share=share))
    assert isinstance(generator, NeedsHeldOut)
    generator.fit_held_out(train, held_out, ctx)
    images = generator.sample(LABELS, ctx)
    copies = generator.last_parents != ""
    assert (np.abs(np.bincount(LABELS[copies], minlength=2) - 30 * share) < 1).all()
    known = {image.tobytes(): i for i, image in zip(train.ids, np.asarray(train.pixels), strict=True)}
    assert [known.get(image.tobytes(), "") for image in images] == generator.last_parents.tolist()
    others = {image.tobytes() for image in np.asarray(held_out.pixels)}
    assert all(image.tobytes() in others for image in images[~copies])


def test_planted_copies_need_held_out_images_apart_from_train(train: Images, ctx: StageContext) -> None:
    with pytest.raises(StageError, match="needs held-out"):
        OracleCopies().fit(train, ctx)
    with pytest.raises(StageError, match="also in train"):
        OracleCopies().fit_held_out(train, train.take([0]), ctx)
    with pytest.raises(StageError, match="was not fitted"):
        OracleCopies().sample(LABELS, ctx)


@pytest.mark.parametrize("cls", [NoisyCopy, TurnedCopy, BlurredCopy, Mixup])
def test_a_class_without_images_is_refused_by_name(cls: type, ctx: StageContext) -> None:
    generator = cls()
    generator.fit(tiny_images((6, 0)), ctx)
    with pytest.raises(DataError, match="no image of 'melanoma'"):
        generator.sample(np.array([1]), ctx)
