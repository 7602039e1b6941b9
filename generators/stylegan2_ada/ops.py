"""Resampling filters, modulated convolution and the activation of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958).

Feature maps are [B, C, H, W]. Convolution weights are [O, I, k, k]. Everything is differentiable twice.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Form = Literal["scale", "grouped"]

TAPS = (1.0, 3.0, 3.0, 1.0)
LRELU_GAIN = math.sqrt(2.0)
SLOPE = 0.2
EPS = 1e-8


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Float32 on the device of ``x`` whatever autocast says: for what is cheap and adds up, colours above all."""
    return torch.autocast(x.device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """``x`` in float32 if it is in half precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def resample_filter(taps: tuple[float, ...] = TAPS) -> Tensor:
    """The separable low-pass filter of every change of resolution, [k, k] with sum 1; ``taps`` even in number."""
    f = torch.tensor(taps)
    f = torch.outer(f, f)
    return f / f.sum()


def filter2d(x: Tensor, f: Tensor, *, down: int = 1, padding: int = 0, gain: float = 1.0) -> Tensor:
    """``x`` zero-padded by ``padding`` on each side, convolved with ``f`` [k, k], every ``down``-th sample kept."""
    kernels = _depthwise(x, f, gain)
    if down > 1 and x.device.type == "cpu":  # in bf16 the backward pass with a stride takes 20 times as long
        return F.conv2d(x, kernels, padding=padding, groups=x.shape[1])[:, :, ::down, ::down]
    return F.conv2d(x, kernels, stride=down, padding=padding, groups=x.shape[1])


def upsample2d(x: Tensor, f: Tensor) -> Tensor:
    """``x`` at twice the resolution: zeros between the samples, then ``f`` [k, k] with gain 4. [B, C, 2H, 2W]."""
    with full_precision(x):
        return F.conv_transpose2d(x, _depthwise(x, f, 4.0), stride=2, padding=(len(f) - 2) // 2, groups=x.shape[1])


def conv_down2d(x: Tensor, weight: Tensor, f: Tensor, bias: Tensor | None = None) -> Tensor:
    """``f``, then a convolution of stride 2: [B, O, H/2, W/2] (Zhang 2019, arXiv:1904.11486)."""
    side = weight.shape[-1]
    if side == 1:  # the filter alone can drop the samples that the convolution would not read
        return F.conv2d(filter2d(x, f, down=2, padding=(len(f) - 2) // 2), weight, bias)
    return F.conv2d(filter2d(x, f, padding=(len(f) + side - 3) // 2), weight, bias, stride=2)


def conv_up2d(x: Tensor, weight: Tensor, f: Tensor, groups: int = 1) -> Tensor:
    """A transposed convolution of stride 2, then ``f`` with gain 4: [B, O, 2H, 2W]. ``weight`` [O, I / groups, 3, 3].

    This is a true convolution (mirrored kernel) of ``x`` with zeros between the samples.
    """
    out, fan_in, *sides = weight.shape
    w = weight.reshape(groups, out // groups, fan_in, *sides).transpose(1, 2)
    x = F.conv_transpose2d(x, w.reshape(groups * fan_in, out // groups, *sides), stride=2, groups=groups)
    return filter2d(x, f, padding=(len(f) - 1) // 2, gain=4.0)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """1 / the norm of each output map's modulated kernel, [B, O]: section 2.2, eq. 3."""
    with full_precision(styles):
        return (styles.square() @ weight.square().sum((2, 3)).t() + EPS).rsqrt()


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: bool = False,
    f: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    gain: float = 1.0,
    form: Form = "scale",
) -> Tensor:
    """Convolution whose kernel is scaled by ``styles`` [B, I], each output map then to unit variance; equations 1 to 3.

    up           double the resolution with the filter ``f``
    noise, bias  added to the result: [B or 1, 1, H, W] and [O]
    gain         factor of all of it
    form         "scale" scales the maps before and after one shared convolution, "grouped" makes a kernel an image:
                 equal in exact arithmetic. A training step on the CPU is faster with the first.
    """
    if form == "grouped":
        x = _grouped(x, weight, styles, demodulate, _given(f) if up else None, gain)
        factor = None
    else:
        factor = demodulation(weight, styles) * gain if demodulate else None
        x = x * styles[:, :, None, None].to(x.dtype)
        w = weight if demodulate else weight * gain
        x = conv_up2d(x, w, _given(f)) if up else F.conv2d(x, w, padding=weight.shape[-1] // 2)
    return _finished(x, factor, noise, bias, gain)


def activate(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope .2, in place, then the values cut to +-``clamp``. The gain sqrt 2 has to be in ``x`` already.

    The activation is positively homogeneous, so a gain before it is the gain after it, and costs no pass of its own.
    """
    x = F.leaky_relu_(x, SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)


def unit_second_moment(x: Tensor) -> Tensor:
    """Rows of ``x`` [B, D] scaled to mean square 1 (pixel norm of latents)."""
    return x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()


def _finished(x: Tensor, factor: Tensor | None, noise: Tensor | None, bias: Tensor | None, gain: float) -> Tensor:
    """factor x + gain (noise + bias), in as few passes over the maps as torch has for it."""
    noise = None if noise is None else (noise * gain).to(x.dtype)
    if factor is not None:
        scale = factor[:, :, None, None].to(x.dtype)
        x = x * scale if noise is None else torch.addcmul(noise, x, scale)
    elif noise is not None:
        x = x + noise
    return x if bias is None else x.add_((bias * gain).to(x.dtype)[:, None, None])


def _grouped(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, f: Tensor | None, gain: float) -> Tensor:
    n, (out, fan_in, *sides) = len(x), weight.shape
    kernels = weight * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * demodulation(weight, styles)[:, :, None, None, None]
    kernels = (kernels * gain).to(x.dtype).reshape(n * out, fan_in, *sides)
    x = x.reshape(1, n * fan_in, *x.shape[2:])
    x = F.conv2d(x, kernels, padding=sides[0] // 2, groups=n) if f is None else conv_up2d(x, kernels, f, groups=n)
    return x.reshape(n, out, *x.shape[2:])


def _depthwise(x: Tensor, f: Tensor, gain: float) -> Tensor:
    return (f * gain).to(x.dtype).expand(x.shape[1], 1, *f.shape)


def _given(f: Tensor | None) -> Tensor:
    if f is None:
        raise ValueError("up=True needs the filter f")
    return f
