"""Images moved by matrices: exactly by whole pixels, or low-pass filtered in between; and colours moved by matrices.

Karras et al. 2020 (arXiv:2006.06676), appendix B. Everything is differentiable twice.
"""

from __future__ import annotations

from functools import lru_cache
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
# Its centre of mass is not the middle of its taps: positions at twice the resolution are this many pixels off.
OFF_CENTRE = (sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6) - (len(SYM6) - 1) / 2) / 2
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
    outer, inner = (side + 2 * REACH) / 2, (side + 2 * around) / 2
    turn, shift = matrices[:, :2, :2], matrices[:, :2, 2]
    shift = shift + OFF_CENTRE * (1.0 - turn.sum(2))
    theta = torch.cat([turn * (outer / inner), shift[:, :, None] / inner], 2)
    wide = 2 * (side + 2 * REACH)
    grid = F.affine_grid(theta.to(x), [len(x), x.shape[1], wide, wide], align_corners=False)
    return _both_ways(halving(side), sample_grid(_both_ways(doubling(side, around), x), grid))


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


@lru_cache(maxsize=16)
def doubling(side: int, around: int) -> Tensor:
    """float64 [2 side + 4 around, side]: a row of ``side`` pixels, mirrored by ``around`` on each side, doubled.

    Zeros between the samples, then the filter with gain sqrt 2: even and odd rows each sum to about 1.
    """
    wide, taps = side + 2 * (around + REACH), torch.tensor(SYM6, dtype=torch.float64) * 2**0.5
    mirror = torch.zeros(wide, side, dtype=torch.float64)
    mirror[torch.arange(wide), _mirrored(torch.arange(wide) - around - REACH, side)] = 1.0
    filtered = torch.zeros(2 * wide + len(SYM6) - 2, wide, dtype=torch.float64)
    for i in range(wide):
        filtered[2 * i : 2 * i + len(SYM6), i] = taps
    cut = len(SYM6) // 2 - 1 + 2 * REACH
    return filtered[cut:-cut] @ mirror


@lru_cache(maxsize=16)
def halving(side: int) -> Tensor:
    """float64 [side, 2 side + 4 REACH]: the same filter, every second sample kept; the adjoint of doubling, halved."""
    taps = torch.tensor(SYM6, dtype=torch.float64) * 0.5**0.5
    rows = torch.zeros(side, 2 * side + 4 * REACH, dtype=torch.float64)
    for i in range(side):
        rows[i, 2 * i + 1 : 2 * i + 1 + len(SYM6)] = taps
    return rows


def _both_ways(matrix: Tensor, x: Tensor) -> Tensor:
    """``matrix`` [m, n] applied to the columns and rows of ``x`` [B, C, n, n]: [B, C, m, m]."""
    matrix = matrix.to(x)
    return matrix @ (x @ matrix.t())
