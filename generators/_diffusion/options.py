"""Options that every diffusion generator here has. No torch: the command line reads them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from bench.contracts import Options

Width = Annotated[int, Field(ge=8, multiple_of=8)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Augment = Literal["dihedral", "flips", "none"]


class DiffusionOptions(Options):
    """Network, noise, training and sampling of a class-conditional diffusion model.

    steps, batch      optimiser steps and images a step
    lr, warmup        peak learning rate, reached after ``warmup`` steps, then a half cosine down to lr / 20
    weight_decay, grad_clip  of AdamW; clip of the gradient's norm
    ema               decay of the averaged weights that are sampled from
    channels          UNet width at each resolution, each a multiple of 8
    layers, attention residual blocks a level; how many of the deepest levels have self-attention
    prediction        what the UNet estimates: v (Salimans & Ho 2022), the noise epsilon, or the clean code x0
    schedule, timesteps  forward noise: cosine (Nichol & Dhariwal 2021), linear or scaled_linear (Ho et al. 2020)
    min_snr           gamma of the min-SNR loss weight (Hang et al. 2023, arXiv:2303.09556); None for none
    class_dropout     share of labels replaced by the null class in training; classifier-free guidance needs > 0
    guidance          scale s of classifier-free guidance, eps = eps_null + s (eps_class - eps_null); 1 is none
    sampler, sampling_steps  dpm++ (2M; Lu et al. 2022) or ddim (eta 0; Song et al. 2021), both deterministic
    sampling_batch    rows of every network call in sampling; short batches are padded, so that an image does
                      not depend on how many others are drawn with it
    balanced          equal class prior in training batches, whatever the class frequencies
    augment           flips and quarter turns (dermoscopy has no up), flips alone, or none
    """

    steps: PositiveInt = 900
    batch: PositiveInt = 64
    lr: PositiveFloat = 1e-3
    warmup: int = Field(50, ge=0)
    weight_decay: float = Field(0.01, ge=0.0)
    grad_clip: PositiveFloat = 1.0
    ema: Share = 0.995
    channels: tuple[Width, ...] = Field((64, 96), min_length=1)
    layers: PositiveInt = 2
    attention: int = Field(1, ge=0)
    dropout: Share = 0.0
    prediction: Literal["v", "epsilon", "x0"] = "v"
    schedule: Literal["cosine", "linear", "scaled_linear"] = "cosine"
    timesteps: int = Field(1000, ge=10)
    min_snr: PositiveFloat | None = 5.0
    class_dropout: Share = 0.1
    guidance: float = Field(1.0, ge=0.0)
    sampler: Literal["dpm++", "ddim"] = "dpm++"
    sampling_steps: PositiveInt = 15
    sampling_batch: PositiveInt = 64
    balanced: bool = True
    augment: Augment = "dihedral"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.attention > len(self.channels):
            raise ValueError(f"attention is {self.attention}, but channels has only {len(self.channels)} levels")
        if self.guidance != 1.0 and self.class_dropout == 0.0:
            raise ValueError("guidance other than 1 needs class_dropout > 0: the null class is never trained")
        if self.sampling_steps > self.timesteps:
            raise ValueError(f"sampling_steps {self.sampling_steps} is more than timesteps {self.timesteps}")
        if self.prediction == "epsilon" and self.schedule == "cosine":
            raise ValueError(
                "epsilon prediction cannot tell the clean code where the cosine schedule leaves no signal: "
                "use prediction v or x0, or schedule linear"
            )
        return self

    @property
    def stride(self) -> int:
        """Factor by which the UNet's deepest level is smaller than the code."""
        return int(2 ** (len(self.channels) - 1))


def learning_rate_factor(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up to 1, then a half cosine to 0.05; ``step`` counts from 0."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * progress))
