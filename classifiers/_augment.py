"""Classical augmentation of image batches on the device, drawn from the training loop's own random numbers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ZOOM = 0.15
MAX_SHIFT = 0.05


def random_flips(x_nchw: Tensor, rng: torch.Generator) -> Tensor:
    """Each image of float [n, C, H, W] under a random symmetry: 8 for squares (dihedral group), 4 for rectangles."""
    horizontal, vertical, diagonal = _coins(3, x_nchw, rng)
    x_nchw = torch.where(horizontal, x_nchw.flip(3), x_nchw)
    x_nchw = torch.where(vertical, x_nchw.flip(2), x_nchw)
    if x_nchw.shape[2] == x_nchw.shape[3]:
        x_nchw = torch.where(diagonal, x_nchw.transpose(2, 3), x_nchw)
    return x_nchw


def colour_jitter(x_nchw: Tensor, rng: torch.Generator, strength: float) -> Tensor:
    """Contrast about each image's mean, then gain of each channel and of all, each in 1 ± ``strength``; in [0, 1]."""
    n = len(x_nchw)
    factors = 1 + strength * (2 * torch.rand(n, 5, 1, 1, generator=rng) - 1)
    contrast, gain = factors[:, :1].to(x_nchw), (factors[:, 1:2] * factors[:, 2:]).to(x_nchw)
    mean = x_nchw.mean((1, 2, 3), keepdim=True)
    return ((mean + (x_nchw - mean) * contrast) * gain).clamp(0, 1)


def random_affine(x_nchw: Tensor, rng: torch.Generator) -> Tensor:
    """Rotation by any angle, zoom in 1 ± 0.15 and shift in ± 5 % of the side; borders are mirrored."""
    n, _, height, width = x_nchw.shape
    u = torch.rand(n, 4, generator=rng)
    angle, zoom = 2 * math.pi * u[:, 0], 1 + MAX_ZOOM * (2 * u[:, 1] - 1)
    shift = 2 * MAX_SHIFT * (2 * u[:, 2:] - 1)
    cos, sin, aspect = zoom * angle.cos(), zoom * angle.sin(), height / width
    rows = (torch.stack([cos, -sin * aspect, shift[:, 0]], 1), torch.stack([sin / aspect, cos, shift[:, 1]], 1))
    grid = F.affine_grid(torch.stack(rows, 1).to(x_nchw.device), [n, 3, height, width], align_corners=False)
    return F.grid_sample(x_nchw, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def augment(x_nchw: Tensor, rng: torch.Generator, *, flips: bool, colour: float, affine: bool) -> Tensor:
    """The chosen augmentations of float [n, 3, H, W] in [0, 1], in a fixed order."""
    if affine:
        x_nchw = random_affine(x_nchw, rng)
    if flips:
        x_nchw = random_flips(x_nchw, rng)
    return colour_jitter(x_nchw, rng, colour) if colour > 0 else x_nchw


def _coins(n_coins: int, x_nchw: Tensor, rng: torch.Generator) -> list[Tensor]:
    coins = torch.rand(n_coins, len(x_nchw), 1, 1, 1, generator=rng) < 0.5
    return list(coins.to(x_nchw.device))
