"""Guiding, inversion, losses and latents with the ideal denoiser of a Gaussian; fine-tuning of a real network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.capabilities import CanFinetune, CanGuide, CanInvert, CanLearnToken, CanMapLatents, CanVary, HasLoss
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError
from bench.testing import tiny_images
from bench.testkit import KilledError, RehearsalContext
from generators._diffusion.finetuning import _Mixture, finetune, with_low_rank
from generators._diffusion.guiding import guide
from generators._diffusion.inverting import invert, render, render_latents
from generators._diffusion.losses import losses
from generators._diffusion.model import DiffusionModel, image_noise
from generators._diffusion.noise import ForwardProcess
from generators.ddpm import DDPM
from tests.generators.gaussian import MEANS, SD, gaussian_model, images, white_model

ABILITIES = (CanVary, CanGuide, CanFinetune, CanLearnToken, CanInvert, CanMapLatents, HasLoss)


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(7, tmp_path)


def test_every_ability_is_declared() -> None:
    assert all(isinstance(DDPM(), ability) for ability in ABILITIES)


# ---- guiding ------------------------------------------------------------------------------------------------------


def brightness(weight: float) -> Any:
    return lambda x, y: weight * x.sum(dim=(1, 2, 3))


def mean_code(pixels: np.ndarray) -> float:
    return float((pixels / 127.5 - 1.0).mean())


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("prediction", ["v"])
def test_guiding_through_the_network_tilts_the_density_by_the_score(
    prediction: Any, scale: float, ctx: StageContext
) -> None:
    """p(x) exp(s k x) of N(m, SD^2) is N(m + s k SD^2, SD^2), and with the ideal denoiser every step is exact."""
    model, k = gaussian_model(guide_gradient="network", prediction=prediction), 4.0
    drawn = guide(model, np.zeros(60, dtype=np.int64), ctx, brightness(2 * k), scale)
    assert mean_code(drawn) == pytest.approx(MEANS[0] + scale * k * SD**2, abs=0.012)
    assert (drawn / 127.5).std() == pytest.approx(SD, rel=0.1)


def test_guiding_at_the_denoised_image_is_exact_for_white_codes(ctx: StageContext) -> None:
    """Codes N(0, 1) of images N(0, 0.1^2): the tilted density is N(s k, 1) in codes."""
    found = {}
    for gradient in ("denoised", "network"):
        model = white_model(0.1, guide_gradient=gradient)
        drawn = guide(model, np.zeros(60, dtype=np.int64), ctx, brightness(2 / 0.1), 1.0)
        found[gradient] = mean_code(drawn) / 0.1
    assert found["denoised"] == pytest.approx(1.0, abs=0.05)
    assert found["network"] == pytest.approx(1.0, abs=0.05)  # less at the first steps, see LEAST_SIGNAL


def test_the_score_sees_the_labels_and_images_in_0_to_1(ctx: StageContext) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def score(x: Tensor, y: Tensor) -> Tensor:
        seen.append((x.detach(), y))
        return x.sum(dim=(1, 2, 3))

    model = gaussian_model(sampling_steps=4, sampling_batch=5)
    guide(model, np.array([1, 0, 1]), ctx, score, 50.0)
    assert len(seen) == 4
    assert all(x.shape == (5, 3, 8, 8) and 0.0 <= float(x.min()) <= float(x.max()) <= 1.0 for x, _ in seen)
    assert all(y.tolist() == [1, 0, 1, 1, 1] for _, y in seen)


def test_a_scale_of_zero_asks_the_score_nothing(ctx: StageContext) -> None:
    def refuse(x: Tensor, y: Tensor) -> Tensor:
        raise AssertionError("asked")

    model, labels = gaussian_model(sampling_steps=5), np.array([0, 1])
    np.testing.assert_array_equal(guide(model, labels, ctx, refuse, 0.0), model.sample(labels, ctx))
    with pytest.raises(ConfigError, match=r"at least 0, got -1\.0"):
        guide(model, labels, ctx, refuse, -1.0)


# ---- inversion, latents, losses -----------------------------------------------------------------------------------


def test_inverted_images_come_back_and_their_latents_are_noise(ctx: StageContext) -> None:
    model, given = gaussian_model(inversion_steps=50, inversion_iterations=4), images(30, MEANS[1], 1)
    latents = invert(model, given, ctx)
    back = render(model, latents, given.labels, ctx)
    assert latents.shape == (30, 3, 8, 8)
    assert latents.std() == pytest.approx(1.0, rel=0.1)
    assert np.abs(back.astype(int) - np.asarray(given.pixels)).max() <= 2
    other = render(model, latents, np.zeros(30, dtype=np.int64), ctx)
    assert mean_code(other) == pytest.approx(mean_code(np.asarray(given.pixels)) + MEANS[0] - MEANS[1], abs=0.02)


def test_latents_of_another_shape_are_refused(ctx: StageContext) -> None:
    with pytest.raises(DataError, match=r"latents of shape \(2, 5\) given, needed are \(2, 3, 8, 8\)"):
        render(gaussian_model(), np.zeros((2, 5), dtype=np.float32), np.array([0, 1]), ctx)
    with pytest.raises(DataError, match="needed are"):
        render_latents(gaussian_model(), np.zeros((3, 192), dtype=np.float32), np.array([0, 1]), ctx)


def test_rendered_latents_are_samples_before_rounding(ctx: StageContext) -> None:
    model, labels = gaussian_model(sampling_steps=10), np.array([0, 1, 1])
    noise = image_noise(3, (3, 8, 8), ctx.seed)
    found = render_latents(model, noise.reshape(3, -1).numpy(), labels, ctx)
    np.testing.assert_array_equal(found.clip(0, 255).round().astype(np.uint8), model.sample(labels, ctx))


def test_losses_are_the_weighted_errors_of_the_training_target(ctx: StageContext) -> None:
    model, given = gaussian_model(loss_timesteps=4, sampling_batch=2), images(3, MEANS[0], 0)
    process, noise = ForwardProcess(model.options), image_noise(4, (3, 8, 8), ctx.seed)
    z = torch.from_numpy(np.asarray(given.pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = np.zeros(3)
    for t, eps in zip((125, 375, 625, 875), noise, strict=True):
        at, eps_b = torch.full((3,), t), eps.expand_as(z)
        v = model.unet(process.add_noise(z, eps_b, at), at, class_labels=torch.zeros(3, dtype=torch.long)).sample
        snr = float((process.alpha[t] / process.sigma[t]) ** 2)
        expected += min(snr, 5.0) / (snr + 1) * ((v - process.target(z, eps_b, at)) ** 2).mean((1, 2, 3)).numpy() / 4
    np.testing.assert_allclose(losses(model, given, ctx), expected, rtol=1e-4)


def test_losses_are_lower_for_images_of_the_class(ctx: StageContext) -> None:
    model = gaussian_model()
    own, other = losses(model, images(10, MEANS[0], 0), ctx), losses(model, images(10, MEANS[1], 0), ctx)
    assert own.max() < other.min()


# ---- fine-tuning --------------------------------------------------------------------------------------------------

LR = {"full": 3e-3, "lora": 2e-2}
SMALL = {
    **DDPM.presets["smoke"],
    "channels": (16, 32),
    "finetune_steps": 60,
    "token_steps": 60,
    "token_lr": 0.1,
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> DDPM:
    generator = DDPM(DDPM.Config(**{**SMALL, "steps": 150, "lr": 5e-3, "ema": 0.9}))
    generator.fit(tiny_images(10), StageContext(0, tmp_path_factory.mktemp("fit")))
    return generator


def with_options(generator: DDPM, **values: Any) -> DiffusionModel:
    model = copy.deepcopy(generator.model)
    model.options = model.options.model_copy(update=values)
    return model


def green(n: int = 8) -> Images:
    """Images that no mole looks like."""
    train = tiny_images(10).take(np.arange(n))
    pixels = np.asarray(train.pixels).copy()
    pixels[..., 0], pixels[..., 1] = pixels[..., 1] // 2, 230
    return Images(pixels, train.labels, train.ids, train.groups, train.class_names)


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_finetuning_learns_the_images_and_keeps_the_shape_of_the_model(
    mode: Any, fitted: DDPM, ctx: StageContext
) -> None:
    model, new, old = (
        with_options(fitted, finetune_mode=mode, lora_rank=4, finetune_lr=LR[mode]),
        green(),
        tiny_images(10),
    )
    before = losses(model, new, ctx).mean(), losses(model, old, ctx).mean()
    state = {k: v.clone() for k, v in model.unet.state_dict().items()}
    finetune(model, new, old, ctx)
    after = losses(model, new, ctx).mean(), losses(model, old, ctx).mean()
    assert after[0] < (0.9 if mode == "full" else 0.96) * before[0]
    assert after[1] < 1.3 * before[1], "replay keeps what was learnt before"
    found = model.unet.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in state.items()}
    assert not any(p.requires_grad for p in model.unet.parameters())
    assert not model.unet.training
    changed = {k for k in state if not torch.equal(state[k], found[k])}
    if mode == "full":
        assert len(changed) > 0.9 * len(state)
        return
    convolutions = {k for k in state if k.endswith(("conv1.weight", "conv2.weight"))}
    assert changed == convolutions | {k for k in state if ".to_" in k and "weight" in k}
    for name in changed:
        update = (found[name] - state[name]).flatten(1)
        assert 0 < int(torch.linalg.matrix_rank(update.double(), rtol=1e-3)) <= 4


def test_low_rank_updates_start_at_zero(fitted: DDPM) -> None:
    unet = copy.deepcopy(fitted.model.unet)
    z, t, y = torch.randn(2, unet.config["in_channels"], 4, 4), torch.tensor(500), torch.tensor([0, 1])
    expected = unet(z, t, class_labels=y).sample
    torch.testing.assert_close(with_low_rank(unet, 4).eval()(z, t, class_labels=y).sample, expected)


def test_a_killed_finetuning_goes_on_to_the_same_weights(fitted: DDPM, tmp_path: Path) -> None:
    def tuned(ctx: RehearsalContext) -> dict[str, Tensor]:
        model = with_options(fitted, finetune_steps=6, finetune_mode="lora")
        finetune(model, green(), tiny_images(10), ctx)
        return model.unet.state_dict()

    expected = tuned(RehearsalContext(tmp_path / "whole"))
    with pytest.raises(KilledError):
        tuned(RehearsalContext(tmp_path / "cut", store_at=3))
    found = tuned(RehearsalContext(tmp_path / "cut"))
    assert all(torch.equal(expected[k], found[k]) for k in expected)


@pytest.mark.parametrize(("share", "replayed"), [(0.5, 8), (0.6, 10), (0.99, 15)])
def test_the_share_of_replay_in_every_batch(share: float, replayed: int, ctx: StageContext) -> None:
    new, old = green(), tiny_images((4, 30))
    x, y = _Mixture(new, old, 16, share, ctx)(torch.Generator().manual_seed(0))
    assert x.shape == (16, 3, 16, 16)
    assert int((x[:, 1] == 230).all(dim=(1, 2)).sum()) == 16 - replayed
    assert len(y) == 16
    with pytest.raises(ValueError, match=r"greater than or equal to 0\.5"):
        DDPM.Config(finetune_replay=0.4)


def test_a_token_is_learnt_with_all_else_frozen(fitted: DDPM, ctx: StageContext) -> None:
    generator = copy.deepcopy(fitted)
    new = green().take(green().labels == 0)
    before = losses(generator.model, new, ctx).mean()
    state = {k: v.clone() for k, v in generator.model.unet.state_dict().items()}
    generator.learn_token(new, ctx)
    assert losses(generator.model, new, ctx).mean() < before
    found = generator.model.unet.state_dict()
    assert {k for k in state if not torch.equal(state[k], found[k])} == {"class_embedding.weight"}
    rows = (state["class_embedding.weight"] != found["class_embedding.weight"]).any(dim=1)
    assert rows.tolist() == [True, False, False]


def test_images_of_another_size_are_refused(fitted: DDPM, ctx: StageContext) -> None:
    other = tiny_images(3, size=20)
    for call in (fitted.invert, fitted.losses, fitted.learn_token):
        with pytest.raises(DataError, match="20x20 pixels, the generator was fitted on 16x16"):
            call(other, ctx)
    with pytest.raises(DataError, match="20x20 pixels"):
        fitted.finetune(tiny_images(3), other, ctx)


@pytest.mark.parametrize("name", ["ddpm", "ldm"])
def test_a_fit_does_not_read_the_options_of_sampling(name: str, tmp_path: Path) -> None:
    """What is left out of the key of a fit must change none of its weights."""
    from bench import registry
    from bench.testkit import RehearsalContext, tiny_images
    from bench.trees import load_tree

    cls = registry.load("generator", name)
    other = {"guidance": 2.0, "sampler": "ddim", "sampling_steps": 3, "sampling_batch": 5, "loss_timesteps": 2}
    states = []
    for i, options in enumerate(({}, other)):
        model = cls(registry.effective_config("generator", name, cls, "smoke", options))
        model.fit(tiny_images(10, 16), RehearsalContext(tmp_path / f"work{i}"))
        (tmp_path / str(i)).mkdir()
        model.save(tmp_path / str(i))
        states.append(load_tree(tmp_path / str(i)))
    weights = [state["unet"] for state in states]
    assert all((weights[0][k] == weights[1][k]).all() for k in weights[0])
