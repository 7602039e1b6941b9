"""Running times beside diffusers' own pipeline and a plain training loop, in the same process, in turns.

Three claims about drawing images, since one alone would mislead: the same network at equal steps costs what it costs
anywhere; unshuffled pixels make the network cheaper; and few steps of a solver stand in for a thousand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor

from bench.context import StageContext
from bench.testing import tiny_images
from generators._diffusion.codecs import PixelCodec
from generators._diffusion.model import DiffusionModel
from generators._diffusion.networks import build_unet
from generators._diffusion.training import train_denoiser
from generators.ddpm import DDPM

pytestmark = pytest.mark.speed
SIZE, IMAGES, STEPS = 32, 64, 15
OPTIONS: Any = DDPM.Config(bands=False, dropout=0.0, guidance=1.0, sampling_steps=15, sampling_levels=None)
CODE = (48, 8, 8)


def in_turns(first: Callable[[], Any], second: Callable[[], Any], rounds: int = 5) -> tuple[float, float]:
    """Least seconds of either, measured in turns after one call each, so that a busy machine slows both."""
    best = [float("inf"), float("inf")]
    for i in range(rounds + 1):
        for k, call in enumerate((first, second)):
            start = time.perf_counter()
            call()
            if i:
                best[k] = min(best[k], time.perf_counter() - start)
    return best[0], best[1]


def ours(ctx: StageContext) -> Callable[[], Any]:
    """The drawing of 64 images by an untrained model at the ``cpu`` preset on plain pixels."""
    torch.manual_seed(0)
    codec = PixelCodec(torch.zeros(3), torch.ones(3), OPTIONS.patch, OPTIONS.stride)
    model = DiffusionModel(OPTIONS, codec, build_unet(OPTIONS, CODE, 2), (SIZE, SIZE), 2)
    labels = np.arange(IMAGES, dtype=np.int64) % 2
    return lambda: model.sample(labels, ctx)


def pipeline(unet: Any) -> DDPMPipeline:
    found = DDPMPipeline(unet, DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"))
    found.set_progress_bar_config(disable=True)
    return found


def plain_unet(channels: int, side: int, **more: Any) -> Any:
    """UNet2DModel with the widths and attention of ours, as it is without class embedding."""
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=OPTIONS.channels,
        layers_per_block=OPTIONS.layers,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=8,
        **more,
    )


def drawing(unet: Any, steps: int, n: int = IMAGES) -> Callable[[], Any]:
    pipe = pipeline(unet)
    return lambda: pipe(batch_size=n, num_inference_steps=steps, output_type="np", generator=torch.Generator())


def test_the_same_network_draws_as_fast_as_in_the_pipeline(tmp_path: Path) -> None:
    own, theirs = in_turns(ours(StageContext(0, tmp_path)), drawing(plain_unet(48, 8), STEPS))
    print(f"same network, {STEPS} steps: {IMAGES / own:.0f} against {IMAGES / theirs:.0f} images/s")
    assert theirs / own > 0.9


def test_at_equal_steps_and_widths_it_draws_twice_as_fast_as_the_pipeline_on_pixels(tmp_path: Path) -> None:
    own, theirs = in_turns(ours(StageContext(0, tmp_path)), drawing(plain_unet(3, SIZE), STEPS), rounds=1)
    print(f"equal widths, {STEPS} steps: {IMAGES / own:.0f} against {IMAGES / theirs:.0f} images/s")
    assert theirs / own > 2


def test_with_few_steps_it_draws_five_times_as_fast_as_the_pipeline_of_the_same_network(tmp_path: Path) -> None:
    """The pipeline's own 1000 steps, of which 100 are timed."""
    own, part = in_turns(ours(StageContext(0, tmp_path)), drawing(plain_unet(48, 8), 100), rounds=1)
    print(f"{STEPS} steps against 1000: {IMAGES / own:.0f} against {IMAGES / part / 10:.1f} images/s")
    assert 10 * part / own > 5


def test_training_keeps_up_with_a_plain_loop(tmp_path: Path) -> None:
    """Augmentation, stratified times, loss weights, label dropping and balanced batches cost at most 3 %."""
    steps, train = 15, tiny_images(200, SIZE)
    options = OPTIONS.model_copy(update={"steps": steps})
    codec = PixelCodec(torch.zeros(3), torch.ones(3), OPTIONS.patch, OPTIONS.stride)
    unet = plain_unet(48, 8, num_class_embeds=3)
    loop = plain_loop(unet, torch.from_numpy(np.asarray(train.pixels)), torch.from_numpy(train.labels), steps)
    places = iter(range(100))
    own, theirs = in_turns(
        lambda: train_denoiser(options, train, codec, StageContext(0, tmp_path / str(next(places)))), loop, rounds=4
    )
    rate, other = (OPTIONS.batch * steps / seconds for seconds in (own, theirs))
    print(f"training: {rate:.0f} against {other:.0f} images/s ({theirs / own:.3f} times)")
    assert theirs / own > 0.97


def plain_loop(unet: Any, pixels: Tensor, labels: Tensor, steps: int) -> Callable[[], None]:
    """The training loop of diffusers' examples: AdamW, clipping, EMA, the mean squared error of v."""
    scheduler: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")

    def run() -> None:
        torch.manual_seed(0)
        optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        ema = EMAModel(unet.parameters(), decay=0.995)
        unet.train()
        for _ in range(steps):
            rows = torch.randint(len(pixels), (OPTIONS.batch,))
            z = F.pixel_unshuffle(pixels[rows].permute(0, 3, 1, 2).float() / 127.5 - 1.0, OPTIONS.patch)
            noise, t = torch.randn_like(z), torch.randint(1000, (OPTIONS.batch,))
            predicted = unet(scheduler.add_noise(z, noise, t), t, class_labels=labels[rows]).sample
            loss = F.mse_loss(predicted, scheduler.get_velocity(z, noise, t))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            ema.step(unet.parameters())

    return run
