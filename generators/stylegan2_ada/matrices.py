"""Homogeneous matrices of augmentations, one an image: 3x3 for positions, 4x4 for colours. Inputs are [B] tensors."""

from __future__ import annotations

import torch
from torch import Tensor

GREY_AXIS = (3**-0.5, 3**-0.5, 3**-0.5)


def identity(n: int, size: int) -> Tensor:
    """[n, size, size]."""
    return torch.eye(size).repeat(n, 1, 1)


def translation2d(x: Tensor, y: Tensor) -> Tensor:
    """(u, v) -> (u + x, v + y), [B, 3, 3]."""
    m = identity(len(x), 3).to(x)
    m[:, 0, 2], m[:, 1, 2] = x, y
    return m


def scaling2d(x: Tensor, y: Tensor) -> Tensor:
    """(u, v) -> (x u, y v), [B, 3, 3]."""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], 1))


def rotation2d(angle: Tensor) -> Tensor:
    """By ``angle`` in radians from the first axis to the second, [B, 3, 3]."""
    m = identity(len(angle), 3).to(angle)
    cos, sin = angle.cos(), angle.sin()
    m[:, 0, 0], m[:, 0, 1], m[:, 1, 0], m[:, 1, 1] = cos, -sin, sin, cos
    return m


def brightness(amount: Tensor) -> Tensor:
    """Adds ``amount`` to each colour, [B, 4, 4]."""
    m = identity(len(amount), 4).to(amount)
    m[:, :3, 3] = amount[:, None]
    return m


def contrast(factor: Tensor) -> Tensor:
    """Multiplies each colour by ``factor``, [B, 4, 4]."""
    return torch.diag_embed(torch.stack([factor, factor, factor, torch.ones_like(factor)], 1))


def luma_flip(on: Tensor) -> Tensor:
    """Reflection of the grey axis where ``on`` is 1, and nothing where it is 0 (Householder), [B, 4, 4]."""
    return _along_grey(1.0 - 2.0 * on, torch.ones_like(on))


def hue(angle: Tensor) -> Tensor:
    """Rotation about the grey axis by ``angle`` in radians (Rodrigues' formula), [B, 4, 4]."""
    x, y, z = GREY_AXIS
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=angle.dtype, device=angle.device)
    m = _along_grey(torch.ones_like(angle), angle.cos())
    m[:, :3, :3] += angle.sin()[:, None, None] * cross
    return m


def saturation(factor: Tensor) -> Tensor:
    """Multiplies the distance from the grey axis by ``factor``, [B, 4, 4]."""
    return _along_grey(torch.ones_like(factor), factor)


def _along_grey(along: Tensor, across: Tensor) -> Tensor:
    """``along`` times the part of a colour on the grey axis plus ``across`` times the rest, [B, 4, 4]."""
    v = torch.tensor(GREY_AXIS, dtype=along.dtype, device=along.device)
    grey, rest = torch.outer(v, v), torch.eye(3).to(along) - torch.outer(v, v)
    m = identity(len(along), 4).to(along)
    m[:, :3, :3] = along[:, None, None] * grey + across[:, None, None] * rest
    return m
