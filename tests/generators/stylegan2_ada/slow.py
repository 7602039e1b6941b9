"""StyleGAN2 by its formulas, in numpy and float64, map by map and pixel by pixel: what networks are checked against.

Written from Karras et al. (2019, arXiv:1812.04948; 2020, arXiv:1912.04958); shares no code with the package.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8.0
KERNEL = np.outer(TAPS, TAPS)


def zeros_between(x: np.ndarray) -> np.ndarray:
    out = np.zeros((2 * x.shape[0], 2 * x.shape[1]))
    out[::2, ::2] = x
    return out


def convolved(x: np.ndarray, k: np.ndarray, before: int, after: int, down: int = 1) -> np.ndarray:
    """True convolution of one map by its definition: y[i, j] = sum over m, n of k[m, n] x[i - m, j - n]."""
    x = np.pad(x, (before, after))
    height, width = x.shape[0] - k.shape[0] + 1, x.shape[1] - k.shape[1] + 1
    y = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            for a in range(k.shape[0]):
                for b in range(k.shape[1]):
                    y[i, j] += k[a, b] * x[i + k.shape[0] - 1 - a, j + k.shape[1] - 1 - b]
    return y[::down, ::down]


def slow_modulated(x: np.ndarray, w: np.ndarray, s: np.ndarray, *, demodulate: bool, up: bool) -> np.ndarray:
    """One image at a time, one pair of maps at a time (equations 1 and 3 of arXiv:1912.04958)."""
    images = []
    for image, style in zip(x, s, strict=True):
        kernels = w * style[None, :, None, None]
        if demodulate:
            kernels = kernels / np.sqrt((kernels**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        images.append([sum(slow_conv(m, k, up) for m, k in zip(image, kernel, strict=True)) for kernel in kernels])
    return np.array(images)


def slow_conv(x: np.ndarray, k: np.ndarray, up: bool) -> np.ndarray:
    if not up:  # layers that keep the resolution correlate, as networks do
        return convolved(x, k[::-1, ::-1], k.shape[0] // 2, k.shape[0] // 2)
    wide = convolved(zeros_between(x), k, 2, 1)  # the transposed convolution: 2 H + 1 positions
    return convolved(wide, 4 * KERNEL, 1, 1)


def lrelu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2.0)


def fully_connected(p: Weights, name: str, x: np.ndarray, lr: float = 1.0) -> np.ndarray:
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    return x @ (weight * lr / np.sqrt(weight.shape[1])).T + bias * lr


def normalised(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)


def mapping(p: Weights, z: np.ndarray | None, c: np.ndarray | None, layers: int) -> np.ndarray:
    parts = [] if z is None else [normalised(z)]
    if c is not None:
        parts.append(normalised(fully_connected(p, "mapping.embed", c)))
    x = np.concatenate(parts, 1)
    for i in range(layers):
        x = lrelu(fully_connected(p, f"mapping.fc{i}", x, 0.01))
    return x


def synthesis_layer(p: Weights, name: str, x: np.ndarray, w: np.ndarray, up: bool) -> np.ndarray:
    styles = fully_connected(p, f"{name}.affine", w)
    x = slow_modulated(x, p[f"{name}.weight"], styles, demodulate=True, up=up)
    return lrelu(x + p[f"{name}.noise_const"] * p[f"{name}.noise_strength"] + p[f"{name}.bias"][:, None, None])


def colours(p: Weights, name: str, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    styles = fully_connected(p, f"{name}.affine", w) / np.sqrt(x.shape[1])
    x = slow_modulated(x, p[f"{name}.weight"], styles, demodulate=False, up=False)
    return x + p[f"{name}.bias"][:, None, None]


def generator(p: Weights, ws: np.ndarray, resolution: int) -> np.ndarray:
    """Images [B, 3, R, R] of ``ws`` [B, L, w_dim]."""
    x = np.repeat(p["synthesis.b4.const"][None], len(ws), 0)
    x = synthesis_layer(p, "synthesis.b4.conv1", x, ws[:, 0], up=False)
    image, used, side = colours(p, "synthesis.b4.torgb", x, ws[:, 1]), 1, 8
    while side <= resolution:
        x = synthesis_layer(p, f"synthesis.b{side}.conv0", x, ws[:, used], up=True)
        x = synthesis_layer(p, f"synthesis.b{side}.conv1", x, ws[:, used + 1], up=False)
        doubled = [[convolved(zeros_between(m), 4 * KERNEL, 2, 1) for m in maps] for maps in image]
        image = np.array(doubled) + colours(p, f"synthesis.b{side}.torgb", x, ws[:, used + 2])
        used, side = used + 2, 2 * side
    return image


def convolution(p: Weights, name: str, x: np.ndarray, *, down: bool = False) -> np.ndarray:
    weight = p[f"{name}.weight"]
    weight, k = weight / np.sqrt(weight[0].size), weight.shape[-1]
    maps = []
    for image in x:
        if down:  # blurred so that half the samples suffice
            pad = (len(KERNEL) - 2 + k) // 2 if k == 3 else 1
            image = [convolved(m, KERNEL, pad, pad) for m in image]
        pad = 0 if down else k // 2
        step = 2 if down else 1
        maps.append(
            [sum(convolved(m, f[::-1, ::-1], pad, pad, step) for m, f in zip(image, o, strict=True)) for o in weight]
        )
    y = np.array(maps)
    return lrelu(y + p[f"{name}.bias"][:, None, None]) if f"{name}.bias" in p else y


def discriminator(p: Weights, x: np.ndarray, c: np.ndarray | None) -> np.ndarray:
    """Logits [B, 1] of images whose deviation is taken over all of them: at most 4."""
    side = x.shape[-1]
    x = convolution(p, f"b{side}.fromrgb", x)
    while side > 4:
        skip = convolution(p, f"b{side}.skip", x, down=True)
        x = convolution(p, f"b{side}.conv1", convolution(p, f"b{side}.conv0", x), down=True)
        x, side = (x + skip) / np.sqrt(2.0), side // 2
    deviation = np.sqrt(x.var(0) + 1e-8).mean()
    x = np.concatenate([x, np.full_like(x[:, :1], deviation)], 1)
    x = convolution(p, "b4.conv", x)
    x = fully_connected(p, "b4.out", lrelu(fully_connected(p, "b4.fc", x.reshape(len(x), -1))))
    if c is None:
        return x
    return (x * mapping(p, None, c, 8)).sum(1, keepdims=True) / np.sqrt(x.shape[1])
