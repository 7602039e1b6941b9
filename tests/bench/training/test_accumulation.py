"""Batches in parts: the update of the whole batch, whatever the size of the parts and however it came about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, StageError
from bench.loop import seed_all, train_loop
from bench.testing import tiny_images
from bench.training import processes
from bench.training.accumulation import MicroBatches, out_of_memory
from bench.training.settings import settings
from generators.ddpm import DDPM
from generators.ldm import LatentDiffusion
from generators.pix2pixhd.training import Trainer
from generators.stylegan2_ada.layers import SynthesisLayer
from generators.stylegan2_ada.networks import Discriminator


class Job:
    """A convolutional regression with group norm in float64, trained in parts of ``micro``."""

    def __init__(self, micro: int | None, fits: int | None = None, kind: type[Exception] | None = None) -> None:
        seed_all(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 3, 3)
        ).double()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=1e-2)
        self.told: list[str] = []
        self.micro = MicroBatches(self.net.parameters(), 12, micro, self.told.append)
        self.fits, self.kind, self.losses = fits, kind, list[float]()

    def step(self, i: int, rng: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(12, 3, 8, 8, generator=rng, dtype=torch.float64)
        noise = torch.randn(12, 3, 6, 6, dtype=torch.float64)

        def loss_of(rows: slice) -> Tensor:
            made = self.net(x[rows])
            loss: Tensor = (made - x[rows, :, 1:-1, 1:-1] - noise[rows]).square().mean()
            if self.fits is not None and i >= 3 and len(made) > self.fits:
                loss.backward()  # memory ends late: gradients of this part are there already
                raise (self.kind or torch.OutOfMemoryError)("DefaultCPUAllocator: can't allocate memory")
            return loss

        self.optimiser.zero_grad()
        loss = self.micro.backward(loss_of)
        self.optimiser.step()
        self.losses.append(float(loss))
        return {"loss": loss}

    def run(self, folder: Path) -> Tensor:
        seed_all(1)
        train_loop(StageContext(4, folder), 10, {"net": self.net}, self.step)
        return torch.cat([p.detach().flatten() for p in self.net.parameters()])


@pytest.mark.parametrize("micro", [1, 5, 6])
def test_parts_give_the_update_of_the_whole_batch(micro: int, tmp_path: Path) -> None:
    whole, parts = Job(None), Job(micro)
    difference = (whole.run(tmp_path / "a") - parts.run(tmp_path / "b")).abs().max()
    assert difference < 1e-12
    assert parts.losses == pytest.approx(whole.losses, rel=1e-13)


def test_the_whole_batch_is_what_a_plain_backward_gives_to_the_bit() -> None:
    job = Job(None)
    x = torch.randn(12, 3, 8, 8, dtype=torch.float64)
    job.micro.backward(lambda rows: job.net(x[rows]).square().mean())
    by_helper = [p.grad.clone() for p in job.net.parameters() if p.grad is not None]
    job.optimiser.zero_grad()
    job.net(x).square().mean().backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(by_helper, job.net.parameters(), strict=True))


@pytest.mark.parametrize(("micro", "parts"), [(None, [16]), (11, [8, 8]), (3, [4] * 4), (12, [12, 4])])
def test_groups_of_a_batch_stay_together(micro: int | None, parts: list[int]) -> None:
    """The discriminator's standard deviation over groups is that of the whole batch, and so is its gradient."""
    seed_all(0)
    net = Discriminator(0, 8, 64, 8).double()
    net.b4.mbstd.group = 4
    x = torch.randn(16, 3, 8, 8, dtype=torch.float64)
    net(x).square().mean().backward()
    expected = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    seen: list[int] = []

    def losses(rows: Any) -> dict[str, Tensor]:
        logits = net(x[rows])
        seen.append(len(logits))
        return {"loss": logits.square().mean(), "logits": logits.mean(0)}

    told = MicroBatches(net.parameters(), 16, micro, group=4).told(losses)
    assert seen == parts
    for grad, p in zip(expected, net.parameters(), strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(told["logits"], net(x).mean(0).detach(), rtol=1e-12, atol=0)
    torn = MicroBatches(net.parameters(), 16, 8).told(losses)
    assert not torch.allclose(torn["logits"], told["logits"], rtol=1e-6, atol=0)


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with processes.together():
        assert MicroBatches([], 8, group=2).micro == 2
        with pytest.raises(StageError, match="a batch of 8 is too small for 3 processes: 4 rows each at least"):
            MicroBatches([], 8, group=4)
    assert MicroBatches([], 8, group=4).whole


def test_a_batch_without_whole_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 6 has no whole groups of 4"):
        MicroBatches([], 6, group=4)


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError])
def test_where_memory_ends_parts_are_halved_and_the_run_stays_the_same(kind: type[Exception], tmp_path: Path) -> None:
    whole, scarce = Job(None), Job(None, fits=4, kind=kind)
    assert (whole.run(tmp_path / "a") - scarce.run(tmp_path / "b")).abs().max() < 1e-12
    assert scarce.micro.micro == 3
    assert [text.split(":")[0] for text in scarce.told] == ["out of memory"] * 2
    assert "batches of 12 now in parts of 3" in scarce.told[-1]


