"""Networks trained elsewhere in the place of ours, and the losses that keep an autoencoder sharp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from bench.errors import ConfigError
from bench.metrics.perceptual import lpips_distance
from bench.testing import GeneratorContract, tiny_images
from bench.testkit import KilledError, RehearsalContext
from generators._diffusion.codecs import to_float
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.sharpening import Adversary, Perceptual, patch_discriminator
from generators.ddpm import DDPM
from generators.ldm import LatentDiffusion
from tests.generators import tiny_pipelines

SMALL = {**LatentDiffusion.presets["smoke"], "steps": 6, "ae_steps": 6, "channels": (8, 16), "ae_channels": (8, 16)}


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    tiny_pipelines.vae().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("unet")
    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    UNet2DModel(8, 4, 4, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=8, **kinds).save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def ctx(tmp_path: Path) -> RehearsalContext:
    return RehearsalContext(tmp_path / "work")


def fitted(ctx: RehearsalContext, **values: Any) -> LatentDiffusion:
    generator = LatentDiffusion(LatentDiffusion.Config(**{**SMALL, **values}))
    generator.fit(tiny_images(20), ctx)
    return generator


# ---- pretrained networks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 18])
def test_a_pretrained_autoencoder_is_used_whitened_and_stored(size: int, vae: Path, ctx: RehearsalContext) -> None:
    train = tiny_images(20, size)
    generator = LatentDiffusion(LatentDiffusion.Config(**SMALL, autoencoder=str(vae)))
    generator.fit(train, ctx)
    codec = generator.model.codec
    x = to_float(torch.from_numpy(np.asarray(train.pixels)).permute(0, 3, 1, 2))
    z = codec.encode(x)
    assert z.shape[1:] == codec.code_shape((size, size))
    rows = z.permute(0, 2, 3, 1).reshape(-1, 4)
    torch.testing.assert_close(torch.cov(rows.T, correction=0), torch.eye(4), rtol=0, atol=1e-2)
    if size == 16:
        own = tiny_pipelines.vae().eval()
        expected = own.decode(own.encode(x).latent_dist.mode()).sample
        torch.testing.assert_close(codec.decode(z, (16, 16)), expected, rtol=0, atol=1e-3)
    assert generator.reconstruct(train, ctx).shape == train.pixels.shape
    assert [row["step"] for row in ctx.history][5] == 6, "no step was spent on an autoencoder"


def test_a_fit_needs_the_pretrained_networks_no_more(
    vae: Path, unet: Path, ctx: RehearsalContext, tmp_path: Path
) -> None:
    import shutil

    places = {"autoencoder": shutil.copytree(vae, tmp_path / "v"), "unet": shutil.copytree(unet, tmp_path / "u")}
    generator = fitted(ctx, **{name: str(place) for name, place in places.items()})
    (tmp_path / "model").mkdir()
    generator.save(tmp_path / "model")
    for place in places.values():
        shutil.rmtree(place)
    loaded = LatentDiffusion.load(tmp_path / "model", generator.config)
    labels = np.array([0, 1, 1])
    np.testing.assert_array_equal(loaded.sample(labels, ctx), generator.sample(labels, ctx))


def test_training_begins_with_the_pretrained_unet(vae: Path, unet: Path, ctx: RehearsalContext) -> None:
    generator = fitted(ctx, autoencoder=str(vae), unet=str(unet), steps=1, lr=1e-9, warmup=0)
    given, found = UNet2DModel.from_pretrained(unet).state_dict(), generator.model.unet.state_dict()
    assert set(found) - set(given) == {"class_embedding.weight"}
    assert found["class_embedding.weight"].shape == (3, 64)
    for name in given:
        torch.testing.assert_close(found[name], given[name], rtol=0, atol=1e-5)
    scale = float(generator.model.codec.whitening[0, 0])
    assert scale == pytest.approx(tiny_pipelines.vae().config["scaling_factor"]), "its scale, not whitening"


def test_what_was_read_decides_the_key(vae: Path, unet: Path) -> None:
    plain = LatentDiffusion.inputs(LatentOptions())
    read = LatentDiffusion.inputs(LatentOptions(autoencoder=str(vae), unet=str(unet)))
    assert plain == {}
    assert set(read) == {"autoencoder", "unet"}
    assert len(set(read.values())) == 2
    assert DDPM.inputs(DDPM.Config(unet=str(unet))) == {"unet": read["unet"]}


def test_networks_that_do_not_fit_are_refused(vae: Path, unet: Path, ctx: RehearsalContext) -> None:
    with pytest.raises(ConfigError, match="works on 4 channels, the codes here have 7"):
        fitted(ctx, unet=str(unet))
    with pytest.raises(ConfigError, match="cannot be read as an AutoencoderKL"):
        fitted(ctx, autoencoder=str(unet / "nothing"))
    with pytest.raises(ConfigError, match="no such folder, and no hub id"):
        LatentDiffusion.inputs(LatentOptions(autoencoder=str(vae / "nothing")))


# ---- losses -------------------------------------------------------------------------------------------------------


def random_backbone() -> dict[str, np.ndarray]:
    """Weights of VGG16's shapes, in the place of those that are fetched."""
    import lpips

    rng = np.random.default_rng(0)
    network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).net
    shapes = {f"features.{k.split('.', 1)[1]}": tuple(p.shape) for k, p in network.named_parameters()}
    scale = {k: (2.0 / np.prod(s[1:])) ** 0.5 if len(s) > 1 else 0.0 for k, s in shapes.items()}
    return {k: rng.standard_normal(s).astype(np.float32) * np.float32(scale[k]) for k, s in shapes.items()}


