"""Symmetries of dermoscopy: a lesion has no up and no handedness."""

from __future__ import annotations

import torch
from torch import Tensor

from generators._diffusion.options import Augment


def random_symmetry(x: Tensor, kind: Augment, rng: torch.Generator) -> Tensor:
    """Each image of ``x`` [B, C, H, W] under a random element of the symmetry group.

    "dihedral" draws from all 8 flips and quarter turns (only the 4 that keep H and W where H != W), "flips" from 4.
    """
    if kind == "none":
        return x
    coins = (torch.rand(3, len(x), 1, 1, 1, generator=rng) < 0.5).to(x.device)
    x = torch.where(coins[0], x.flip(3), x)
    x = torch.where(coins[1], x.flip(2), x)
    if kind == "dihedral" and x.shape[2] == x.shape[3]:
        x = torch.where(coins[2], x.transpose(2, 3), x)
    return x