def test_dropout_draws_the_same_again_after_a_halving() -> None:
    seed_all(0)
    net, x = nn.Dropout(0.5), torch.ones(8, 100)
    seen: list[Tensor] = []

    def loss_of(rows: slice) -> Tensor:
        if rows.stop - rows.start > 4:
            net(x[rows])
            raise torch.OutOfMemoryError("out of memory")
        seen.append(net(x[rows]))
        return seen[-1].mean().requires_grad_()

    MicroBatches([], 8).backward(loss_of)
    seed_all(0)
    assert torch.equal(torch.cat(seen), torch.cat([net(x[:4]), net(x[4:])]))


def test_a_single_row_that_does_not_fit_and_other_errors_end_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="out of memory with one image of the batch of 12 at a time"):
        Job(None, fits=0).run(tmp_path)

    def broken(rows: slice) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        MicroBatches([], 4).backward(broken)


def test_the_processor_s_own_words_for_too_little_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert out_of_memory(caught.value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_MICRO_BATCH", "5")
    assert settings().micro_batch == 5
    assert MicroBatches([], 12).micro == 5
    monkeypatch.setenv("BENCH_MICRO_BATCH", "-1")
    with pytest.raises(ConfigError, match="BENCH_MICRO_BATCH='-1'"):
        settings()


def test_ddpm_trains_the_same_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**DDPM.presets["smoke"], "steps": 8, "batch": 8}

    def history(name: str) -> list[float]:
        ctx = StageContext(0, tmp_path / name)
        DDPM(DDPM.Config(**options)).fit(tiny_images(6), ctx)
        return [row["loss"] for row in ctx.history]

    whole = history("whole")
    monkeypatch.setenv("BENCH_MICRO_BATCH", "3")
    parts = history("parts")
    assert parts == pytest.approx(whole, rel=2e-4)
    assert parts != whole


