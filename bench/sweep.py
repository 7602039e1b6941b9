"""How fast a generator fits and samples at several batch sizes: images per second, spread, memory, work, energy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import BaseModel

from bench.capabilities import NeedsHeldOut
from bench.context import StageContext
from bench.contracts import Generator, Images
from bench.errors import ConfigError, StageError
from bench.memory import peak_memory
from bench.throughput import threads
from bench.timing import Clock, EnergyMeter

WARM_STEPS, WARM_CALLS = 3, 1


@dataclass(frozen=True)
class Speed:
    """One row of the sweep. ``ms_per_image``: p50 and p95 over steps of a fit, or over calls of ``sample``.

    flops  operations of one image (multiply-adds x 2, forward and backward in a fit) as torch counts them: matrix
           products, convolutions and attention; None where none was seen
    error  why there is no number, e.g. out of memory at this batch size
    """

    phase: str
    batch: int
    images: int
    seconds: float
    images_per_second: float | None
    ms_p50: float | None
    ms_p95: float | None
    memory_mb: float | None
    gpu_memory_mb: float | None
    flops: float | None
    joules_per_image: float | None
    energy_source: str
    device: str
    precision: str
    threads: int
    error: str = ""

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


class Meter(StageContext):
    """A context that marks the time of every logged step."""

    def __init__(self, folder: Path, device: str, precision: str) -> None:
        super().__init__(0, folder, device, precision, checkpoint_seconds=math.inf)
        self.clock = Clock(device)

    def log(self, step: int, total: int | None = None, **scalars: Any) -> None:
        """Mark the end of ``step``; nothing is shown or kept, so that no scalar is waited for."""
        self.clock.mark()


def sweep(
    make: Callable[[Mapping[str, Any]], Any],
    config: BaseModel,
    train: Images,
    batches: Sequence[int],
    *,
    device: str,
    precision: str,
    steps: int = 20,
    calls: int = 5,
) -> Iterator[Speed]:
    """Rows for ``fit`` and then ``sample`` at each of ``batches``, as they are measured.

    ``make(changes)`` gives a fresh generator whose options are ``config`` with ``changes``. A fit is timed step by
    step, over ``steps`` of them after a warm-up of 3, where the options have ``batch`` and ``steps`` and ``fit`` logs
    its steps; otherwise as a whole, once. ``sample`` is timed over ``calls`` calls after one. Raises
    :class:`ConfigError` for a batch below 1.
    """
    if not batches or min(batches) < 1:
        raise ConfigError(f"batch sizes must be 1 or more, got {', '.join(map(str, batches)) or 'none'}")
    bench = _Bench(make, set(type(config).model_fields), train, device, precision)
    for batch in batches if {"batch", "steps"} <= bench.fields else [0]:
        yield bench.attempt("fit", batch, lambda b: bench.fit(b, steps))
    for batch in batches:
        yield bench.attempt("sample", batch, lambda b: bench.sample(b, calls))


@dataclass
class _Bench:
    """What the rows of a sweep share. ``fields``: names of the generator's options."""

    make: Callable[[Mapping[str, Any]], Any]
    fields: set[str]
    train: Images
    device: str
    precision: str

    def attempt(self, phase: str, batch: int, measure: Callable[[int], Speed]) -> Speed:
        """``measure(batch)``, or a row that says why there is none: the next batch size may do."""
        try:
            return measure(batch)
        except (RuntimeError, MemoryError, StageError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return self._row(phase, batch, 0, [], error=reason)

    def fit(self, batch: int, steps: int) -> Speed:
        """Training of ``steps`` steps at ``batch``, or of all of them once where there is no such option (0)."""
        changes = {"batch": batch, "steps": WARM_STEPS + steps} if batch else {}
        flops = self._fit_flops(batch)
        with TemporaryDirectory(prefix="bench-speed-") as folder, peak_memory() as peak:
            ctx = Meter(Path(folder), self.device, self.precision)
            energy = EnergyMeter(self.device)
            ctx.clock.mark()
            self._fit(self.make(changes), ctx)
            ctx.clock.mark()
            intervals, joules = ctx.clock.seconds(), energy.joules()
        if not batch or len(intervals) < WARM_STEPS + steps:
            whole, images = [sum(intervals)], len(self.train)
            return self._row("fit", len(self.train), images, whole, peak, None, joules, energy.source)
        timed = intervals[WARM_STEPS : WARM_STEPS + steps]
        share = None if joules is None else joules * sum(timed) / sum(intervals)
        return self._row("fit", batch, batch * steps, timed, peak, flops, share, energy.source)

    def sample(self, batch: int, calls: int) -> Speed:
        """``calls`` calls of ``sample`` for ``batch`` images, of a generator fitted for a step or two."""
        changes = {"sampling_batch": batch} if "sampling_batch" in self.fields else {}
        labels = np.arange(batch, dtype=np.int64) % self.train.num_classes
        with TemporaryDirectory(prefix="bench-speed-") as folder:
            quiet = StageContext(0, Path(folder), self.device, self.precision, checkpoint_seconds=math.inf)
            model = self.make({**self._short(), **changes})
            self._fit(model, quiet)
            for _ in range(WARM_CALLS):
                model.sample(labels, quiet)
            with counted() as work:
                model.sample(labels, quiet)
            with peak_memory() as peak:
                clock, energy = Clock(self.device), EnergyMeter(self.device)
                clock.mark()
                for _ in range(calls):
                    model.sample(labels, quiet)
                    clock.mark()
                intervals, joules = clock.seconds(), energy.joules()
        flops = work[0] / batch if work[0] else None
        return self._row("sample", batch, batch * calls, intervals, peak, flops, joules, energy.source)

    def _fit_flops(self, batch: int) -> float | None:
        """Operations of one image in one training step: of two steps less those of one."""
        if not batch:
            return None
        found = []
        for steps in (1, 2):
            with TemporaryDirectory(prefix="bench-speed-") as folder, counted() as work:
                self._fit(self.make({"batch": batch, "steps": steps}), Meter(Path(folder), self.device, self.precision))
            found.append(work[0])
        return (found[1] - found[0]) / batch or None

    def _short(self) -> dict[str, int]:
        return {name: 2 for name in ("steps", "ae_steps") if name in self.fields}

    def _fit(self, model: Generator, ctx: StageContext) -> None:
        if isinstance(model, NeedsHeldOut):
            model.fit_held_out(self.train, self.train, ctx)
        else:
            model.fit(self.train, ctx)

    def _row(
        self, phase: str, batch: int, images: int, intervals: Sequence[float], peak: Any = None,
        flops: float | None = None, joules: float | None = None, source: str = "", error: str = "",
    ) -> Speed:  # fmt: skip
        seconds = sum(intervals)
        each = [1000 * s * len(intervals) / images for s in intervals] if images else []
        return Speed(
            phase=phase,
            batch=batch,
            images=images,
            seconds=seconds,
            images_per_second=images / seconds if seconds > 0 else None,
            ms_p50=float(np.percentile(each, 50)) if each else None,
            ms_p95=float(np.percentile(each, 95)) if each else None,
            memory_mb=getattr(peak, "megabytes", None),
            gpu_memory_mb=getattr(peak, "gpu_megabytes", None),
            flops=flops,
            joules_per_image=joules / images if joules is not None and images else None,
            energy_source=source,
            device=self.device,
            precision=self.precision,
            threads=threads(),
            error=error,
        )


@contextmanager
def counted() -> Iterator[list[float]]:
    """[operations] of torch inside the block, known when it ends; 0 if there were none."""
    from torch.utils.flop_counter import FlopCounterMode

    found = [0.0]
    with FlopCounterMode(display=False) as counter:
        yield found
    found[0] = float(counter.get_total_flops())
