"""Options of what a fitted diffusion model can do beside drawing images. No torch: the command line reads them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bench.contracts import Options


class AbilityOptions(Options):
    """Guiding, inversion, losses, fine-tuning and new class embeddings.

    guide_gradient    the score's gradient taken at the denoised image, the denoiser's own Jacobian replaced by that of
                      white codes (denoised); or taken through the denoiser (network), at about twice the cost
    inversion_steps, inversion_iterations  DDIM steps between image and latent; fixed-point iterations of each step
    loss_timesteps    noise times over which the loss of an image is averaged
    finetune_steps, finetune_lr  optimiser steps of ``finetune`` and their peak learning rate
    finetune_mode     all weights of the UNet (full), or low-rank updates that are merged afterwards (lora)
    lora_rank         rank of the updates (Hu et al. 2022, arXiv:2106.09685)
    finetune_replay   share of a batch that is drawn from the replayed images, at least half
    token_steps, token_lr  optimiser steps of ``learn_token`` and their peak learning rate
    """

    guide_gradient: Literal["denoised", "network"] = "denoised"
    inversion_steps: PositiveInt = 25
    inversion_iterations: PositiveInt = 3
    loss_timesteps: PositiveInt = 16
    finetune_steps: PositiveInt = 100
    finetune_lr: PositiveFloat = 3e-4
    finetune_mode: Literal["full", "lora"] = "full"
    lora_rank: PositiveInt = 8
    finetune_replay: float = Field(0.5, ge=0.5, lt=1.0)
    token_steps: PositiveInt = 100
    token_lr: PositiveFloat = 1e-2
