"""Images whose classes differ in brightness alone: a difference that few steps can learn."""

from __future__ import annotations

import numpy as np

from bench.contracts import Images


def two_colours(n: int) -> Images:
    """``n`` images of 16 px: class 0 light, class 1 dark, with a little noise; every second is of class 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int64) % 2
    level = np.where(labels == 0, 200.0, 80.0)[:, None, None, None] + rng.normal(0, 12, (n, 1, 1, 3))
    pixels = np.rint(level + rng.normal(0, 4, (n, 16, 16, 3))).clip(0, 255).astype(np.uint8)
    names = np.array([f"i{i}" for i in range(n)])
    return Images(pixels, labels, names, names, ("light", "dark"))
