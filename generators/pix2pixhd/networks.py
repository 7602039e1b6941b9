"""Networks of Wang et al. (2018, arXiv:1711.11585), sections 3.1 to 3.4 and appendix, in their notation:

c7s1-k 7x7 convolution, dk 3x3 of stride 2, Rk residual block, uk 3x3 that doubles the sides, Ck 4x4 of stride 2.

Two things differ. Instance normalisation subtracts the mean of every feature map, and with it whatever a constant input
channel adds: after c7s1 with reflection padding a class given so has no effect at all, and the colour of a map of few
flat regions next to none. The generator's normalisation is therefore conditional (Dumoulin et al. 2017,
arXiv:1610.07629): its scale and shift are linear in a vector of class and styles. And uk is a convolution of the
enlarged map, not a transposed one, whose uneven overlap shows as a checkerboard (Odena et al. 2016,
doi:10.23915/distill.00003).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.pix2pixhd.options import REGIONS, Pix2PixHDOptions


class ConditionalInstanceNorm(nn.Module):
    """Instance normalisation with scale and shift from a vector c [B, D]; plain at the start of training."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.width = width
        self.affine = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale, shift = self.affine(c)[:, :, None, None].split(self.width, dim=1)
        y: Tensor = F.instance_norm(x) * (1.0 + scale) + shift
        return y


class Layer(nn.Module):
    """Convolution (after doubling the sides where ``up``), conditional instance norm, ReLU unless ``last``."""

    def __init__(
        self, fan_in: int, width: int, condition: int, *, kernel: int = 3, stride: int = 1, up: bool = False,
        last: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        mode: Any = "reflect" if stride == 1 else "zeros"
        self.conv = nn.Conv2d(fan_in, width, kernel, stride=stride, padding=kernel // 2, padding_mode=mode)
        self.norm = ConditionalInstanceNorm(width, condition)
        self.up, self.last = up, last

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else x
        y: Tensor = self.norm(self.conv(x), c)
        return y if self.last else F.relu(y)


class Residual(nn.Module):
    """Rk: two layers around a skip connection (Johnson et al. 2016, arXiv:1603.08155)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = Layer(width, width, condition), Layer(width, width, condition, last=True)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        y: Tensor = x + self.second(self.first(x, c), c)
        return y


class Chain(nn.Module):
    """Conditioned layers one after the other."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, c)
        return x


class ToImage(nn.Module):
    """c7s1-3 without normalisation, then tanh: images in (-1, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))


class GlobalGenerator(nn.Module):
    """G1: c7s1-w0, d-w1 ... d-wn, R-wn x ``blocks``, u-w(n-1) ... u-w0; ``features`` stop before the last c7s1-3."""

    def __init__(self, channels: int, condition: int, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        down = [Layer(a, b, condition, stride=2) for a, b in pairwise(widths)]
        middle = [Residual(widths[-1], condition) for _ in range(blocks)]
        up = [Layer(b, a, condition, up=True) for a, b in reversed(list(pairwise(widths)))]
        self.body = Chain(Layer(channels, widths[0], condition, kernel=7), *down, *middle, *up)
        self.head = ToImage(widths[0])

    def features(self, x: Tensor, c: Tensor) -> Tensor:
        """Feature maps [B, w0, H, W] of a map [B, C, H, W]; H and W are multiples of 2^(len(widths) - 1)."""
        y: Tensor = self.body(x, c)
        return y

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        image: Tensor = self.head(self.features(x, c))
        return image


class EnhancedGenerator(nn.Module):
    """G2 around G1: c7s1-(w0/2), d-w0, plus the features of G1 at half resolution, R-w0, u-(w0/2), c7s1-3."""

    def __init__(self, inner: GlobalGenerator, channels: int, condition: int, options: Pix2PixHDOptions) -> None:
        super().__init__()
        self.inner, width = inner, options.widths[0]
        self.front = Chain(
            Layer(channels, width // 2, condition, kernel=7), Layer(width // 2, width, condition, stride=2)
        )
        middle = [Residual(width, condition) for _ in range(options.enhancer_blocks)]
        self.back = Chain(*middle, Layer(width, width // 2, condition, up=True))
        self.head = ToImage(width // 2)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        half = self.inner.features(F.avg_pool2d(x, 2), c)
        image: Tensor = self.head(self.back(self.front(x, c) + half, c))
        return image


class StyleEncoder(nn.Module):
    """E of section 3.4: numbers in (-1, 1) at each position of an image, averaged over each region of the map.

    Without normalisation, which would take away the colours that it is to tell.
    """

    def __init__(self, styles: int, width: int = 16) -> None:
        super().__init__()
        self.styles = styles
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 5, padding=2, padding_mode="reflect"), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, styles, 5, padding=2, padding_mode="reflect"), nn.Tanh(),
        )  # fmt: skip

    def forward(self, image: Tensor, regions: Tensor) -> Tensor:
        """Styles [B, REGIONS * styles] of ``image`` [B, 3, H, W] over ``regions`` [B, REGIONS, H, W] of 0 and 1.

        A region without a pixel has style 0.
        """
        found = self.layers(image)
        total = torch.einsum("bshw,brhw->brs", found, regions)
        return (total / regions.sum(dim=(2, 3)).clamp(min=1.0)[:, :, None]).flatten(1)


class PatchDiscriminator(nn.Module):
    """C-w0, ..., C-wn, then one logit a patch; the first without normalisation, the last of stride 1."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(pairwise((channels, *widths)))
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=1 if i + 1 == len(widths) else 2, padding=2) for i, (a, b) in enumerate(pairs)
        )
        self.logit = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps of all layers, the map of logits last."""
        found = []
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = F.leaky_relu(x if i == 0 else F.instance_norm(x), 0.2)
            found.append(x)
        return [*found, self.logit(x)]


class MultiscaleDiscriminator(nn.Module):
    """D1, D2, ...: the same architecture on the image, on half of it, on a quarter (section 3.2)."""

    def __init__(self, channels: int, widths: tuple[int, ...], scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(channels, widths) for _ in range(scales))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """What each scale finds in [B, C, H, W]."""
        found = []
        for critic in self.scales:
            found.append(critic(x))
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return found


def build_generator(options: Pix2PixHDOptions, map_channels: int, num_classes: int) -> Any:
    """The generator (H, W multiples of ``options.stride``): image(map + region styles, styles and class)."""
    channels = map_channels + options.styles
    condition = num_classes * options.label + REGIONS * options.styles
    inner = GlobalGenerator(channels, condition, options.widths, options.blocks)
    generator: nn.Module = EnhancedGenerator(inner, channels, condition, options) if options.enhancer else inner
    _initialise(generator)
    return generator


def build_discriminator(options: Pix2PixHDOptions, map_channels: int, num_classes: int) -> MultiscaleDiscriminator:
    """The discriminators of (map, class if told, image)."""
    channels = map_channels + num_classes * options.label + 3
    critic = MultiscaleDiscriminator(channels, options.critic_widths, options.scales)
    _initialise(critic)
    return critic


def _initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), as in the appendix; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