@pytest.fixture
def lpips_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from safetensors.numpy import save_file

    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    file = tmp_path / "weights" / "lpips-vgg" / "weights.safetensors"
    file.parent.mkdir(parents=True)
    save_file(random_backbone(), file)
    return file


def test_the_perceptual_loss_is_lpips_with_a_gradient(lpips_weights: Path) -> None:
    x, target = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    found = Perceptual("vgg", (32, 32), "cpu")(x.requires_grad_(), target)
    pixels = [((t.detach() + 1) * 127.5).permute(0, 2, 3, 1).numpy() for t in (x, target)]
    assert float(found.detach()) == pytest.approx(float(lpips_distance(lpips_weights)(*pixels).mean()), rel=1e-4)
    found.backward()
    assert float(x.grad.abs().max()) > 0  # type: ignore[union-attr]


def test_perceptual_training_needs_its_weights_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    options = LatentOptions(perceptual_weight=1.0)
    with pytest.raises(ConfigError, match="bench weights fetch lpips-vgg"):
        LatentDiffusion.inputs(options)
    with pytest.raises(ConfigError, match="at least 32 px, these have 16"):
        Perceptual("alex", (16, 16), "cpu")


@pytest.mark.parametrize("side", [16, 32, 64, 100])
def test_the_discriminator_judges_patches(side: int) -> None:
    network = patch_discriminator(16, 3, side)
    logits = network(torch.rand(2, 3, side, side))
    assert logits.shape[:2] == (2, 1)
    assert logits.shape[2] >= 2
    if side == 100:
        assert receptive_field(network) == 70, "that of pix2pix and VQGAN with three layers"


def receptive_field(network: torch.nn.Sequential) -> int:
    field, jump = 1, 1
    for module in network:
        if isinstance(module, torch.nn.Conv2d):
            field += (module.kernel_size[0] - 1) * jump
            jump *= module.stride[0]
    return field


def test_the_adversarial_gradient_is_balanced_at_the_last_layer() -> None:
    """Eq. 7: its norm there is ``adversarial_weight`` times that of the other losses, whatever their scales."""
    options = LatentOptions(adversarial_weight=0.5, disc_channels=8, disc_start=3)
    adversary = Adversary(options, (16, 16), "cpu")
    layer = torch.nn.Conv2d(3, 3, 3, padding=1)
    x = layer(torch.rand(4, 3, 16, 16))
    other = 1000.0 * x.square().mean()
    assert float(adversary.loss(x, other, layer.weight, 2)) == 0.0
    (pull,) = torch.autograd.grad(other, layer.weight, retain_graph=True)
    (push,) = torch.autograd.grad(adversary.loss(x, other, layer.weight, 3), layer.weight)
    assert float(push.norm() / pull.norm()) == pytest.approx(0.5, rel=0.1)


def test_the_discriminator_learns_to_tell_reconstructions() -> None:
    torch.manual_seed(0)
    options = LatentOptions(adversarial_weight=0.5, disc_channels=8, ae_steps=60, ae_lr=2e-3)
    adversary = Adversary(options, (16, 16), "cpu")
    losses = []
    for i in range(60):
        sharp = torch.rand(16, 3, 16, 16) * 2 - 1
        losses.append(float(adversary.step(torch.nn.functional.avg_pool2d(sharp, 3, 1, 1), sharp, i)))
    assert losses[-1] < 0.3 < losses[0]


@pytest.mark.parametrize("killed_after", [2, 4])
def test_a_killed_sharpened_fit_gives_the_same_weights(killed_after: int, lpips_weights: Path, tmp_path: Path) -> None:
    values = {"perceptual_weight": 0.5, "adversarial_weight": 0.5, "disc_channels": 8, "disc_start": 2}

    def weights(ctx: RehearsalContext) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = fitted(ctx, **values).model.state()["codec"]["autoencoder"]
        return found

    whole = RehearsalContext(tmp_path / "whole")
    expected = weights(whole)
    assert {"lpips", "discriminator", "l1", "kl"} <= set(whole.history[0])
    with pytest.raises(KilledError):
        weights(RehearsalContext(tmp_path / "cut", store_at=killed_after))
    found = weights(RehearsalContext(tmp_path / "cut"))
    assert all(torch.equal(expected[k], found[k]) for k in expected)


class TestPretrainedContract(GeneratorContract):
    """What every generator owes, with an autoencoder from disk."""

    plugin = LatentDiffusion

    @pytest.fixture(autouse=True)
    def _place(self, vae: Path) -> None:
        type(self).options = {"autoencoder": str(vae)}


del GeneratorContract
