"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): skip generator and residual discriminator.

Modules and buffers are named as in the published tables of parameters, so that a state dict made elsewhere loads with
``strict=True``. Images are float [B, C, H, W] in about -1..1; classes ``c`` are one-hot rows [B, c_dim].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from generators._gan.variety import minibatch_stddev
from generators.stylegan2_ada.layers import Convolution, FullyConnected, Mapping, NoiseMode, SynthesisLayer, ToRGB
from generators.stylegan2_ada.ops import Form, resample_filter, upsample2d

Noises = list[NoiseMode | Tensor]
HALF_POWER = math.sqrt(0.5)
DISCRIMINATOR_MAPPING_LAYERS = 8


def resolutions_of(img_resolution: int) -> list[int]:
    """4, 8, … ``img_resolution``; raises ValueError unless that is a power of two from 8 on."""
    if img_resolution < 8 or img_resolution & (img_resolution - 1):
        raise ValueError(f"StyleGAN2 makes square images of 8, 16, 32, 64 ... pixels, not {img_resolution}")
    return [2**i for i in range(2, img_resolution.bit_length())]


def widths_of(img_resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """Feature maps at each resolution r: channel_base / r, at most ``channel_max``."""
    return {r: min(channel_base // r, channel_max) for r in resolutions_of(img_resolution)}


class SynthesisBlock(nn.Module):
    """One or two layers at ``resolution`` and their colours, added to those of the block before.

    ``fan_in`` 0 marks the first block, which begins with a constant.
    """

    def __init__(
        self, fan_in: int, fan_out: int, w_dim: int, resolution: int, img_channels: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", resample_filter())
        if fan_in == 0:
            self.const = nn.Parameter(torch.randn(fan_out, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(fan_in, fan_out, w_dim, resolution, up=True, clamp=clamp)
        self.conv1 = SynthesisLayer(fan_out, fan_out, w_dim, resolution, clamp=clamp)
        self.torgb = ToRGB(fan_out, img_channels, w_dim, clamp=clamp)
        self.num_conv = 1 if fan_in == 0 else 2

    def forward(self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise: Noises) -> tuple[Tensor, Tensor]:
        """``ws`` [B, num_conv + 1, w_dim]: a w for each layer, and for the colours. ``noise``: one a layer."""
        if x is None or img is None:
            x = self.const[None].expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, ws[:, 0], noise[0])
            return x, self.torgb(x, ws[:, 1])
        x = self.conv1(self.conv0(x, ws[:, 0], noise[0]), ws[:, 1], noise[1])
        return x, upsample2d(img, self.resample_filter) + self.torgb(x, ws[:, 2])


class SynthesisNetwork(nn.Module):
    """w [B, num_ws, w_dim] to images [B, img_channels, R, R]."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        widths, before = widths_of(img_resolution, channel_base, channel_max), 0
        for r, width in widths.items():
            self.add_module(f"b{r}", SynthesisBlock(before, width, w_dim, r, img_channels, conv_clamp))
            before = width
        self.resolutions, self.num_ws = list(widths), 2 * len(widths)

    @property
    def noise_sides(self) -> list[int]:
        """Side in pixels of the noise map of each layer, in order."""
        return [r for r in self.resolutions for _ in range(1 if r == 4 else 2)]

    def forward(self, ws: Tensor, noise_mode: NoiseMode | Sequence[Tensor] = "random") -> Tensor:
        """``noise_mode``: how the noise is made, or that of every layer, [B, 1, r, r] with r as in ``noise_sides``."""
        noise: Noises = [noise_mode] * (self.num_ws - 1) if isinstance(noise_mode, str) else list(noise_mode)
        x = img = None
        first = 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            # The colours of a block and the first layer of the next one share a w.
            layers = slice(first, first + block.num_conv)
            x, img = block(x, img, ws[:, first : first + block.num_conv + 1], noise[layers])
            first += block.num_conv
        return img  # type: ignore[return-value]


class Generator(nn.Module):
    """z [B, z_dim] and c [B, c_dim] (None if ``c_dim`` is 0) to images [B, img_channels, R, R].

    num_mapping_layers   8 in the papers on StyleGAN, 2 in the settings of the paper on ADA
    channel_base, channel_max  feature maps at resolution r: min(channel_base / r, channel_max)
    conv_clamp           bound of the values after each layer, or None; it matters in half precision only

    Raises ValueError if ``img_resolution`` is not a power of two from 8 on.
    """

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 256,
        num_mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        *,
        img_channels: int = 3,
        conv_clamp: float | None = 256.0,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.img_resolution = z_dim, c_dim, w_dim, img_resolution
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, channel_base, channel_max, conv_clamp)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, num_mapping_layers)

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, noise_mode: NoiseMode = "random"
    ) -> Tensor:
        """``noise_mode``: fresh noise, the stored ``noise_const`` (the same for all images), or none."""
        return self.synthesis(self.mapping(z, c, truncation_psi), noise_mode)  # type: ignore[no-any-return]

    def set_form(self, form: Form) -> None:
        """How modulated convolutions are computed, see :func:`generators.stylegan2_ada.ops.modulated_conv2d`."""
        for module in self.modules():
            if isinstance(module, (SynthesisLayer, ToRGB)):
                module.form = form


class DiscriminatorBlock(nn.Module):
    """Residual block from ``resolution`` to half of it; the first one also reads the colours."""

    def __init__(self, channels: int, width: int, fan_out: int, clamp: float | None) -> None:
        super().__init__()
        self.register_buffer("resample_filter", resample_filter())
        if channels:
            self.fromrgb = Convolution(channels, width, 1, clamp=clamp)
        self.conv0 = Convolution(width, width, 3, clamp=clamp)
        self.conv1 = Convolution(width, fan_out, 3, down=True, gain=HALF_POWER, clamp=clamp)
        self.skip = Convolution(width, fan_out, 1, down=True, plain=True, gain=HALF_POWER)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        if self.channels:
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))  # type: ignore[no-any-return]


class DiscriminatorEpilogue(nn.Module):
    """From 4 x 4 maps to ``outputs`` numbers, with the standard deviation over the minibatch beside the maps."""

    def __init__(self, width: int, outputs: int, mbstd_group: int, clamp: float | None) -> None:
        super().__init__()
        self.mbstd = MinibatchStd(mbstd_group)
        self.conv = Convolution(width + 1, width, 3, clamp=clamp)
        self.fc = FullyConnected(width * 4 * 4, width, lrelu=True)
        self.out = FullyConnected(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.mbstd(x))
        return self.out(self.fc(x.flatten(1)))  # type: ignore[no-any-return]


class MinibatchStd(nn.Module):
    """:func:`generators._gan.variety.minibatch_stddev` as a layer."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        return minibatch_stddev(x, self.group)


class Discriminator(nn.Module):
    """Images [B, img_channels, R, R] and c [B, c_dim] to logits [B, 1]: high for real images.

    Conditional: the projection of Miyato & Koyama (2018, arXiv:1802.05637) on a mapping of c. ``mbstd_group``: images
    whose standard deviation is taken together. Raises ValueError if ``img_resolution`` is no power of two from 8 on.
    """

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int = 256,
        channel_base: int = 32768,
        channel_max: int = 512,
        *,
        img_channels: int = 3,
        conv_clamp: float | None = 256.0,
        mbstd_group: int = 4,
    ) -> None:
        super().__init__()
        widths = widths_of(img_resolution, channel_base, channel_max)
        self.c_dim, self.img_resolution = c_dim, img_resolution
        self.resolutions = list(reversed(widths))[:-1]
        for r in self.resolutions:
            channels = img_channels if r == img_resolution else 0
            self.add_module(f"b{r}", DiscriminatorBlock(channels, widths[r], widths[r // 2], conv_clamp))
        if c_dim:
            self.mapping = Mapping(0, c_dim, widths[4], None, DISCRIMINATOR_MAPPING_LAYERS)
        self.b4 = DiscriminatorEpilogue(widths[4], widths[4] if c_dim else 1, mbstd_group, conv_clamp)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        x = img.contiguous(memory_format=torch.channels_last)
        for r in self.resolutions:
            x = getattr(self, f"b{r}")(x)
        x = self.b4(x)
        if self.c_dim:
            direction = self.mapping(None, c)
            x = (x * direction).sum(1, keepdim=True) / math.sqrt(direction.shape[1])
        return x
