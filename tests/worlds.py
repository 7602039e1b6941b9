"""A small laboratory in memory: coloured discs on skin, two classes that differ in darkness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import RunConfig, build_config
from bench.contracts import Images, Labels, Task
from bench.lab import Lab
from bench.workbench import Workbench

TASK = Task("melanoma", ("benign", "melanoma"), 1)


def discs(n: int, seed: int, *, prefix: str = "r", size: int = 16, overlap: float = 20.0, share: float = 0.4) -> Images:
    """``n`` images uint8 [n, size, size, 3]; ``overlap``: SD of the darkness that separates the classes by 40."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) < round(share * n)).astype(np.int64)[rng.permutation(n)]
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = rng.uniform(size / 6, size / 3, n)[:, None, None]
    disc = 1 / (1 + np.exp(np.hypot(y, x)[None] - radius))
    depth = 60 + 40 * labels + rng.normal(0, overlap, n)
    skin = np.array([220.0, 180.0, 160.0]) + rng.normal(0, 6, (n, 1, 1, 3))
    pixels = skin - (depth[:, None, None] * disc)[..., None] + rng.normal(0, 4, (n, size, size, 3))
    ids = np.array([f"{prefix}{seed}-{i:04d}" for i in range(n)])
    groups = np.array([f"{prefix}{seed}-g{i // 2:04d}" for i in range(n)])
    return Images(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), labels, ids, groups, TASK.class_names)


class Drawn:
    """Held-out images of the same distribution, without end."""

    def __init__(self, overlap: float = 20.0) -> None:
        self.overlap = overlap

    def draw(self, labels: Labels, seed: int) -> Images:
        pool = discs(4 * max(len(labels), 8), 10_000 + seed % 1000, prefix="fresh", overlap=self.overlap, share=0.5)
        rows = np.empty(len(labels), dtype=np.int64)
        for k in np.unique(labels):
            wanted = np.flatnonzero(labels == k)
            rows[wanted] = np.flatnonzero(pool.labels == k)[: len(wanted)]
        return pool.take(rows)

    def pool(self, train: Images) -> Images:
        return self.draw(train.labels, 1)


def small_config(folder: Path, **options: Any) -> RunConfig:
    """A smoke configuration that keeps everything below ``folder``."""
    return build_config(preset="smoke", store=folder / "store", out=folder / "runs", **options)


def small_lab(folder: Path, *, seed: int = 0, n: int = 80, guard: Any = None, **options: Any) -> Lab:
    """A laboratory over :func:`discs`; ``options`` go to the run configuration."""
    bench = Workbench(small_config(folder, **options))
    bench.seed = seed
    splits: Mapping[str, Images] = {
        "train": discs(n, 1),
        "val_select": discs(40, 2, prefix="vs"),
        "val_thresh": discs(40, 3, prefix="vt"),
    }
    return Lab(bench, TASK, splits, "c" * 64, Drawn(), guard or (lambda images, name: None))  # type: ignore[arg-type]
