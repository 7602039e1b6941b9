"""What a plugin sees of the harness while it works: seed, device, progress and checkpoints that survive a kill."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.throughput import synchronize, threads
from bench.training import processes
from bench.training.settings import settings
from bench.training.trackers import Tracker, open_trackers
from bench.trees import load_tree, save_tree

CHECKPOINT_SECONDS = float(os.environ.get("BENCH_CHECKPOINT_SECONDS", "30"))


class Reporter(Protocol):
    """Where progress goes: a live display, plain lines, or nowhere."""

    def progress(self, stage: str, step: int, total: int | None, scalars: Mapping[str, float]) -> None: ...

    def message(self, text: str) -> None: ...

    def stage_started(self, name: str, images_per_step: int | None = None) -> None:
        """``name`` begins to work; not called for a stage that comes from the store."""

    def stage_finished(self, name: str, status: str, seconds: float) -> None:
        """``status``: "executed", "resumed", "cached" or "failed"; ``seconds`` those of this execution."""

    def data_ready(self) -> None:
        """Data and splits of the run are in the store, so the rest can be planned."""


class Silent:
    """A reporter that says nothing."""

    def progress(self, stage: str, step: int, total: int | None, scalars: Mapping[str, float]) -> None:
        return None

    def message(self, text: str) -> None:
        return None

    def stage_started(self, name: str, images_per_step: int | None = None) -> None:
        return None

    def stage_finished(self, name: str, status: str, seconds: float) -> None:
        return None

    def data_ready(self) -> None:
        return None


@dataclass
class StageContext:
    """The :class:`bench.contracts.Context` of one stage.

    ``checkpoint`` writes at most every ``checkpoint_seconds`` of wall time. When a checkpoint falls changes no number,
    because a resumed stage continues bit-identically. ``history`` keeps about 200 logged rows a stage.
    """

    seed: int
    workdir: Path
    device: str = "cpu"
    precision: str = "fp32"
    name: str = ""
    reporter: Reporter = field(default_factory=Silent)
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    show_seconds: float = 0.25
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._shown = 0.0
        self._started = self._saved = time.monotonic()
        self._before = self._previous_seconds()
        self.resumed_at: int | None = None
        self._warm: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None
        self.notes: list[str] = []
        self._trackers: list[Tracker] | None = None

    def note(self, text: str) -> None:
        """Say ``text`` now, and keep it with the stage: what a reader of its result should know."""
        self.notes.append(text)
        self.reporter.message(f"{self.name}: {text}")

    def log(self, step: int, total: int | None = None, **scalars: Any) -> None:
        """Report ``step`` of ``total``; scalars may be tensors, read (and synchronised) only when shown or kept."""
        now = time.monotonic()
        if self._warm is None and (total is None or step >= max(3, total // 50)):
            synchronize(self.device)
            self._warm = (step, time.monotonic())
        if step == total:
            synchronize(self.device)
            self._last = (step, time.monotonic())
        keep = total is not None and (step == total or step % max(1, total // 200) == 0)
        show = now - self._shown >= self.show_seconds or step == total
        if not (keep or show):
            return
        values = {k: float(v) for k, v in scalars.items()}
        if keep:
            self.history.append({"step": float(step), **values})
            self._track(step, values)
        if show:
            self._shown = now
            self.reporter.progress(self.name, step, total, values)

    def _track(self, step: int, values: Mapping[str, float]) -> None:
        if not values or not self.name:
            return
        if self._trackers is None:
            names = settings().loggers if processes.is_first() else ()
            self._trackers = open_trackers(names, self.name)
        for tracker in self._trackers:
            tracker.log(step, values)

    def close(self) -> None:
        """End what ``BENCH_LOGGERS`` began for this stage."""
        for tracker in self._trackers or ():
            tracker.close()

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Store ``state()`` for ``step`` if a checkpoint is due; the former one stays until the new one is whole."""
        if time.monotonic() - self._saved >= self.checkpoint_seconds:
            self.keep(step, state)

    def keep(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Store ``state()`` for ``step`` now, whenever the last checkpoint was. Of several processes the first does."""
        if not processes.is_first():
            return
        now = time.monotonic()
        fresh = self.workdir / f"checkpoint-{step:09d}"
        temp = self.workdir / "checkpoint.partial"
        shutil.rmtree(temp, ignore_errors=True)
        save_tree(temp, {"step": step, "state": state(), "history": self.history})
        if fresh.exists():
            shutil.rmtree(fresh)
        os.replace(temp, fresh)
        for old in self._checkpoints():
            if old != fresh:
                shutil.rmtree(old, ignore_errors=True)
        (self.workdir / "elapsed.json").write_text(json.dumps(self._before + now - self._started))
        self._saved = time.monotonic()

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the newest whole checkpoint, or None."""
        found = self._checkpoints()
        if not found:
            return None
        tree = load_tree(found[-1])
        self.history = list(tree["history"])
        self.resumed_at = int(tree["step"])
        return int(tree["step"]), dict(tree["state"])

    def speed(self, config: Any) -> dict[str, Any]:
        """Training speed after the warm-up (3 steps or 2 %): images per second if ``config`` has a ``batch``."""
        batch = getattr(config, "batch", None)
        if batch is None or self._warm is None or self._last is None or self._last[0] <= self._warm[0]:
            return {}
        steps, seconds = self._last[0] - self._warm[0], self._last[1] - self._warm[1]
        return {
            "throughput": {
                "images_per_second": steps * int(batch) / max(seconds, 1e-9),
                "images": steps * int(batch),
                "seconds": seconds,
                "batch": int(batch),
                "device": self.device,
                "precision": self.precision,
                "threads": threads(),
            }
        }

    def _checkpoints(self) -> list[Path]:
        return sorted(self.workdir.glob("checkpoint-*"))

    def _previous_seconds(self) -> float:
        try:
            return float(json.loads((self.workdir / "elapsed.json").read_text()))
        except (FileNotFoundError, ValueError):
            return 0.0
