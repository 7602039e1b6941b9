"""Where stages are made: the store, the device, the seed of each stage, and the list of what was done."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.config import RunConfig
from bench.context import Reporter, Silent, StageContext
from bench.errors import BenchError, StageError
from bench.keys import stage_key, stage_seed
from bench.record import StageRecord
from bench.store import Store, Stored
from bench.training import processes
from bench.training.settings import GRIDS

# Stages whose steps, time and size go with the number of images; that of fits goes with their steps.
PER_IMAGE = frozenset({"sample", "vary", "predict", "features", "reconstruct", "held-out"})


@dataclass
class Workbench:
    """Runs stages of one run through the store and keeps account of them.

    ``device`` and ``precision`` are resolved ("cuda:0", "bf16"), never "auto". ``charged``: (seed, arm) -> keys of the
    stages asked for within :meth:`charging` that arm.
    """

    config: RunConfig
    device: str = "cpu"
    precision: str = "fp32"
    reporter: Reporter = field(default_factory=Silent)
    stages: list[StageRecord] = field(default_factory=list)
    seed: int | None = None

    def __post_init__(self) -> None:
        self.store = Store(self.config.store)
        self._seen: set[str] = set()
        self._charge: tuple[str, ...] = ()
        self.charged: dict[tuple[int | None, str], set[str]] = {}

    @contextmanager
    def charging(self, *arms: str) -> Iterator[None]:
        """Stages asked for within the block are used by ``arms``, whether they are executed or found in the store."""
        before, self._charge = self._charge, arms
        try:
            yield
        finally:
            self._charge = before

    def stage(
        self,
        stage: str,
        name: str,
        plugin: type | str,
        config: Mapping[str, Any],
        inputs: Mapping[str, Any],
        make: Callable[[Path, StageContext], Mapping[str, Any] | None],
        *,
        seed_path: str | None = None,
    ) -> Stored:
        """The stage ``stage`` of ``plugin``, made by ``make(out, ctx)`` if the store has not got it.

        ``name`` is for people; ``seed_path`` names the random stream below the run's seed (None: nothing random).
        Errors become :class:`StageError` that say which stage failed and what was kept.
        """
        seed = None if seed_path is None else stage_seed(self.seed or 0, seed_path)
        path = plugin if isinstance(plugin, str) else registry.class_path(plugin)
        key = stage_key(stage, path, config, inputs, seed)
        source = "" if isinstance(plugin, str) else registry.source_digest(plugin)

        def build(out: Path, scratch: Path) -> dict[str, Any]:
            self.reporter.stage_started(self._title(name), 1 if stage in PER_IMAGE else config.get("batch"))
            ctx = StageContext(
                seed or 0, scratch, self.device, self.precision, name=self._title(name), reporter=self.reporter
            )
            try:
                extra = dict(make(out, ctx) or {})
            finally:
                ctx.close()
            if processes.is_first() and (scratch / GRIDS).is_dir():
                os.replace(scratch / GRIDS, out / GRIDS)
            if ctx.history:
                (out / "history.json").write_text(json.dumps(ctx.history))
            if ctx.notes:
                extra["notes"] = [*ctx.notes, *extra.get("notes", [])]
            if ctx.resumed_at is not None:
                extra["resumed_at_step"] = ctx.resumed_at
            return extra

        start = time.perf_counter()
        describe = {"name": name, "plugin": path, "config": dict(config), "inputs": dict(inputs), "seed": seed}
        describe |= {"source": source, "device": self.device, "precision": self.precision}
        describe["resolution"] = self.config.data.resolution  # for estimates of later runs
        try:
            together = stage == "fit" and bool(getattr(plugin, "trains_together", False))
            stored = self.store.once(stage, key, build, together=together, **describe)
        except Exception as error:
            self._account(stage, name, key, "failed", time.perf_counter() - start, None, str(error))
            if isinstance(error, BenchError):
                raise
            raise StageError(f"{self._title(name)}: {type(error).__name__}: {error}") from error
        for arm in self._charge:
            self.charged.setdefault((self.seed, arm), set()).add(stored.key)
        if stored.status == "cached" and source and stored.meta.get("source") not in ("", source):
            warnings.warn(
                f"{path}: the source changed since stage {name!r} was stored, its version did not; "
                f"raise `version` if results differ, or remove {stored.folder}",
                stacklevel=3,
            )
        self._account(stage, name, key, stored.status, stored.meta["seconds"], stored.meta.get("peak_memory_mb"), None)
        return stored

    def json_stage(
        self,
        stage: str,
        name: str,
        plugin: str,
        config: Mapping[str, Any],
        inputs: Mapping[str, Any],
        make: Callable[[int], Any],
        *,
        seed_path: str | None = None,
    ) -> Any:
        """A stage whose result is JSON, made by ``make(seed)``."""

        def write(out: Path, ctx: StageContext) -> None:
            (out / "result.json").write_text(json.dumps(make(ctx.seed)))

        stored = self.stage(stage, name, plugin, config, inputs, write, seed_path=seed_path)
        return json.loads((stored.folder / "result.json").read_text())

    def array_stage(
        self,
        stage: str,
        name: str,
        plugin: type | str,
        config: Mapping[str, Any],
        inputs: Mapping[str, Any],
        make: Callable[[StageContext], tuple[np.ndarray[Any, Any], Mapping[str, Any]]],
        *,
        seed_path: str | None = None,
    ) -> tuple[np.ndarray[Any, Any], Stored]:
        """A stage whose result is one array (opened as a memory map), made by ``make(ctx) -> (array, extra)``."""

        def write(out: Path, ctx: StageContext) -> Mapping[str, Any]:
            array, extra = make(ctx)
            np.save(out / "array.npy", array, allow_pickle=False)
            return extra

        stored = self.stage(stage, name, plugin, config, inputs, write, seed_path=seed_path)
        return np.load(stored.folder / "array.npy", mmap_mode="r", allow_pickle=False), stored

    def _title(self, name: str) -> str:
        return name if self.seed is None else f"seed {self.seed} · {name}"

    def _account(
        self, stage: str, name: str, key: str, status: Any, seconds: float, memory: float | None, error: str | None
    ) -> None:
        if key in self._seen and status == "cached":
            return
        self._seen.add(key)
        self.stages.append(
            StageRecord(
                stage=stage, name=name, key=key, status=status, seed=self.seed,
                seconds=seconds, peak_memory_mb=memory, error=error,
            )
        )  # fmt: skip
        self.reporter.stage_finished(self._title(name), status, seconds)
