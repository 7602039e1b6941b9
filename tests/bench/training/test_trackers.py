"""Training curves at services that are optional: what is sent, and what is said where one is not installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.context import StageContext
from bench.errors import ConfigError


class Recorder(ModuleType):
    """A module that notes every call of any function, also of what such a call returns."""

    def __init__(self, name: str, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
        super().__init__(name)
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Recorder:
            self.calls.append((name, args, kwargs))
            return self

        return call


def logged(folder: Path, steps: int = 3) -> StageContext:
    ctx = StageContext(0, folder, name="seed 0 · fit ddpm")
    for step in range(1, steps + 1):
        ctx.log(step, steps, loss=1.0 / step)
    ctx.close()
    return ctx


def test_wandb_gets_each_row_of_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Recorder("wandb", [])
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("BENCH_LOGGERS", "wandb")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    logged(tmp_path)
    begun = {"project": "dermbench", "name": "seed 0 · fit ddpm", "reinit": True}
    rows = [("log", ({"loss": 1.0 / step},), {"step": step}) for step in (1, 2, 3)]
    assert module.calls == [("init", (), begun), *rows, ("finish", (), {})]


def test_mlflow_gets_each_row_of_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Recorder("mlflow", [])
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setenv("BENCH_LOGGERS", "mlflow")
    logged(tmp_path)
    rows = [("log_metrics", ({"loss": 1.0 / step},), {"step": step}) for step in (1, 2, 3)]
    assert module.calls == [("start_run", (), {"run_name": "seed 0 · fit ddpm"}), *rows, ("end_run", (), {})]


def test_tensorboard_files_hold_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("BENCH_LOGGERS", "tensorboard")
    monkeypatch.setenv("BENCH_LOG_DIR", str(tmp_path / "logs"))
    logged(tmp_path / "work")
    found = events.EventAccumulator(str(tmp_path / "logs" / "seed-0-fit-ddpm")).Reload().Scalars("loss")
    assert [event.step for event in found] == [1, 2, 3]
    assert [event.value for event in found] == pytest.approx([1.0, 1 / 2, 1 / 3])


@pytest.mark.parametrize(
    ("names", "message"),
    [("tensorbored", "no logger 'tensorbored'; there are tensorboard, wandb, mlflow"), ("wandb", "pip install wandb")],
)
def test_a_logger_that_is_not_there_is_told(
    names: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv("BENCH_LOGGERS", names)
    with pytest.raises(ConfigError, match=message):
        logged(tmp_path)


def test_nothing_is_opened_for_stages_that_do_not_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_LOGGERS", "tensorbored")
    StageContext(0, tmp_path, name="sample 8 images").log(8, 8)
