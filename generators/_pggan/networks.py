"""Growing generator and critic (Karras et al. 2018, arXiv:1710.10196, sections 2 to 4 and table 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators._gan.variety import minibatch_stddev
from generators._pggan.growth import Stage

SLOPE = 0.2
FIRST_SPREAD = 0.25  # SD of the numbers of an untrained image; photographs of skin have about 0.2 on the scale -1..1


class Equalised(nn.Module):
    """A convolution whose weights are N(0, 1) and scaled by gain / sqrt(fan-in) when used (section 4.1).

    All layers then learn at one speed under Adam, whose steps do not depend on the scale of a weight.
    """

    def __init__(self, fan_in: int, fan_out: int, kernel: int, padding: int, gain: float = math.sqrt(2.0)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.scale, self.padding = gain / math.sqrt(fan_in * kernel**2), padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


def pixel_norm(x: Tensor) -> Tensor:
    """``x`` [B, C, ...] with mean square 1 over the channels of each pixel (section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def enlarged(x: Tensor) -> Tensor:
    """Twice the side by repetition."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def faded(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) old + alpha new."""
    return torch.lerp(old, new, alpha)


class Generator(nn.Module):
    """(z [B, L], y [B]) -> images [B, 3, S, S] at the side of ``stage``; at full size without one.

    ``widths``: channels at 4, 8, ... pixels. An embedding of the label, normalised as z is, is joined to it. Images
    begin about as varied as real ones: from an SD of 1 the critic first teaches that all is alike, and short training
    does not get variety of the whole image, its brightness and hue, back.
    """

    def __init__(self, latent: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.full = Stage(len(widths) - 1, 1.0)
        self.embedding = nn.Embedding(classes, latent)
        # A dense layer to 4 x 4 pixels, written as a convolution that pads the single pixel by 3.
        self.first = nn.ModuleList([Equalised(2 * latent, widths[0], 4, 3), _same(widths[0], widths[0])])
        self.blocks = nn.ModuleList(
            nn.ModuleList([_same(before, after), _same(after, after)]) for before, after in pairwise(widths)
        )
        self.to_rgb = nn.ModuleList(Equalised(width, 3, 1, 0, gain=1.0) for width in widths)
        for layer in self.to_rgb:
            nn.init.normal_(layer.weight, 0.0, FIRST_SPREAD)

    def forward(self, z: Tensor, y: Tensor, stage: Stage | None = None) -> Tensor:
        level, alpha = stage or self.full
        told = torch.cat([pixel_norm(z), pixel_norm(self.embedding(y))], dim=1)
        x = before = _activated(self.first, told[:, :, None, None])
        for block in self.blocks[:level]:
            before, x = x, _activated(block, enlarged(x))
        rgb: Tensor = self.to_rgb[level](x)
        if alpha < 1.0:
            rgb = faded(enlarged(self.to_rgb[level - 1](before)), rgb, alpha)
        return rgb


class Critic(nn.Module):
    """(images [B, 3, S, S] at the side of ``stage``, y [B]) -> scores [B].

    The generator's mirror image. The label enters by projection (Miyato & Koyama 2018, arXiv:1802.05637). ``group``:
    images over which it looks at variety, at most.
    """

    def __init__(self, widths: Sequence[int], classes: int, group: int = 4) -> None:
        super().__init__()
        self.group = group
        self.from_rgb = nn.ModuleList(Equalised(3, width, 1, 0) for width in widths)
        self.blocks = nn.ModuleList(
            nn.ModuleList([_same(wide, wide), _same(wide, narrow)]) for narrow, wide in pairwise(widths)
        )
        self.last = nn.ModuleList([_same(widths[0] + 1, widths[0]), Equalised(widths[0], widths[0], 4, 0)])
        self.score = Equalised(widths[0], 1, 1, 0, gain=1.0)
        self.embedding = Equalised(classes, widths[0], 1, 0, gain=1.0)
        self.classes = classes

    def forward(self, x: Tensor, y: Tensor, stage: Stage) -> Tensor:
        level, alpha = stage
        h = F.leaky_relu(self.from_rgb[level](x), SLOPE)
        for i in reversed(range(level)):
            h = F.avg_pool2d(_plain(self.blocks[i], h), 2)
            if i == level - 1 and alpha < 1.0:
                old = F.leaky_relu(self.from_rgb[i](F.avg_pool2d(x, 2)), SLOPE)
                h = faded(old, h, alpha)
        h = _plain(self.last, minibatch_stddev(h, self.group))
        told = self.embedding(F.one_hot(y, self.classes).to(h.dtype)[:, :, None, None])
        scores: Tensor = self.score(h).flatten() + (told * h).flatten(1).sum(dim=1) / math.sqrt(h.shape[1])
        return scores


def _same(fan_in: int, fan_out: int) -> Equalised:
    return Equalised(fan_in, fan_out, 3, 1)


def _activated(layers: Any, x: Tensor) -> Tensor:
    for layer in layers:
        x = pixel_norm(F.leaky_relu(layer(x), SLOPE))
    return x


def _plain(layers: Any, x: Tensor) -> Tensor:
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
    return x
