"""Contract tests for plugin authors: subclass :class:`GeneratorContract`, or run ``bench check NAME``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images


def tiny_images(
    per_class: int | tuple[int, ...] = 12, size: int = 16, classes: int = 2, seed: int = 0, prefix: str = "tiny"
) -> Images:
    """Small drawings of moles: ``per_class`` of each class (or one number a class), uint8 [N, size, size, 3].

    A darker blurred ellipse on skin; its colour and elongation shift with the class, every image differs.
    Groups hold two images each. Equal arguments give equal images.
    """
    counts = (per_class,) * classes if isinstance(per_class, int) else per_class
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    rng = np.random.default_rng([seed, size, len(counts)])
    pixels = np.stack([_mole(int(k), size, rng) for k in labels]) if len(labels) else np.zeros((0, size, size, 3))
    names = np.array([f"{prefix}-{i:04d}" for i in range(len(labels))], dtype=np.str_)
    groups = np.array([f"{prefix}-g{i // 2:04d}" for i in range(len(labels))], dtype=np.str_)
    class_names = ("other", "melanoma", *(f"class{k}" for k in range(2, len(counts))))[: len(counts)]
    return Images(pixels.astype(np.uint8), labels, names, groups, class_names)


def _mole(k: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    v, u = np.mgrid[:size, :size] / (size - 1) - 0.5
    angle, elongation = rng.uniform(0, np.pi), 1 + 0.5 * k + rng.uniform(0, 0.3)
    a, b = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    radius = np.hypot(a - rng.uniform(-0.1, 0.1), elongation * (b - rng.uniform(-0.1, 0.1)))
    inside = 1 / (1 + np.exp((radius - rng.uniform(0.2, 0.35)) * 25))[..., None]
    skin = np.array([224, 180, 160]) + rng.normal(0, 8, 3)
    pigment = np.array([120, 80, 60]) - 25 * k * np.array([1, 0.6, -0.4]) + rng.normal(0, 8, 3)
    image = skin * (1 - inside) + pigment * inside + rng.normal(0, 4, (size, size, 3))
    return np.asarray(np.rint(image.clip(0, 255)))
