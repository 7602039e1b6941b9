"""Layers with equalised learning rate: weights are stored at unit scale and scaled when they are used.

Karras et al. 2018 (arXiv:1710.10196), section 4.1; the layers are those of Karras et al. 2020 (arXiv:1912.04958).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.stylegan2_ada.ops import (
    LRELU_GAIN,
    Form,
    activate,
    conv_down2d,
    full_precision,
    modulated_conv2d,
    resample_filter,
    unit_second_moment,
    widened,
)

NoiseMode = Literal["random", "const", "none"]


class FullyConnected(nn.Module):
    """[B, in] -> [B, out] in float32. ``lr_multiplier`` scales weight and bias in use: they learn that much slower."""

    def __init__(
        self, fan_in: int, fan_out: int, *, lrelu: bool = False, lr_multiplier: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((fan_out,), bias))
        self.lrelu, gain = lrelu, LRELU_GAIN if lrelu else 1.0
        self.weight_gain = gain * lr_multiplier / math.sqrt(fan_in)
        self.bias_gain = gain * lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x):
            x = F.linear(widened(x), self.weight * self.weight_gain, self.bias * self.bias_gain)
        return activate(x) if self.lrelu else x


class Convolution(nn.Module):
    """[B, in, H, W] -> [B, out, H, W], or half of H and W if ``down``; bias and leaky ReLU, or neither (``plain``).

    ``gain`` scales the result; ``clamp`` cuts it, in units of the gain.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        side: int,
        *,
        down: bool = False,
        plain: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, side, side))
        self.bias = None if plain else nn.Parameter(torch.zeros(fan_out))
        self.register_buffer("resample_filter", resample_filter())
        self.down = down
        self.bias_gain = gain * (1.0 if plain else LRELU_GAIN)
        self.weight_gain = self.bias_gain / math.sqrt(fan_in * side**2)
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.weight_gain
        bias = None if self.bias is None else self.bias * self.bias_gain
        if self.down:
            x = conv_down2d(x, weight, self.resample_filter, bias)
        else:
            x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        if self.bias is not None:
            return activate(x, self.clamp)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution to ``resolution``, noise, bias, leaky ReLU. ``up``: from half the resolution.

    Noise is fresh, the stored map, none, or a tensor [B, 1, R, R] that is given.
    """

    def __init__(
        self, fan_in: int, fan_out: int, w_dim: int, resolution: int, *, up: bool = False, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, fan_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", resample_filter())
        self.up, self.resolution, self.clamp = up, resolution, clamp
        self.form: Form = "scale"

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode | Tensor) -> Tensor:
        noise = self._noise(x, noise_mode)
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            up=self.up,
            f=self.resample_filter,
            noise=None if noise is None else noise * self.noise_strength,
            bias=self.bias,
            gain=LRELU_GAIN,
            form=self.form,
        )
        return activate(x, None if self.clamp is None else self.clamp * LRELU_GAIN)

    def _noise(self, x: Tensor, mode: NoiseMode | Tensor) -> Tensor | None:
        if isinstance(mode, Tensor):
            return mode
        if mode == "random":
            return torch.randn(len(x), 1, self.resolution, self.resolution, device=x.device)
        return self.noise_const if mode == "const" else None


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours in float32, without demodulation."""

    def __init__(self, fan_in: int, channels: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, fan_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, fan_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain, self.clamp = 1.0 / math.sqrt(fan_in), clamp
        self.form: Form = "scale"

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        with full_precision(x):
            x = modulated_conv2d(widened(x), self.weight, styles, demodulate=False, bias=self.bias, form=self.form)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Mapping(nn.Module):
    """Latent z [B, z_dim] and class c [B, c_dim] to w [B, num_ws, w_dim] (Karras et al. 2019, arXiv:1812.04948).

    Without ``num_ws`` the result is [B, w_dim] and no average of w is kept; ``z_dim`` 0 is a mapping of c alone.
    """

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_ws: int | None, layers: int) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.layers = z_dim, c_dim, w_dim, num_ws, layers
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        fan_in = z_dim + (w_dim if c_dim else 0)
        for i in range(layers):
            setattr(self, f"fc{i}", FullyConnected(fan_in if i == 0 else w_dim, w_dim, lrelu=True, lr_multiplier=0.01))
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, c: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """``truncation_psi`` below 1 draws w toward its average, section B of Karras et al. 2019."""
        x = torch.cat(self._inputs(z, c), 1)
        for i in range(self.layers):
            x = getattr(self, f"fc{i}")(x)
        if self.num_ws is None:
            return x
        if truncation_psi != 1.0:
            x = self.w_avg.lerp(x, truncation_psi)
        return x[:, None].expand(-1, self.num_ws, -1)

    @torch.no_grad()
    def track_average(self, mean: Tensor, decay: float) -> None:
        """Move ``w_avg`` toward the ``mean`` [w_dim] of some w."""
        self.w_avg.lerp_(mean, 1.0 - decay)

    def _inputs(self, z: Tensor | None, c: Tensor | None) -> list[Tensor]:
        parts = []
        if self.z_dim:
            if z is None or z.shape[1:] != (self.z_dim,):
                raise ValueError(f"z must be [B, {self.z_dim}], got {None if z is None else list(z.shape)}")
            parts.append(unit_second_moment(z))
        if self.c_dim:
            if c is None or c.shape[1:] != (self.c_dim,):
                raise ValueError(f"c must be [B, {self.c_dim}], got {None if c is None else list(c.shape)}")
            parts.append(unit_second_moment(self.embed(c)))
        return parts
