"""Grids of samples while a generator learns: the same noise each time, so that one sees it learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.context import StageContext
from bench.contracts import Context, Labels
from bench.pixels import UInt8
from bench.training import processes
from bench.training.settings import GRIDS, settings

COLUMNS = 8


class SampleGrids:
    """PNG files ``grids/step-000500.png`` in the stage's work folder, every ``BENCH_GRID_EVERY`` steps; then stored.

    ``draw(labels, ctx)``: the averaged model's images uint8 [M, H, W, 3]. Each row of a grid is a class; ``of`` comes
    before the step in the names, where several networks are trained one after the other. Random numbers of the
    training are set back afterwards: with grids or without, the same model is trained.
    """

    def __init__(self, ctx: Context, num_classes: int, draw: Callable[[Labels, Context], UInt8], of: str = "") -> None:
        self.every = settings().grid_every if processes.is_first() else 0
        self.draw, self.classes, self.ctx, self.of = draw, num_classes, ctx, f"{of}-" if of else ""

    def at(self, step: int) -> None:
        """Draw a grid if one is due after ``step`` (from 1)."""
        if not self.every or step % self.every:
            return
        folder = Path(self.ctx.workdir) / GRIDS
        folder.mkdir(parents=True, exist_ok=True)
        quiet = StageContext(self.ctx.seed, Path(self.ctx.workdir), self.ctx.device, self.ctx.precision)
        labels = np.repeat(np.arange(self.classes, dtype=np.int64), COLUMNS)
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            pixels = self.draw(labels, quiet)
        write_grid(folder / f"{self.of}step-{step:06d}.png", pixels, COLUMNS)


def write_grid(path: Path, pixels: UInt8, columns: int) -> None:
    """Images uint8 [M, H, W, 3] side by side, ``columns`` a row, as a PNG; enlarged to at least 64 px a side."""
    from PIL import Image

    m, height, width, _ = pixels.shape
    grid = pixels.reshape(m // columns, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    scale = max(1, -(-64 // min(height, width)))
    picture = grid.reshape(m // columns * height, columns * width, 3).repeat(scale, 0).repeat(scale, 1)
    Image.fromarray(np.ascontiguousarray(picture)).save(path)
