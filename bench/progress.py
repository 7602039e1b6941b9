"""What a person sees while a run works: a live display on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

WINDOW_SECONDS = 20.0
PLAIN_SECONDS = 10.0
Foresight = Callable[[], Mapping[str, float | None]]


def make_reporter(console: Console, *, plain: bool = False, summary: bool = True) -> RunReporter:
    """A live display where ``console`` is a capable terminal, else plain lines; ``summary``: counts at the end."""
    live = console.is_terminal and not console.is_dumb_terminal and not plain
    reporter: RunReporter = LiveReporter(console) if live else PlainReporter(console)
    reporter.summary = summary
    return reporter


@dataclass
class StageProgress:
    """Step count of a stage at work. Rate and remaining time follow from the last ``WINDOW_SECONDS``."""

    name: str
    started: float
    images_per_step: int | None = None
    step: int = 0
    total: int | None = None
    scalars: dict[str, float] = field(default_factory=dict)
    recent: deque[tuple[float, int]] = field(default_factory=deque)

    def update(self, now: float, step: int, total: int | None, scalars: Mapping[str, float]) -> None:
        if step < self.step or total != self.total:
            self.recent.clear()  # a stage with several loops (autoencoder, then denoiser) starts counting anew
        self.step, self.total, self.scalars = step, total, dict(scalars)
        self.recent.append((now, step))
        while len(self.recent) > 2 and now - self.recent[0][0] > WINDOW_SECONDS:
            self.recent.popleft()

    @property
    def steps_per_second(self) -> float | None:
        if len(self.recent) < 2:
            return None
        (t0, first), (t1, last) = self.recent[0], self.recent[-1]
        return (last - first) / (t1 - t0) if t1 > t0 and last > first else None

    @property
    def remaining(self) -> float | None:
        """Seconds to the last step of the present loop."""
        rate = self.steps_per_second
        return None if rate is None or self.total is None else max(0, self.total - self.step) / rate

    def rate_text(self) -> str:
        """ "1,250 images/s", or steps where their images are not known; time per step where one takes seconds."""
        rate = self.steps_per_second
        if rate is None:
            return ""
        if self.images_per_step is not None:
            return f"{rate * self.images_per_step:,.0f} images/s"
        return f"{rate:,.1f} steps/s" if rate >= 1 else f"{1 / rate:.1f} s/step"

    def scalars_text(self, limit: int = 2) -> str:
        shown = sorted(self.scalars.items(), key=lambda item: (item[0] != "loss", item[0]))
        return "  ".join(f"{name} {value:.4g}" for name, value in shown[:limit])


class Tracker:
    """Stages of a run: which work, which are done, and how long the rest will take."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.begun = clock()
        self.active: dict[str, StageProgress] = {}
        self.counts: dict[str, int] = {}
        self.expected: dict[str, float | None] = {}
        self.done: dict[str, float] = {}

    def start(self, name: str, images_per_step: int | None = None) -> None:
        self.active[name] = StageProgress(name, self.clock(), images_per_step)

    def update(self, name: str, step: int, total: int | None, scalars: Mapping[str, float]) -> StageProgress:
        if name not in self.active:
            self.start(name)
        self.active[name].update(self.clock(), step, total, scalars)
        return self.active[name]

    def finish(self, name: str, status: str, seconds: float) -> None:
        self.active.pop(name, None)
        self.counts[status] = self.counts.get(status, 0) + 1
        self.done[name] = seconds if status in ("executed", "resumed") else 0.0

    @property
    def finished(self) -> int:
        return sum(self.counts.values())

    @property
    def elapsed(self) -> float:
        return self.clock() - self.begun

    def remaining(self) -> tuple[float, bool] | None:
        """(seconds to the end of the run, whether every stage has an estimate); None if none has one.

        Estimates of the stages left, scaled by how those of the finished ones came out.
        """
        known = [(e, s) for name, s in self.done.items() if (e := self.expected.get(name)) and s]
        ratio = sum(s for _, s in known) / sum(e for e, _ in known) if known else 1.0
        left = {name: e for name, e in self.expected.items() if name not in self.done}
        seconds = [
            max(0.0, e * ratio - (self.clock() - self.active[name].started if name in self.active else 0.0))
            for name, e in left.items()
            if e is not None
        ]
        return (sum(seconds), len(seconds) == len(left)) if seconds else None

    def summary(self, *, over: bool = False) -> str:
        """ "7 of 30 stages (4 cached) · 1:02 elapsed · 5:10 left"; of a run that is ``over`` only what it did."""
        ahead = bool(self.expected) and len(self.expected) >= self.finished and not over
        total = f" of {len(self.expected)}" if ahead else ""
        cached = f" ({self.counts['cached']} cached)" if self.counts.get("cached") else ""
        noun = "stage" if self.finished == 1 and not ahead else "stages"
        parts = [f"{self.finished}{total} {noun}{cached}", f"{duration(self.elapsed)} elapsed"]
        left = None if over else self.remaining()
        if left is not None:
            parts.append(f"{'about' if left[1] else 'at least'} {duration(left[0])} left")
        return " · ".join(parts)


