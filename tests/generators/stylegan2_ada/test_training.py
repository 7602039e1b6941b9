"""Training: what is learnt and from where, averages, mixing, the driver of augmentation, settings and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.capabilities import CanEstimate, CanInvert, CanMapStyles, HasInputs
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError, StageError
from bench.operations import OperationCounter
from bench.testing import tiny_images
from generators.stylegan2_ada import StyleGAN2ADA
from generators.stylegan2_ada.auto import auto_settings
from generators.stylegan2_ada.cost import discriminator_tally, generator_tally, training_cost
from generators.stylegan2_ada.fitting import build_pair, shape_of
from generators.stylegan2_ada.projection import invert
from generators.stylegan2_ada.training import RampedEma, Trainer, lazy_adam
from tests.generators.colours import two_colours


def options(**changes: Any) -> Any:
    return StyleGAN2ADA.Config(**{**StyleGAN2ADA.presets["smoke"], **changes})


def fitted(folder: Path, train: Images | None = None, **changes: Any) -> StyleGAN2ADA:
    model = StyleGAN2ADA(options(**changes))
    model.fit(tiny_images(20) if train is None else train, StageContext(0, folder))
    return model


def trainer(folder: Path, train: Images, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    o = options(**changes)
    shape = shape_of(o, train)
    return Trainer(o, *build_pair(shape, None), train, shape.c_dim, StageContext(0, folder))


def test_capabilities() -> None:
    model = StyleGAN2ADA()
    for capability in (CanMapStyles, CanInvert, CanEstimate, HasInputs):
        assert isinstance(model, capability)


@pytest.mark.slow
@pytest.mark.parametrize("per_class", [False, True], ids=["conditional", "a network a class"])
def test_samples_look_like_their_class(per_class: bool, tmp_path: Path) -> None:
    model = fitted(tmp_path, two_colours(64), kimg=2.4, batch=16, lr=0.005, augment=(), per_class=per_class)
    drawn = model.sample(np.array([0, 1] * 8), StageContext(0, tmp_path))
    light, dark = drawn[0::2].mean((1, 2, 3)), drawn[1::2].mean((1, 2, 3))
    assert light.min() > dark.max() + 30
    assert len(model.model.generators) == (2 if per_class else 1)


def test_p_rises_on_an_overfitting_set(tmp_path: Path) -> None:
    """Four images, and a generator that learns too slowly to catch up: the discriminator soon knows all reals."""
    few = tiny_images(2)
    player = trainer(tmp_path, few, augment=("colour",), ada_kimg=0.5, lr=0.01, gamma=0.0, pl_every=0, symmetry="none")
    player.g_adam.param_groups[0]["lr"] = 1e-6
    rng = torch.Generator().manual_seed(0)
    seen = [float(player.step(i, rng)["p"]) for i in range(120)]
    assert seen[0] == 0.0
    assert seen[-1] > 0.3
    assert player.ada.overfitting > 0.6


def test_mixing_takes_the_second_style_from_a_layer_on(tmp_path: Path) -> None:
    player, rng = trainer(tmp_path, tiny_images(4), style_mixing=1.0), torch.Generator().manual_seed(0)
    c = torch.eye(2)[[0, 1] * 100]
    ws = player._styles(player._latents(200, rng), c, slice(0, 200))[0].detach()
    changes = (ws[:, 1:] != ws[:, :-1]).any(2).sum(1)
    assert set(changes.tolist()) == {1}
    other = trainer(tmp_path, tiny_images(4), style_mixing=0.0)
    plain, _ = other._styles(other._latents(200, rng), c, slice(0, 200))
    assert torch.equal(plain[:, 0], plain[:, -1])


def test_average_has_its_half_life_in_images() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    ema = RampedEma(module, batch=10, half_life=100.0, rampup=None)
    torch.nn.init.ones_(module.weight)
    for _ in range(10):
        ema.update(module)
    assert float(ema.module.weight) == pytest.approx(0.5)
    ramped = RampedEma(module, batch=10, half_life=1000.0, rampup=0.05)
    assert ramped.decay_after(0) == 0.0
    assert ramped.decay_after(4000) == pytest.approx(0.5 ** (10 / 200))
    assert ramped.decay_after(10**9) == pytest.approx(0.5 ** (10 / 1000))


def test_adam_allows_for_lazy_steps() -> None:
    (group,) = lazy_adam(torch.nn.Linear(1, 1), 0.002, 16).param_groups
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    assert lazy_adam(torch.nn.Linear(1, 1), 0.002, 0).param_groups[0]["lr"] == 0.002


def test_bengan_becomes_melgan(tmp_path: Path) -> None:
    """One network is fitted on the first class, saved, and the networks of both go on from it."""
    ctx = StageContext(0, tmp_path)
    first = fitted(tmp_path / "a", two_colours(64), per_class=True, kimg=0.16)
    first.save(tmp_path / "saved")
    again = fitted(tmp_path / "b", two_colours(64), per_class=True, init_from=str(tmp_path / "saved"), kimg=0.0)
    labels, other = np.array([0, 1, 0, 1]), fitted(tmp_path / "c", two_colours(64), per_class=True, kimg=0.008)
    assert np.array_equal(again.sample(labels, ctx), first.sample(labels, ctx))
    assert not np.array_equal(other.sample(labels, ctx), first.sample(labels, ctx))
    chained = fitted(tmp_path / "d", two_colours(64), per_class=True, chain=True, kimg=0.008)
    (light, dark), (same, apart) = (
        [m.model.network(k).state_dict()["synthesis.b4.const"] for k in (0, 1)] for m in (chained, other)
    )
    assert torch.equal(light, same)  # the first class begins from the same random weights either way
    assert not torch.equal(dark, apart)
    rate = chained.config.lr  # Adam without momentum moves a weight by at most about ten rates in its first steps
    assert 0 < float((dark - light).abs().max()) < 12 * rate


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "a", kimg=0.008).save(tmp_path / "two")
    start = str(tmp_path / "two")
    with pytest.raises(ConfigError, match=r"made for 16 pixels, the images have 32: set data\.resolution=16"):
        fitted(tmp_path / "b", tiny_images(4, 32), init_from=start)
    with pytest.raises(ConfigError, match="its network is conditional on 2 classes, here are 3 classes"):
        fitted(tmp_path / "c", tiny_images(4, classes=3), init_from=start)
    with pytest.raises(ConfigError, match="its network is conditional on 2 classes"):
        fitted(tmp_path / "d", init_from=start, per_class=True)
    with pytest.raises(ConfigError, match="is no folder of a fitted stylegan2_ada"):
        fitted(tmp_path / "e", init_from=str(tmp_path))
    with pytest.raises(DataError, match=r"no tensors\.safetensors in it"):
        StyleGAN2ADA.inputs(options(init_from=str(tmp_path)))
    assert len(StyleGAN2ADA.inputs(options(init_from=start))["init_from"]) == 64


@pytest.mark.parametrize(("size", "said"), [(24, "24x24"), (100, "100x100"), (4, "4x4")])
def test_other_image_sizes_are_refused(size: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"images are {said} pixels, but stylegan2_ada makes square ones of 8, 16, 32"):
        fitted(tmp_path, tiny_images(4, size))


def test_sampling_before_fitting_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="StyleGAN2ADA is not fitted yet: call fit or load first"):
        StyleGAN2ADA().sample(np.array([0]), StageContext(0, tmp_path))


def test_truncation_narrows_what_is_drawn(tmp_path: Path) -> None:
    model, ctx = fitted(tmp_path), StageContext(0, tmp_path)
    labels = np.zeros(32, dtype=np.int64)
    spread = []
    model.model.noise = "none"
    for psi in (1.0, 0.5, 0.0):
        model.config = options(truncation=psi)
        spread.append(float(model.sample(labels, ctx).astype(float).std(0).mean()))
    assert spread[0] > spread[1] > spread[2] == 0.0


def test_every_image_has_noise_of_its_own(tmp_path: Path) -> None:
    model, ctx = fitted(tmp_path, truncation=0.0), StageContext(0, tmp_path)
    for name, p in model.model.network(0).named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(p, 0.5)
    labels = np.zeros(5, dtype=np.int64)
    drawn = {}
    for model.model.noise in ("random", "const", "none"):
        drawn[model.model.noise] = model.sample(labels, ctx)
    assert (drawn["const"] == drawn["const"][:1]).all()
    assert (drawn["none"] == drawn["none"][:1]).all()
    assert (drawn["const"] != drawn["none"]).any()
    first = drawn["random"][:, None] != drawn["random"][None]
    assert (first.any(axis=(2, 3, 4)) == ~np.eye(5, dtype=bool)).all()


def test_images_that_are_a_function_of_latents_have_no_fresh_noise(tmp_path: Path) -> None:
    model = fitted(tmp_path)
    z, labels = np.zeros((2, model.latent_size), np.float32), np.zeros(2, dtype=np.int64)
    one, other = (model.render_latents(z, labels, StageContext(seed, tmp_path)) for seed in (0, 1))
    assert np.array_equal(one, other)
    assert np.array_equal(one[0], one[1])


def test_styles_and_latents_give_the_same_images(tmp_path: Path) -> None:
    model, ctx = fitted(tmp_path), StageContext(0, tmp_path)
    labels = np.array([0, 1, 1])
    z = np.random.default_rng(0).standard_normal((3, model.latent_size)).astype(np.float32)
    styles = model.map_styles(z, labels, ctx)
    assert styles.shape == (3, model.config.w_dim)
    images = model.render_styles(styles, labels, ctx)
    assert np.array_equal(images, model.render_latents(z, labels, ctx))
    a_layer = np.repeat(styles[:, None], model.model.shape.num_ws, 1)
    assert np.array_equal(images, model.render_styles(a_layer, labels, ctx))
    with pytest.raises(DataError, match=r"latents w have shape \[3, 7, 5\]"):
        model.render_styles(np.zeros((3, 7, 5), np.float32), labels, ctx)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_projection_finds_images_of_the_generator(space: str, tmp_path: Path) -> None:
    model, ctx = (
        fitted(tmp_path, kimg=0.8, noise="const", invert_space=space, invert_steps=100),
        StageContext(1, tmp_path),
    )
    labels = np.array([0, 1, 0, 1])
    drawn = model.sample(labels, ctx)
    names = np.array(["a", "b", "c", "d"])
    images = Images(drawn, labels, names, names, ("other", "melanoma"))
    latents = model.invert(images, ctx)
    assert latents.shape == (4, model.model.shape.num_ws, model.config.w_dim)
    assert (space == "w") == bool((latents == latents[:, :1]).all())
    error = np.abs(model.render(latents, labels, ctx).astype(float) - drawn).mean()
    assert error < 0.25 * np.abs(drawn.astype(float) - np.roll(drawn, 2, axis=0)).mean()
    assert np.array_equal(latents[:2], model.invert(images.take([0, 1]), ctx))
    with pytest.raises(DataError, match="images are 32x32 pixels, the generator was fitted on 16x16"):
        model.invert(tiny_images(1, 32), ctx)


def test_projection_obeys_a_perceptual_distance(tmp_path: Path) -> None:
    model, ctx, images = fitted(tmp_path, invert_steps=30), StageContext(0, tmp_path), tiny_images(1)

    def brightness(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return 1e3 * (a.mean((1, 2, 3)) - 1.0).square()  # towards white, whatever the image

    found = [invert(model.model, images, model.config, ctx, p) for p in (None, brightness)]
    plain, pulled = (model.render(w, images.labels, ctx).mean() for w in found)
    assert pulled > plain + 20


def test_automatic_settings() -> None:
    one, eight = auto_settings(256, 1), auto_settings(1024, 8)
    assert (one.batch, one.mbstd_group, one.channel_base, one.lr, one.ema_kimg) == (16, 4, 16384, 0.0025, 5.0)
    assert one.gamma == pytest.approx(0.0002 * 256**2 / 16)
    assert (eight.batch, eight.mbstd_group, eight.channel_base, eight.lr) == (32, 4, 32768, 0.002)
    assert eight.gamma == pytest.approx(6.5536)
    assert auto_settings(32, 1).batch == 32
    assert auto_settings(32, 8).batch == 64
    assert auto_settings(1024, 1).batch == 4
    paper = StyleGAN2ADA.Config(**StyleGAN2ADA.presets["paper"]).at(256)
    for name in ("batch", "mbstd_group", "channel_base", "lr", "gamma", "ema_kimg"):
        assert getattr(paper, name) == getattr(one, name), name
    assert paper.steps * paper.batch == 20_000_000


AUTOMATIC = dict.fromkeys(("batch", "mbstd_group", "channel_base", "lr", "gamma", "ema_kimg"))


@pytest.mark.parametrize(("resolution", "gpus"), [(32, 1), (256, 1), (512, 4), (1024, 8)])
def test_what_is_none_is_the_automatic_choice(resolution: int, gpus: int) -> None:
    settled, auto = options(**AUTOMATIC, gpus=gpus).at(resolution), auto_settings(resolution, gpus)
    assert {name: getattr(settled, name) for name in AUTOMATIC} == {name: getattr(auto, name) for name in AUTOMATIC}
    small = options(**{**AUTOMATIC, "batch": 2}, gpus=gpus).at(resolution)
    assert (small.gamma, small.ema_kimg) == (0.0002 * resolution**2 / 2, 0.625), "follow the batch that is given"
    assert small.mbstd_group == max(1, min(4, 2 // gpus))


@pytest.mark.parametrize("preset", sorted(StyleGAN2ADA.presets))
def test_what_is_given_stays(preset: str) -> None:
    """Every preset trains with the numbers it always had, but for gamma and average, which were automatic before."""
    given = StyleGAN2ADA.Config(**StyleGAN2ADA.presets[preset])
    settled = given.at(64).model_dump()
    for name, value in given.model_dump().items():
        if value is not None:
            assert settled[name] == value, name
    changed = {name for name, value in given.model_dump().items() if settled[name] != value}
    assert changed == ({"gamma", "ema_kimg"} if preset in ("gpu", "paper") else set())


def test_automatic_settings_reach_fit_and_cost(tmp_path: Path) -> None:
    changes = {**AUTOMATIC, "kimg": 0.064, "channel_max": 8}
    model = fitted(tmp_path, **changes)
    auto = auto_settings(16)
    assert model.model.shape.channel_base == auto.channel_base
    assert model.model.shape.mbstd_group == auto.mbstd_group
    cost = model.cost(40, 16)
    assert (cost.steps, cost.batch) == (2, auto.batch)
    explicit = {name: getattr(auto, name) for name in AUTOMATIC}
    same = fitted(tmp_path / "explicit", **{**changes, **explicit})
    labels = np.array([0, 1, 1])
    drawn = [m.sample(labels, StageContext(0, tmp_path)) for m in (model, same)]
    np.testing.assert_array_equal(*drawn)


def test_presets_are_valid_and_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 128, "paper": 256}
    assert set(StyleGAN2ADA.presets) == set(sizes)
    costs = [StyleGAN2ADA(StyleGAN2ADA.Config(**StyleGAN2ADA.presets[p])).cost(1, s) for p, s in sizes.items()]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)


def test_cost_counts_parameters_and_work() -> None:
    paper = StyleGAN2ADA.Config(**StyleGAN2ADA.presets["paper"])
    g, d = generator_tally(paper, 256), discriminator_tally(paper, 256)
    assert g.parameters == pytest.approx(23_191_522, rel=0.01)
    assert d.parameters == pytest.approx(24_001_089, rel=0.01)


@pytest.mark.parametrize("lazy", [{}, {"r1_every": 1}, {"pl_every": 1}], ids=["plain", "R1", "path length"])
def test_stated_work_of_a_step_is_what_torch_counts(lazy: dict[str, int], tmp_path: Path) -> None:
    changes: dict[str, Any] = {"augment": (), "style_mixing": 0.0, "r1_every": 0, "pl_every": 0, **lazy}
    step = trainer(tmp_path, tiny_images(8, 32), channel_base=1024, channel_max=64, **changes)
    rng = torch.Generator().manual_seed(0)
    with OperationCounter() as counter:
        step.step(0, rng)
    one_step = step.options.model_copy(update={"kimg": step.options.batch / 1000})
    assert counter.total == pytest.approx(training_cost(one_step, 32, 1).flops, rel=0.02)


def test_cost_of_going_on_is_that_of_the_networks_there(tmp_path: Path) -> None:
    fitted(tmp_path / "work", kimg=0.008, channel_base=512, z_dim=16).save(tmp_path / "first")
    on = StyleGAN2ADA(options(init_from=str(tmp_path / "first")))
    same, other = StyleGAN2ADA(options(channel_base=512, z_dim=16)), StyleGAN2ADA(options())
    assert on.cost(1, 16) == same.cost(1, 16)
    assert on.cost(1, 16).flops > other.cost(1, 16).flops
    with pytest.raises(ConfigError, match="is no folder of a fitted stylegan2_ada"):
        StyleGAN2ADA(options(init_from=str(tmp_path))).cost(1, 16)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"chain": True}, "chain needs per_class"), ({"kimg": 0}, "kimg 0 trains nothing: give init_from")],
)
def test_options_that_contradict_each_other_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StyleGAN2ADA.Config(**changes)
