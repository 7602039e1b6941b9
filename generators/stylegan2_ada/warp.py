"""Images moved by matrices: exactly by whole pixels, or low-pass filtered in between; and colours moved by matrices.

Karras et al. 2020 (arXiv:2006.06676), appendix B. Everything is differentiable twice.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Low-pass filter of the orthogonal wavelet sym6 (Daubechies 1992, table 8.1 continued): sum sqrt 2, norm 1.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
REACH = len(SYM6) // 4  # how many pixels the filter, at twice the resolution, reads beyond one
BILINEAR, REFLECTION = 0, 2


def blit(x: Tensor, matrices: Tensor) -> Tensor:
    """Each image of ``x`` [B, C, R, R] with its pixels moved by a matrix [B, 3, 3] that maps pixels onto pixels.

    A matrix takes the place of an output pixel (column, row), from the centre, to that of the input pixel it shows.
    What lies outside is mirrored at the border.
    """
    side, middle = x.shape[-1], (x.shape[-1] - 1) / 2
    along = torch.arange(side, device=x.device) - middle
    places = torch.stack([along.repeat(side), along.repeat_interleave(side), torch.ones_like(along).repeat(side)])
    found = (matrices[:, :2].to(places) @ places + middle).round().long()
    column, row = _mirrored(found, side).unbind(1)
    index = (row * side + column)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).view_as(x)


def warp(x: Tensor, matrices: Tensor) -> Tensor:
    """Each image of ``x`` [B, C, R, R] under a matrix [B, 3, 3] from output to input positions, centred, in pixels.

    Doubled with a wavelet's low-pass filter, sampled bilinearly, halved with the same filter: the identity changes
    nothing, and little aliases. Images go on in their mirror image outside.
    """
    side, around = x.shape[-1], x.shape[-1] // 2
    fine = _doubled(F.pad(x, (around + REACH,) * 4, mode="reflect"))[
        ..., 2 * REACH : -2 * REACH, 2 * REACH : -2 * REACH
    ]
    outer, inner = (side + 2 * REACH) / 2, (side + 2 * around) / 2
    theta = matrices[:, :2].clone()
    theta[:, :, :2] *= outer / inner
    theta[:, :, 2] /= inner
    wide = 2 * (side + 2 * REACH)
    grid = F.affine_grid(theta.to(x), [len(x), x.shape[1], wide, wide], align_corners=False)
    return _halved(sample_grid(fine, grid)[..., 1:-1, 1:-1])


def recolour(x: Tensor, matrices: Tensor) -> Tensor:
    """Each pixel (r, g, b, 1) of ``x`` [B, 3, H, W] times its image's matrix [B, 4, 4]."""
    matrices = matrices.to(x)
    return (matrices[:, :3, :3] @ x.flatten(2) + matrices[:, :3, 3:]).view_as(x)


def sample_grid(x: Tensor, grid: Tensor) -> Tensor:
    """Bilinear ``grid_sample`` with reflection that can be differentiated any number of times in ``x``.

    torch has no second derivative of its own. But sampling is linear in ``x``, so that the derivative of its adjoint is
    sampling again. ``grid`` gets no gradient.
    """
    return _Sample.apply(x, grid)  # type: ignore[no-any-return]


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = x.shape
        return F.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, y: Tensor) -> tuple[Tensor, None]:
        return _SampleAdjoint.apply(y, ctx.saved_tensors[0], ctx.shape), None


class _SampleAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        like = y.new_zeros(()).expand(shape)
        mask = (True, False)
        return torch.ops.aten.grid_sampler_2d_backward(y, like, grid, BILINEAR, REFLECTION, False, mask)[0]

    @staticmethod
    def backward(ctx: Any, x: Tensor) -> tuple[Tensor, None, None]:
        return _Sample.apply(x, ctx.saved_tensors[0]), None, None


def _mirrored(index: Tensor, n: int) -> Tensor:
    """Whole positions reflected into 0..n-1 about the outermost pixels."""
    period = 2 * (n - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def _filters(x: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    taps = (torch.tensor(SYM6, dtype=torch.float64) * gain).to(x)
    column = taps.view(1, 1, -1, 1).expand(x.shape[1], 1, -1, 1)
    return column, column.transpose(2, 3)


def _doubled(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W], zeros beyond the border."""
    column, row = _filters(x, 2**0.5)
    pad, n = (len(SYM6) - 2) // 2, x.shape[1]
    x = F.conv_transpose2d(x, column, stride=(2, 1), padding=(pad, 0), groups=n)
    return F.conv_transpose2d(x, row, stride=(1, 2), padding=(0, pad), groups=n)


def _halved(x: Tensor) -> Tensor:
    """The adjoint of :func:`_doubled` up to a factor and the border: [B, C, 2H + 10, 2W + 10] -> [B, C, H, W]."""
    column, row = _filters(x, 0.5**0.5)
    return F.conv2d(F.conv2d(x, row, stride=(1, 2), groups=x.shape[1]), column, stride=(2, 1), groups=x.shape[1])