def test_latent_diffusion_trains_the_same_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both networks: the loss and what it is made of, noise of the latents included."""
    options = {**LatentDiffusion.presets["smoke"], "steps": 4, "batch": 8, "ae_steps": 6, "ae_batch": 8}

    def history(name: str) -> list[dict[str, float]]:
        ctx = StageContext(0, tmp_path / name)
        LatentDiffusion(LatentDiffusion.Config(**options)).fit(tiny_images(6), ctx)
        return ctx.history

    whole = history("whole")
    monkeypatch.setenv("BENCH_MICRO_BATCH", "3")
    parts = history("parts")
    assert {"l1", "kl", "loss"} <= set(whole[0])
    for key in ("loss", "l1", "kl"):
        of_whole, of_parts = ([row[key] for row in rows if key in row] for rows in (whole, parts))
        assert of_parts == pytest.approx(of_whole, rel=2e-3), key
    assert parts != whole


def with_masks(n: int) -> Images:
    """``n`` images of each class, with masks of rectangles."""
    images = tiny_images(n, 32)
    masks = np.zeros((len(images), 32, 32, 1), dtype=np.uint8)
    for i in range(len(images)):
        masks[i, 8 - i % 4 : 20 + i % 5, 9:25] = 255
    return replace(images, masks=masks)


ADVERSARIAL: list[tuple[str, dict[str, Any]]] = [
    ("stylegan2_ada", {"kimg": 0.08, "batch": 16, "ada_p": 0.4, "style_mixing": 0.9, "pl_every": 2}),
    ("stylegan2_ada", {"kimg": 0.08, "batch": 16, "per_class": True, "r1_every": 2}),
    ("pix2pixhd", {"steps": 8, "batch": 8}),
    ("pix2pixhd", {"steps": 8, "batch": 8, "enhancer": True, "label": True, "styles": 2}),
    ("pggan", {"fade": 1, "stable": 1, "final": 1, "batch": 16, "group": 4}),
]


@pytest.mark.parametrize(("name", "options"), ADVERSARIAL)
def test_adversarial_networks_train_the_same_in_parts(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = registry.load("generator", name)
    config = registry.effective_config("generator", name, cls, "smoke", options)
    monkeypatch.setattr(SynthesisLayer, "_noise", lambda layer, x, mode: layer.noise_const)  # else each part draws

    def history(folder: str) -> list[dict[str, float]]:
        ctx = StageContext(0, tmp_path / folder)
        cls(config).fit(with_masks(12), ctx)
        return ctx.history

    whole = history("whole")
    monkeypatch.setenv("BENCH_MICRO_BATCH", "5")
    parts = history("parts")
    assert len(whole) >= 4
    for one, other in zip(whole, parts, strict=True):
        print({key: other[key] - one[key] for key in one})
        assert other == pytest.approx(one, rel=2e-3, abs=2e-3)
    assert parts != whole


@pytest.mark.parametrize("which", ["_judge", "_please"])
def test_pix2pixhd_backs_off_and_says_so(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the step of its discriminators, before anything is painted for the generator; and in that one's own."""
    cls = registry.load("generator", "pix2pixhd")
    config = registry.effective_config("generator", "pix2pixhd", cls, "smoke", {"steps": 4, "batch": 8})

    def fitted(folder: str) -> StageContext:
        ctx = StageContext(0, tmp_path / folder)
        cls(config).fit(with_masks(8), ctx)
        return ctx

    whole, of = fitted("whole"), getattr(Trainer, which)

    def scarce(self: Trainer, scene: Any, rows: Any, made: list[Tensor]) -> dict[str, Tensor]:
        told: dict[str, Tensor] = of(self, scene, rows, made)
        if len(scene.real[rows]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return told

    monkeypatch.setattr(Trainer, which, scarce)
    ctx = fitted("scarce")
    assert [note.split(": ")[-1] for note in ctx.notes] == ["batches of 8 now in parts of 4; the update stays the same"]
    for one, other in zip(whole.history, ctx.history, strict=True):
        assert other == pytest.approx(one, rel=5e-3)


@pytest.mark.parametrize("mode", ["full", "lora", "token"])
def test_finetuning_learns_the_same_in_parts(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tiny_images(6)
    changes: dict[str, Any] = {"steps": 2, "batch": 8, "finetune_steps": 4, "token_steps": 4}
    if mode != "token":
        changes["finetune_mode"] = mode
    model = DDPM(DDPM.Config(**{**DDPM.presets["smoke"], **changes}))
    model.fit(images, StageContext(0, tmp_path))
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")

    def history(name: str) -> list[float]:
        ctx, again = StageContext(1, tmp_path / name), DDPM.load(tmp_path / "model", model.config)
        again.learn_token(images, ctx) if mode == "token" else again.finetune(images, images, ctx)
        return [row["loss"] for row in ctx.history]

    whole = history("whole")
    monkeypatch.setenv("BENCH_MICRO_BATCH", "3")
    parts = history("parts")
    assert len(whole) == 4
    assert parts == pytest.approx(whole, rel=2e-4)
    assert parts != whole


def test_ddpm_backs_off_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generators._diffusion.training import DenoisingLoss

    of: Callable[..., Tensor] = DenoisingLoss.of

    def scarce(self: DenoisingLoss, unet: nn.Module, batch: tuple[Tensor, ...], rows: slice) -> Tensor:
        if rows.stop - rows.start > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return of(self, unet, batch, rows)

    monkeypatch.setattr(DenoisingLoss, "of", scarce)
    ctx = StageContext(0, tmp_path)
    DDPM(DDPM.Config(**{**DDPM.presets["smoke"], "steps": 2})).fit(tiny_images(6), ctx)
    assert ctx.notes[-1].endswith("batches of 16 now in parts of 4; the update stays the same")
