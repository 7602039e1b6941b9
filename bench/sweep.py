"""How fast a generator fits and samples at several batch sizes: images per second, spread, memory, work, energy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from bench.capabilities import CanAbridge, NeedsHeldOut
from bench.context import StageContext
from bench.contracts import Generator, Images
from bench.errors import ConfigError, StageError
from bench.memory import peak_memory
from bench.throughput import threads
from bench.timing import Clock, EnergyMeter

WARM_STEPS, WARM_CALLS = 3, 1
SHORTEST, MODEST = 2, 8  # steps of a fit that only makes a generator to draw from; its batch where no option says


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
    """A context that calls ``mark`` after every logged step; nothing is shown or kept, so no scalar is waited for."""

    def __init__(self, folder: Path, device: str, precision: str, mark: Callable[[], None]) -> None:
        super().__init__(0, folder, device, precision, checkpoint_seconds=math.inf)
        self.mark = mark

    def log(self, step: int, total: int | None = None, **scalars: Any) -> None:
        """Mark the end of ``step``."""
        self.mark()


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
    step, over the last ``steps`` that it logs after a warm-up of 3 at least, where the generator can be abridged
    (:class:`CanAbridge`, or options called ``batch`` and ``steps``); otherwise as a whole, once. ``sample`` is timed
    over ``calls`` calls after one. Raises :class:`ConfigError` for a batch below 1.
    """
    if not batches or min(batches) < 1:
        raise ConfigError(f"batch sizes must be 1 or more, got {', '.join(map(str, batches)) or 'none'}")
    bench = _Bench(make, config, train, device, precision)
    for batch in batches if bench.short(steps, 1) else [0]:
        yield bench.attempt("fit", batch, lambda b: bench.fit(b, steps))
    for batch in batches:
        yield bench.attempt("sample", batch, lambda b: bench.sample(b, calls))


@dataclass
class _Bench:
    """What the rows of a sweep share."""

    make: Callable[[Mapping[str, Any]], Any]
    config: BaseModel
    train: Images
    device: str
    precision: str

    def attempt(self, phase: str, batch: int, measure: Callable[[int], Speed]) -> Speed:
        """``measure(batch)``, or a row that says why there is none: the next batch size may do."""
        try:
            return measure(batch)
        except ValidationError as error:
            reason = f"batch {batch}: {error.errors()[0]['msg']}"
        except (RuntimeError, MemoryError, StageError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return self._row(phase, batch, 0, [], error=reason)

    def short(self, steps: int, batch: int) -> dict[str, Any]:
        """Options of a fit that ends in ``steps`` steps of ``batch`` images; empty where it cannot be abridged."""
        model = self.make({})
        if isinstance(model, CanAbridge):
            return dict(model.short_fit(steps, batch))
        return {"steps": steps, "batch": batch} if {"steps", "batch"} <= set(self.options) else {}

    @property
    def options(self) -> Mapping[str, Any]:
        """The generator's options by name."""
        return dict(self.config)

    def fit(self, batch: int, steps: int) -> Speed:
        """Training of ``steps`` steps at ``batch``, or of all of them once where it cannot be abridged (0)."""
        changes = self.short(WARM_STEPS + steps, batch) if batch else {}
        flops = self._fit_flops(changes, steps, batch) if batch else None
        with peak_memory() as peak:
            clock, energy = Clock(self.device), EnergyMeter(self.device)
            clock.mark()
            self._logged_fit(changes, clock.mark)
            clock.mark()
            intervals, joules = clock.seconds(), energy.joules()
        if not batch or len(intervals) < WARM_STEPS + steps:
            whole, images = [sum(intervals)], len(self.train)
            return self._row("fit", len(self.train), images, whole, peak, None, joules, energy.source)
        timed = intervals[-1 - steps : -1]  # the last interval is what fit does after its last step
        share = None if joules is None else joules * sum(timed) / sum(intervals)
        return self._row("fit", batch, batch * steps, timed, peak, flops, share, energy.source)

    def sample(self, batch: int, calls: int) -> Speed:
        """``calls`` calls of ``sample`` for ``batch`` images, of a generator fitted for a step or two."""
        from bench.operations import OperationCounter

        option = getattr(self.make({}), "drawing_option", "sampling_batch")
        changes = {option: batch} if option in self.options else {}
        labels = np.arange(batch, dtype=np.int64) % self.train.num_classes
        with TemporaryDirectory(prefix="bench-speed-") as folder:
            quiet = StageContext(0, Path(folder), self.device, self.precision, checkpoint_seconds=math.inf)
            model = self.make({**self._shortest(), **changes})
            self._fit(model, quiet)
            for _ in range(WARM_CALLS):
                model.sample(labels, quiet)
            with OperationCounter() as counter:
                model.sample(labels, quiet)
            with peak_memory() as peak:
                clock, energy = Clock(self.device), EnergyMeter(self.device)
                clock.mark()
                for _ in range(calls):
                    model.sample(labels, quiet)
                    clock.mark()
                intervals, joules = clock.seconds(), energy.joules()
        flops = counter.total / batch or None
        return self._row("sample", batch, batch * calls, intervals, peak, flops, joules, energy.source)

    def _shortest(self) -> dict[str, Any]:
        """Options of a fit of two steps at the generator's own batch, which only makes one to draw from."""
        return self.short(SHORTEST, self.options.get("batch") or MODEST)

    def _fit_flops(self, changes: Mapping[str, Any], steps: int, batch: int) -> float | None:
        """Operations of one image over the steps that are timed; a fit of its own, since counting takes time."""
        from bench.operations import OperationCounter

        seen: list[float] = []
        with OperationCounter() as counter:
            self._logged_fit(changes, lambda: seen.append(counter.total))
        if len(seen) <= steps:
            return None
        return (seen[-1] - seen[-1 - steps]) / (steps * batch) or None

    def _logged_fit(self, changes: Mapping[str, Any], mark: Callable[[], None]) -> None:
        """A fit with ``changes`` that calls ``mark`` after each logged step."""
        with TemporaryDirectory(prefix="bench-speed-") as folder:
            self._fit(self.make(changes), Meter(Path(folder), self.device, self.precision, mark))

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
