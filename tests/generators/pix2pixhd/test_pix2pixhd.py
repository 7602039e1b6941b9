"""pix2pixHD as a plugin: the contract, its errors, and what maps, classes and styles do to an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.capabilities import CanEstimate, NeedsMasks
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError, StageError
from bench.operations import OperationCounter
from bench.testing import GeneratorContract, tiny_images
from bench.testkit import RehearsalContext, scratch
from generators.pix2pixhd import Pix2PixHD

PLAIN = {"instances": "none"}


class TestContract(GeneratorContract):
    """What every generator owes, on the smoke preset."""

    plugin = Pix2PixHD


class TestContractWithEnhancer(GeneratorContract):
    """The same with a local enhancer, told classes and no instance map."""

    plugin = Pix2PixHD
    options = {**PLAIN, "enhancer": True, "widths": (8, 16), "enhancer_blocks": 1, "label": True}


class TestContractWithoutStyles(GeneratorContract):
    """The same without styles: all diversity comes from the maps."""

    plugin = Pix2PixHD
    options = {"styles": 0, "ema": 0.0}


class TestContractWithAttributes(GeneratorContract):
    """The same with the masks of a lesion and five dermoscopic attributes, as isic2018_task12 gives them."""

    plugin = Pix2PixHD

    def train(self) -> Images:
        images = super().train()
        lesion, rng = np.asarray(images.masks), np.random.default_rng(0)
        # Each attribute is a part of the lesion, some are absent, and some images have none at all.
        blocks = rng.random((len(images), 4, 4, 5)).repeat(4, axis=1).repeat(4, axis=2) < 0.3
        present = rng.random((len(images), 1, 1, 5)) < 0.6
        attributes = np.where(blocks & present & (lesion > 127), 255, 0).astype(np.uint8)
        return replace(images, masks=np.concatenate([lesion, attributes], axis=3), key="")

    def test_attributes_are_drawn_over(self) -> None:
        with scratch() as folder:
            ctx, images = RehearsalContext(folder), self.train().take(np.arange(6))
            masks = np.asarray(images.masks)
            assert masks.shape == (6, 16, 16, 6)
            bare = np.where(np.arange(6) == 0, masks, 0).astype(np.uint8)
            shown, without = (self.fitted().paint(m, images.labels, ctx) for m in (masks, bare))
        some = (masks[..., 1:] > 0).any(axis=(1, 2, 3))
        assert some.any()
        assert (shown != without).any(axis=(1, 2, 3))[some].all(), "an attribute changes nothing"
        np.testing.assert_array_equal(shown[~some], without[~some])


def fitted(folder: Path, train: Images | None = None, **options: Any) -> tuple[Pix2PixHD, StageContext]:
    generator = Pix2PixHD(Pix2PixHD.Config(**{**Pix2PixHD.presets["smoke"], **options}))
    ctx = StageContext(0, folder)
    generator.fit(tiny_images(12) if train is None else train, ctx)
    return generator, ctx


def test_capabilities() -> None:
    assert isinstance(Pix2PixHD(), NeedsMasks)
    assert isinstance(Pix2PixHD(), CanEstimate)


def test_images_without_masks_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"have no masks: --data phantom .* data\.options\.masks=require"):
        fitted(tmp_path, replace(tiny_images(4), masks=None))
    bare = tiny_images(4)
    with pytest.raises(DataError, match="all lesion masks of the training images are empty"):
        fitted(tmp_path, replace(bare, masks=np.zeros_like(bare.masks)))


def test_images_with_an_empty_mask_are_left_out(tmp_path: Path) -> None:
    images = tiny_images(6)
    masks = np.asarray(images.masks).copy()
    masks[:4] = 0
    generator, _ = fitted(tmp_path, replace(images, masks=masks))
    assert len(generator.model.maps.labels) == 8
    assert (generator.model.maps.masks[..., 0] > 0).any(axis=(1, 2)).all()


def test_small_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images of 8 px are too small for 4-fold downsampling"):
        fitted(tmp_path, tiny_images(4, size=8))


def test_sampling_before_fitting_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="Pix2PixHD is not fitted yet: call fit or load first"):
        Pix2PixHD().sample(np.array([0]), StageContext(0, tmp_path))


def test_perceptual_loss_without_weights_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "none"))
    assert Pix2PixHD.inputs(Pix2PixHD.Config()) == {}
    with pytest.raises(ConfigError, match="bench weights fetch lpips-vgg"):
        Pix2PixHD.inputs(Pix2PixHD.Config(perceptual=1.0))
    with pytest.raises(ConfigError, match="bench weights fetch lpips-vgg"):
        fitted(tmp_path, perceptual=1.0)


def test_perceptual_loss_changes_what_is_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random VGG16 weights in the place where fetched ones lie: any features compare images."""
    import torch
    from safetensors.torch import save_file
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    (tmp_path / "weights" / "lpips-vgg").mkdir(parents=True)
    state = {f"features.{name}": tensor for name, tensor in make_layers(cfgs["D"]).state_dict().items()}
    save_file(state, str(tmp_path / "weights" / "lpips-vgg" / "weights.safetensors"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    labels = np.array([0, 1, 1])
    found, counted, stated = [], [], []
    for weight in (0.0, 10.0):
        with OperationCounter() as counter:
            generator, ctx = fitted(tmp_path / str(weight), steps=4, perceptual=weight)
        counted.append(counter.total)
        stated.append(generator.cost(24, 16).flops)
        found.append(generator.sample(labels, ctx))
    assert (found[0] != found[1]).any(axis=(1, 2, 3)).all()
    assert counted[1] - counted[0] == pytest.approx(stated[1] - stated[0], rel=0.02), "its work is stated"


@pytest.mark.parametrize("options", [{}, PLAIN], ids=["slic", "plain"])
def test_paint_repeats_and_follows_mask_label_and_seed(options: dict[str, Any], tmp_path: Path) -> None:
    generator, ctx = fitted(tmp_path, steps=60, **options)
    labels = np.array([0, 1, 1, 0, 1])
    masks = np.asarray(tiny_images(8, seed=3).masks)[[0, 9, 3, 12, 5]]
    painted = generator.paint(masks, labels, ctx)
    assert painted.shape == (5, 16, 16, 3)
    assert painted.dtype == np.uint8
    assert (painted == generator.paint(masks, labels, ctx)).all()
    assert (painted[:2] == generator.paint(masks[:2], labels[:2], ctx)).all()
    for other in (
        generator.paint(masks[::-1].copy(), labels, ctx)[[0, 1, 3, 4]],  # the middle one stays
        generator.paint(masks, labels, StageContext(1, tmp_path / "other"))[[0, 1, 3, 4]],
        generator.paint(masks, 1 - labels, ctx)[[0, 1, 3, 4]],
    ):
        assert (other != painted[[0, 1, 3, 4]]).any(axis=(1, 2, 3)).all()
    outside = masks.copy()
    outside[outside == 0] = 100  # below the half: still outside
    assert (generator.paint(outside, labels, ctx) == painted).all()


def test_masks_that_cannot_be_painted_are_refused(tmp_path: Path) -> None:
    generator, ctx = fitted(tmp_path, steps=1)
    with pytest.raises(DataError, match=r"masks must be uint8 \(1, 16, 16, 1\).*got uint8 \(1, 16, 16, 2\)"):
        generator.paint(np.zeros((1, 16, 16, 2), dtype=np.uint8), np.array([0]), ctx)
    with pytest.raises(DataError, match="got float64"):
        generator.paint(np.zeros((1, 16, 16, 1)), np.array([0]), ctx)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="label 2"):
        generator.paint(np.zeros((1, 16, 16, 1), dtype=np.uint8), np.array([2]), ctx)
    assert generator.paint(np.zeros((0, 16, 16, 1), dtype=np.uint8), np.zeros(0, dtype=np.int64), ctx).shape[0] == 0


def test_stored_masks_are_bounded(tmp_path: Path) -> None:
    generator, ctx = fitted(tmp_path, steps=1, maps=3)
    assert len(generator.model.maps.labels) == 6
    assert len(generator.model.looks.labels) == 24
    assert generator.sample(np.array([0, 1]), ctx).shape == (2, 16, 16, 3)


def test_training_lowers_the_distance_to_the_real_image(tmp_path: Path) -> None:
    """Reconstruction from a map and the image's own style: what feature matching asks for."""
    import torch

    from generators.pix2pixhd.maps import semantic_map

    train = tiny_images(24)
    real = torch.from_numpy(np.asarray(train.pixels)).permute(0, 3, 1, 2) / 127.5 - 1.0
    semantic = semantic_map(torch.from_numpy(np.asarray(train.masks)).permute(0, 3, 1, 2), None, 1)

    def distance(steps: int) -> float:
        painter = fitted(tmp_path / str(steps), train, steps=steps, lr=1e-3, batch=8, ema=0.0, **PLAIN)[0].model.painter
        with torch.no_grad():
            made = painter(semantic, torch.from_numpy(train.labels), painter.styles(real, semantic))
        return float((made - real).abs().mean())

    assert distance(200) < 0.5 * distance(1)


def test_presets_are_valid_and_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 128, "paper": 256}
    assert set(Pix2PixHD.presets) == set(sizes)
    costs = [Pix2PixHD(Pix2PixHD.Config(**Pix2PixHD.presets[p])).cost(1000, size) for p, size in sizes.items()]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)
