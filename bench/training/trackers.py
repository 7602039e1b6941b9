"""Training curves in TensorBoard, Weights & Biases or MLflow, where ``BENCH_LOGGERS`` names them.

Each stage that trains is a run of its own there, under its name, with the rows that its history keeps (about 200).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.errors import ConfigError

PROJECT = "dermbench"


class Tracker(Protocol):
    """One run of one service."""

    def log(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files below ``BENCH_LOG_DIR`` (default ``training-logs``), a folder a stage."""

    def __init__(self, stage: str) -> None:
        writer = _imported("torch.utils.tensorboard", "tensorboard").SummaryWriter
        folder = Path(os.environ.get("BENCH_LOG_DIR") or "training-logs") / file_name(stage)
        self.writer: Any = writer(log_dir=str(folder))

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of the project ``dermbench``, or of the one that ``WANDB_PROJECT`` names."""

    def __init__(self, stage: str) -> None:
        wandb = _imported("wandb", "wandb")
        project = os.environ.get("WANDB_PROJECT") or PROJECT
        self.run: Any = wandb.init(project=project, name=stage, reinit=True)

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self.run.log(dict(scalars), step=step)

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """A run at the tracking server and in the experiment that MLflow's own variables name."""

    def __init__(self, stage: str) -> None:
        self.mlflow = _imported("mlflow", "mlflow")
        self.mlflow.start_run(run_name=stage)

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self.mlflow.log_metrics(dict(scalars), step=step)

    def close(self) -> None:
        self.mlflow.end_run()


TRACKERS: dict[str, Callable[[str], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def open_trackers(names: Sequence[str], stage: str) -> list[Tracker]:
    """A run of ``stage`` at each of the services ``names``; raises ConfigError for one that is not here."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"BENCH_LOGGERS: no logger {name!r}; there are {', '.join(TRACKERS)}")
    return [TRACKERS[name](stage) for name in names]


def file_name(stage: str) -> str:
    """``stage`` as the name of a folder."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in stage).split())


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"BENCH_LOGGERS names {package}, which cannot be imported ({error}): pip install {package}, or leave it out"
        ) from None
