"""Semantic maps: what the networks see of a mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

OWN_CHANNELS = 3  # skin, lesion, border ring


def map_channels(mask_channels: int, boundaries: bool) -> int:
    """Channels of :func:`semantic_map` for masks of ``mask_channels``."""
    return OWN_CHANNELS + mask_channels - 1 + boundaries


def ring_radius(size: tuple[int, int], share: float) -> int:
    """Pixels that the border ring reaches to each side of the outline, at least 1."""
    return max(1, round(share * min(size)))


def semantic_map(masks: Tensor, ids: Tensor | None, radius: int) -> Tensor:
    """Map float32 [B, C', H, W] of 0 and 1: skin, lesion, border ring, the other masks, instance boundaries.

    ``masks`` uint8 [B, C, H, W], inside where > 127, channel 0 the lesion (Bissoto et al. 2018, arXiv:1902.03253, use
    the five dermoscopic attributes beside it); ``ids`` int [B, 1, H, W] superpixels or None; ``radius`` in pixels.
    Channels overlap: the ring lies on both sides of the outline.
    """
    inside = (masks > 127).float()
    lesion = inside[:, :1]
    channels = [1.0 - lesion, lesion, border_ring(lesion, radius), inside[:, 1:]]
    if ids is not None:
        channels.append(boundaries(ids * 2 + lesion.to(ids.dtype)))
    return torch.cat(channels, dim=1)


def regions(semantic: Tensor) -> Tensor:
    """Disjoint regions float32 [B, 3, H, W] of a semantic map: skin without the ring, ring, lesion without the ring."""
    skin, lesion, ring = semantic[:, :1], semantic[:, 1:2], semantic[:, 2:3]
    return torch.cat([skin * (1.0 - ring), ring, lesion * (1.0 - ring)], dim=1)


def border_ring(lesion: Tensor, radius: int) -> Tensor:
    """Dilation minus erosion of ``lesion`` [B, 1, H, W] by a square 2 ``radius`` + 1 wide; none at the image edge."""
    side = 2 * radius + 1
    dilated = F.max_pool2d(lesion, side, stride=1, padding=radius)
    eroded = 1.0 - F.max_pool2d(1.0 - lesion, side, stride=1, padding=radius)
    return dilated - eroded


def boundaries(ids: Tensor) -> Tensor:
    """Instance boundaries float32 [B, 1, H, W]: 1 where an id differs from one of its four neighbours (section 3.3)."""
    edge = torch.zeros_like(ids, dtype=torch.bool)
    across, down = ids[..., 1:] != ids[..., :-1], ids[..., 1:, :] != ids[..., :-1, :]
    edge[..., 1:] |= across
    edge[..., :-1] |= across
    edge[..., 1:, :] |= down
    edge[..., :-1, :] |= down
    return edge.float()


def placed_styles(styles: Tensor, where: Tensor) -> Tensor:
    """Each region's styles at its pixels: [B, S, H, W] of ``styles`` [B, R * S] and ``where`` [B, R, H, W]."""
    by_region = styles.view(len(styles), where.shape[1], -1)
    return torch.einsum("brs,brhw->bshw", by_region, where)
