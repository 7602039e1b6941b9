"""What a stage will cost: from the same stage made before, else from its arithmetic. Every estimate says its basis."""

from __future__ import annotations

import importlib
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import Cost
from bench.errors import BenchError
from bench.planning import Planned
from bench.store import Store
from bench.workbench import PER_IMAGE

# Speed of training relative to a large float32 matrix product of numpy. Seen on one thread of a processor with
# AVX-512 bf16, 32 px: DDPM 1.5, small CNN 1.4 times at bf16, which is 1.2 to 2 times as fast as fp32 there.
EFFICIENCY = {"fp32": 0.9, "bf16": 1.4}
# What the process itself takes once torch is loaded; plugins state only what they add.
PROCESS_MB = 900.0
TELLING_FLOPS = 1e12  # smaller fits spend their time elsewhere
ENOUGH = 5


@dataclass(frozen=True)
class StageCost:
    """Seconds, peak memory and disk of a stage; None where nothing is known. ``basis`` says where it comes from."""

    seconds: float | None
    memory_mb: float | None
    disk_mb: float | None
    basis: str


@dataclass(frozen=True)
class Past:
    """A finished stage of the store."""

    meta: Mapping[str, Any]
    disk_mb: float

    @property
    def units(self) -> float:
        """What its time is proportional to: images, or 1 for work that is counted in steps."""
        return float(self.meta.get("n") or 1) if self.meta["stage"] in PER_IMAGE else 1.0


class Estimator:
    """Estimates for stages on this machine, from the stages in ``store``."""

    def __init__(self, store: Path, device: str, precision: str, resolution: int) -> None:
        self.store, self.device, self.precision, self.resolution = store, device, precision, resolution

    def cost(self, planned: Planned) -> StageCost:
        """Cost of one stage; a cached one costs nothing."""
        if planned.cached:
            return StageCost(0.0, None, 0.0, "cached")
        return self._from_history(planned) or self._from_arithmetic(planned) or StageCost(None, None, None, "not known")

    @cached_property
    def history(self) -> dict[tuple[str, str, str], list[Past]]:
        """Finished stages on this device at this precision, by (stage, plugin, what kind of work)."""
        found: dict[tuple[str, str, str], list[Past]] = {}
        store = Store(self.store)
        for meta in store.stages():
            if (meta.get("device"), meta.get("precision")) == (self.device, self.precision):
                folder = store.folder(meta["stage"], meta["key"])
                past = Past(meta, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20)
                found.setdefault(_work(meta), []).append(past)
        return found

    def _from_history(self, planned: Planned) -> StageCost | None:
        """Median over the same plugin with the same options; other resolutions are scaled by area."""
        same = [p for p in self.history.get(_work(planned.meta), []) if p.meta["config"] == planned.meta["config"]]
        here = [p for p in same if p.meta.get("resolution") == self.resolution]
        used = (here or same)[-ENOUGH:]
        if not used:
            return None
        units = float(planned.n or 1) if planned.stage in PER_IMAGE else 1.0
        rates = [p.meta["seconds"] / p.units * self._area(p) for p in used]
        disks = [p.disk_mb / p.units * self._area(p) for p in used]
        memory = [p.meta["peak_memory_mb"] for p in used if p.meta.get("peak_memory_mb")]
        basis = f"measured {len(used)}×" + ("" if here else f" at {used[-1].meta.get('resolution')} px, scaled")
        return StageCost(
            statistics.median(rates) * units, max(memory, default=None), statistics.median(disks) * units, basis
        )

    def _area(self, past: Past) -> float:
        return (self.resolution / float(past.meta.get("resolution") or self.resolution)) ** 2

    def _from_arithmetic(self, planned: Planned) -> StageCost | None:
        """Floating-point operations that the plugin states for ``fit``, at the speed of this machine if it is known.

        Drawing or judging an image takes the forward passes of a fit, which are a third of its work.
        """
        config, drawn = planned.options, planned.stage in ("sample", "vary")
        cost = stated_cost(planned.meta["plugin"], config, planned.n or 1, self.resolution)
        if cost is None:
            return None
        if planned.stage in ("fit", "train"):
            return self._at_speed(cost.flops, cost.memory_mb, cost.disk_mb)
        if planned.stage not in PER_IMAGE or not cost.steps:
            return None
        forward = cost.flops / (3 * cost.steps * float(cost.batch or config.get("batch", 1)))
        passes = float(config.get("sampling_steps", 1)) if drawn else 1.0
        disk = planned.n * self.resolution**2 * 3 / 2**20 if drawn else 0.0
        return self._at_speed(planned.n * passes * forward, cost.memory_mb, disk, "rough: ")

    def _at_speed(self, flops: float, memory_mb: float, disk_mb: float, doubt: str = "") -> StageCost:
        """Cost of a stage of ``flops`` operations; without a speed memory and disk alone, and the work in words."""
        speed, how = self.flops_per_second
        seconds = None if speed is None else flops / speed
        basis = how if speed is not None else f"{flops:.1e} operations, speed unknown"
        return StageCost(seconds, PROCESS_MB + memory_mb, disk_mb, doubt + basis)

    @cached_property
    def flops_per_second(self) -> tuple[float | None, str]:
        """(speed, where it comes from): that of earlier fits here, else a share of a matrix product's."""
        speeds = []
        for (stage, _, _), past in self.history.items():
            for p in past if stage in ("fit", "train") else []:
                cost = stated_cost(p.meta["plugin"], p.meta["config"], 1, int(p.meta.get("resolution") or 0))
                if cost is not None and cost.flops > TELLING_FLOPS:
                    speeds.append(cost.flops / p.meta["seconds"])
        if speeds:
            speed = statistics.median(speeds)
            return speed, f"stated operations at {speed / 1e9:.0f} GFLOP/s, the speed of earlier fits here"
        if self.device != "cpu":
            return None, ""
        factor = EFFICIENCY[self.precision]
        speed = factor * matmul_flops_per_second()
        return speed, f"stated operations at {speed / 1e9:.0f} GFLOP/s, {factor} times the speed of a matrix product"


def stated_cost(plugin: str, config: Mapping[str, Any], n: int, size: int) -> Cost | None:
    """What ``plugin`` ("module:Class@version") says its fit costs, or None if it does not say."""
    module, _, name = plugin.split("@")[0].partition(":")
    try:
        cls: Any = getattr(importlib.import_module(module), name, None)
        found: Cost | None = cls(cls.Config(**config)).cost(n, size) if hasattr(cls, "cost") else None
        return found
    except (ImportError, ValueError, TypeError, BenchError):
        return None  # a plugin of another version, or it or a file that it reads is gone


def matmul_flops_per_second(rounds: int = 30, side: int = 768) -> float:
    """Speed of a float32 matrix product with all the threads numpy uses: the best round, so neighbours count little."""
    a = np.ones((side, side), dtype=np.float32)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2.0 * side**3 / best


def _work(meta: Mapping[str, Any]) -> tuple[str, str, str]:
    """(stage, plugin, kind of work): measurements of one plugin differ by what their name says without numbers."""
    kind = re.sub(r"\d+", "#", meta["name"]) if meta["stage"] in ("measure", "compare") else ""
    return meta["stage"], meta["plugin"], kind
