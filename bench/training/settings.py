"""How training runs, as opposed to what is trained: read from the environment, so that no stage key depends on it.

``BENCH_MICRO_BATCH``  most images of one forward and backward pass; the batch of an update stays what the options say
``BENCH_GRID_EVERY``   steps between two grids of samples of the averaged model; 0 for none
``BENCH_LOGGERS``      ``tensorboard``, ``wandb``, ``mlflow``, separated by commas
``BENCH_COMPILE``      1: networks of trainers that support it go through ``torch.compile``
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench.errors import ConfigError

GRIDS = "grids"  # folder of a stage with the grids


@dataclass(frozen=True)
class Settings:
    """The settings above; ``micro_batch`` and ``grid_every`` 0 mean: not set."""

    micro_batch: int = 0
    grid_every: int = 0
    loggers: tuple[str, ...] = ()
    compiled: bool = False


def settings() -> Settings:
    """The settings of the environment now; raises ConfigError that names the variable of a wrong one."""
    names = (name.strip() for name in os.environ.get("BENCH_LOGGERS", "").split(","))
    return Settings(
        micro_batch=_count("BENCH_MICRO_BATCH"),
        grid_every=_count("BENCH_GRID_EVERY"),
        loggers=tuple(name for name in names if name),
        compiled=_count("BENCH_COMPILE") > 0,
    )


def _count(variable: str) -> int:
    text = os.environ.get(variable) or "0"
    if not text.isdecimal():
        raise ConfigError(f"environment variable {variable}={text!r}: must be a whole number of at least 0")
    return int(text)
