"""Options that every diffusion generator here has. No torch: the command line reads them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from generators._diffusion.ability_options import AbilityOptions

Width = Annotated[int, Field(ge=8, multiple_of=8)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Augment = Literal["dihedral", "flips", "none"]


class DiffusionOptions(AbilityOptions):
    """Network, noise, training and sampling of a class-conditional diffusion model.

    steps, batch      optimiser steps and images a step
    lr, warmup        peak learning rate, reached after ``warmup`` steps, then a half cosine down to lr / 20
    weight_decay, grad_clip  of AdamW; clip of the gradient's norm
    ema               decay of the averaged weights that are sampled from
    ema_width         in its place, the relative width sigma_rel of a power-function average (Karras et al. 2024,
                      arXiv:2312.02696: 0.05 to 0.15), whose profile stretches with training; None for none
    channels          UNet width at each resolution, each a multiple of 8
    layers, attention residual blocks a level; how many of the deepest levels have self-attention
    prediction        what the UNet estimates: v (Salimans & Ho 2022), the noise epsilon, or the clean code x0
    schedule, timesteps  forward noise: cosine (Nichol & Dhariwal 2021), linear or scaled_linear (Ho et al. 2020),
                      sigmoid (Jabri et al. 2022, arXiv:2212.11972)
    zero_terminal_snr the schedule shifted so that the last step is pure noise (Lin et al. 2023, arXiv:2305.08891)
    min_snr           gamma of the min-SNR loss weight (Hang et al. 2023, arXiv:2303.09556); None for none
    unet              a trained UNet2DModel to begin with: folder or hub id (safetensors); its own widths count then,
                      and class embeddings start anew. Give the schedule and prediction it was trained with
    unet_revision, unet_download  of a hub id; a download needs the full commit
    class_dropout     share of labels replaced by the null class in training; classifier-free guidance needs > 0
    guidance          scale s of classifier-free guidance, eps = eps_null + s (eps_class - eps_null); 1 is none
    guidance_interval  noise levels sigma_t / alpha_t, (low, high], to which that is confined (Kynkäänniemi et al. 2024,
                      arXiv:2404.07724), other steps cost half; None for all
    sampler, sampling_steps  dpm++ (2M; Lu et al. 2022), ddim (eta 0; Song et al. 2021) or heun (Karras et al. 2022,
                      algorithm 1, two network calls a step); all are deterministic
    sampling_levels   noise levels sigma_t / alpha_t of these steps on the way from pure noise: largest, smallest, and
                      the exponent rho of their spacing (Karras et al. 2022, eq. 5); None for even times
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
    ema_width: float | None = Field(None, ge=0.01, le=0.25)
    channels: tuple[Width, ...] = Field((64, 96), min_length=1)
    layers: PositiveInt = 2
    attention: int = Field(1, ge=0)
    dropout: Share = 0.0
    prediction: Literal["v", "epsilon", "x0"] = "v"
    schedule: Literal["cosine", "linear", "scaled_linear", "sigmoid"] = "cosine"
    zero_terminal_snr: bool = False
    timesteps: int = Field(1000, ge=10)
    min_snr: PositiveFloat | None = 5.0
    unet: str | None = None
    unet_revision: str | None = None
    unet_download: bool = False
    class_dropout: Share = 0.1
    guidance: float = Field(1.75, ge=0.0)
    guidance_interval: tuple[float, float] | None = None
    sampler: Literal["dpm++", "ddim", "heun"] = "dpm++"
    sampling_steps: PositiveInt = 10
    sampling_levels: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = (40.0, 0.2, 3.0)
    sampling_batch: PositiveInt = 64
    balanced: bool = True
    augment: Augment = "dihedral"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.attention > len(self.channels):
            raise ValueError(f"attention is {self.attention}, but channels has only {len(self.channels)} levels")
        if self.guidance != 1.0 and self.class_dropout == 0.0:
            raise ValueError(
                "guidance other than 1 needs class_dropout > 0, or the null class is never trained: set guidance to 1"
            )
        if self.sampling_levels is not None and self.sampling_levels[0] <= self.sampling_levels[1]:
            raise ValueError(f"sampling_levels must fall from the first to the second, got {self.sampling_levels}")
        if self.sampling_steps > self.timesteps:
            raise ValueError(f"sampling_steps {self.sampling_steps} is more than timesteps {self.timesteps}")
        if self.prediction == "epsilon" and (self.schedule in ("cosine", "sigmoid") or self.zero_terminal_snr):
            why = "zero_terminal_snr" if self.zero_terminal_snr else f"the {self.schedule} schedule"
            raise ValueError(
                f"epsilon prediction cannot tell the clean code where {why} leaves no signal: "
                f"use prediction v or x0, or schedule linear"
            )
        if self.guidance_interval is not None and not 0.0 <= self.guidance_interval[0] < self.guidance_interval[1]:
            raise ValueError(f"guidance_interval must be 0 <= low < high, got {self.guidance_interval}")
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
