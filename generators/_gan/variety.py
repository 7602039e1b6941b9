"""What lets a critic see that images are too alike: the standard deviation over a group of them."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-8


def group_size(n: int, largest: int) -> int:
    """The largest size up to ``largest`` of groups into which ``n`` images go without rest."""
    return next(size for size in range(min(largest, n), 0, -1) if n % size == 0)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """``x`` [B, C, H, W] with a map more: the mean standard deviation over groups of images.

    Karras et al. (2018, arXiv:1710.10196), section 3. Image i is in group i mod (B / size), with the largest size up to
    ``group`` that divides B.
    """
    n = len(x)
    size = group_size(n, group)
    y = (x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).reshape(size, n // size, -1)
    deviation = ((y - y.mean(0)).square().mean(0) + EPS).sqrt().mean(1)
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel.to(x.dtype)], 1)