class RunReporter:
    """A :class:`bench.context.Reporter` that is opened for one run.

    ``foresee``: asked once the data are ready for the stages to come, in order, with their estimated seconds (None:
    not known). ``summary``: whether a last line counts the stages.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self.tracker = Tracker(clock)
        self.foresee: Foresight | None = None
        self.summary = True

    def data_ready(self) -> None:
        self.tracker.expected = dict(self.foresee()) if self.foresee else {}

    def stage_started(self, name: str, images_per_step: int | None = None) -> None:
        self.tracker.start(name, images_per_step)

    def progress(self, stage: str, step: int, total: int | None, scalars: Mapping[str, float]) -> None:
        self.tracker.update(stage, step, total, scalars)

    def stage_finished(self, name: str, status: str, seconds: float) -> None:
        self.tracker.finish(name, status, seconds)

    def message(self, text: str) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.tracker.finished and self.summary:
            self.message(self.tracker.summary(over=kind is None))


class PlainReporter(RunReporter):
    """One line a stage, and one every ``every`` seconds of a stage that takes longer."""

    def __init__(
        self, console: Console, every: float = PLAIN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console, clock)
        self.every = every
        self._said = self.tracker.begun

    def stage_started(self, name: str, images_per_step: int | None = None) -> None:
        super().stage_started(name, images_per_step)
        self.message(f"{name} ...")

    def progress(self, stage: str, step: int, total: int | None, scalars: Mapping[str, float]) -> None:
        state = self.tracker.update(stage, step, total, scalars)
        if self.tracker.clock() - self._said < self.every:
            return
        of = f"/{total} ({step / total:.0%})" if total else ""
        left = "" if state.remaining is None else f"{duration(state.remaining)} left"
        words = [f"{stage}: step {step}{of}", state.scalars_text(), state.rate_text(), left]
        self.message("  ".join(w for w in words if w))

    def stage_finished(self, name: str, status: str, seconds: float) -> None:
        super().stage_finished(name, status, seconds)
        self.message(finished_text(name, status, seconds))

    def message(self, text: str) -> None:
        self._said = self.tracker.clock()
        line = f"[{duration(self.tracker.elapsed):>6}] {text}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self.console.file.flush()


class LiveReporter(RunReporter):
    """Finished stages scroll up; below them the stages at work and the state of the run are redrawn in place."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self.live = Live(self, console=console, refresh_per_second=4, transient=True)

    def stage_finished(self, name: str, status: str, seconds: float) -> None:
        super().stage_finished(name, status, seconds)
        colour = {"failed": "red", "cached": "dim"}.get(status, "green")
        mark = {"failed": "✗", "cached": "·"}.get(status, "✓")
        self.console.print(Text.assemble((f"{mark} ", colour), finished_text(name, status, seconds)))

    def message(self, text: str) -> None:
        self.console.print(Text(text, style="cyan"))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = Table.grid(padding=(0, 2, 0, 0), expand=False)
        for stage in list(self.tracker.active.values()):
            grid.add_row(*self._cells(stage, options.max_width))
        if self.tracker.active:
            yield grid
        yield Text(self.tracker.summary(), style="cyan", no_wrap=True, overflow="ellipsis")

    def _cells(self, stage: StageProgress, width: int) -> list[Text | ProgressBar]:
        """Name, bar, steps, scalars, speed and remaining time, as many as ``width`` columns hold."""
        wide, narrow = width >= 110, width < 76
        name = Text(stage.name, style="bold", no_wrap=True)
        name.truncate(44 if wide else 22, overflow="ellipsis")
        if stage.step == 0 and stage.total is None:
            return [name, Text(duration(self.tracker.clock() - stage.started), style="dim")]
        bar = ProgressBar(total=stage.total, completed=stage.step, width=24 if wide else 8, pulse=stage.total is None)
        count = f"{stage.step}/{stage.total}" if stage.total else str(stage.step)
        left = "" if stage.remaining is None else f"{duration(stage.remaining)} left"
        scalars = [] if narrow else [Text(stage.scalars_text(3 if wide else 1), no_wrap=True)]
        ends = [Text(text, no_wrap=True) for text in (stage.rate_text(), left)]
        return [name, *([] if narrow else [bar]), Text(count, no_wrap=True), *scalars, *ends]

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()
        super().__exit__(kind, error, trace)


def finished_text(name: str, status: str, seconds: float) -> str:
    """The line of a finished stage; ``seconds`` are those of its execution, now or when it was stored."""
    how = {"executed": "done in", "resumed": "resumed and done, in all", "failed": "FAILED after"}
    return f"{name}: cached" if status == "cached" else f"{name}: {how.get(status, status)} {duration(seconds)}"


def duration(seconds: float) -> str:
    """0.4 s, 12.3 s, 4:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
