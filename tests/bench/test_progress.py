"""Progress: rates and remaining times from the clock, one plain line at a time, a live display that fits."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.progress import LiveReporter, PlainReporter, StageProgress, duration, make_reporter


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain(clock: Clock) -> tuple[PlainReporter, io.StringIO]:
    text = io.StringIO()
    return PlainReporter(Console(file=text, width=80), every=10.0, clock=clock), text


def test_plain_lines_at_start_end_and_every_ten_seconds() -> None:
    clock = Clock()
    reporter, text = plain(clock)
    with reporter:
        reporter.stage_started("fit ddpm", 64)
        for step in range(1, 201):
            clock.now += 0.125
            reporter.progress("fit ddpm", step, 500, {"loss": 0.25, "lr": 0.001})
        reporter.stage_finished("fit ddpm", "executed", 25.0)
        reporter.stage_finished("predict test", "cached", 3.0)
    lines = text.getvalue().splitlines()
    assert lines[0] == "[ 0.0 s] fit ddpm ..."
    assert lines[1] == "[10.0 s] fit ddpm: step 80/500 (16%)  loss 0.25  lr 0.001  512 images/s  52.5 s left"
    assert lines[2].startswith("[20.0 s] fit ddpm: step 160/500 (32%)")
    assert lines[3:] == [
        "[25.0 s] fit ddpm: done in 25.0 s",
        "[25.0 s] predict test: cached",
        "[25.0 s] 2 stages (1 cached) · 25.0 s elapsed",
    ]
    assert "\x1b" not in text.getvalue()


def test_rate_forgets_what_is_long_ago() -> None:
    stage = StageProgress("fit", 0.0)
    for second in range(100):
        stage.update(float(second), second, 1000, {})
    for second in range(100, 160):
        stage.update(float(second), 100 + 10 * (second - 100), 1000, {})
    assert stage.steps_per_second == pytest.approx(10.0, rel=0.01)
    assert stage.remaining == pytest.approx((1000 - 690) / 10, rel=0.01)


def test_a_second_loop_in_a_stage_starts_its_own_rate() -> None:
    stage = StageProgress("fit ldm", 0.0)
    for second in range(10):
        stage.update(float(second), 100 * second, 900, {})
    stage.update(10.0, 1, 50, {})
    assert stage.steps_per_second is None
    stage.update(11.0, 3, 50, {})
    assert stage.steps_per_second == pytest.approx(2.0)


def test_a_resumed_stage_counts_only_new_steps() -> None:
    stage = StageProgress("fit", 0.0)
    stage.update(1.0, 801, 1000, {})
    stage.update(2.0, 811, 1000, {})
    assert stage.steps_per_second == pytest.approx(10.0)
    assert stage.rate_text() == "10.0 steps/s"
    stage.update(12.0, 812, 1000, {})
    assert stage.rate_text() == "1.0 steps/s"


def test_remaining_time_of_the_run_learns_from_finished_stages() -> None:
    clock = Clock()
    reporter, _ = plain(clock)
    reporter.foresee = lambda: {"a": 10.0, "b": 10.0, "c": 20.0}
    reporter.data_ready()
    assert reporter.tracker.remaining() == (40.0, True)
    reporter.stage_started("a")
    clock.now += 20
    reporter.stage_finished("a", "executed", 20.0)
    assert reporter.tracker.remaining() == (60.0, True), "twice as slow as estimated"
    reporter.stage_started("b")
    clock.now += 5
    assert reporter.tracker.remaining() == (55.0, True)
    assert reporter.tracker.summary() == "1 of 3 stages · 25.0 s elapsed · about 55.0 s left"


def test_a_run_that_is_over_has_nothing_left() -> None:
    """Stages that it turned out not to need are no work to come; after an error they are."""
    clock = Clock()
    reporter, text = plain(clock)
    reporter.foresee = lambda: {"a": 10.0, "spare": 5.0}
    with reporter:
        reporter.data_ready()
        reporter.stage_started("a")
        clock.now += 10
        reporter.stage_finished("a", "executed", 10.0)
    assert text.getvalue().splitlines()[-1] == "[10.0 s] 1 stage · 10.0 s elapsed"
    with pytest.raises(KeyboardInterrupt), reporter:
        raise KeyboardInterrupt
    assert text.getvalue().splitlines()[-1] == "[10.0 s] 1 of 2 stages · 10.0 s elapsed · about 5.0 s left"


def test_remaining_time_with_unknown_stages_is_a_lower_bound() -> None:
    reporter, _ = plain(Clock())
    reporter.foresee = lambda: {"a": 90.0, "b": None}
    reporter.data_ready()
    assert reporter.tracker.summary() == "0 of 2 stages · 0.0 s elapsed · at least 1:30 left"
    reporter.foresee = lambda: {"a": None}
    reporter.data_ready()
    assert reporter.tracker.remaining() is None


@pytest.mark.parametrize("width", [60, 80, 140])
def test_live_display_fits_and_shows_everything(width: int) -> None:
    clock, text = Clock(), io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, highlight=False)
    reporter = LiveReporter(console, clock)
    reporter.stage_started("seed 3 · train small_cnn: round 2 C3 varied random real", 64)
    for step in range(1, 20):
        clock.now += 0.5
        reporter.progress(next(iter(reporter.tracker.active)), step, 1200, {"loss": 0.51234, "lr": 2e-3})
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(reporter)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "seed 3 · train" in lines[0]
    assert "19/1200" in lines[0]
    if width >= 80:
        assert "loss 0.5123" in lines[0]
        assert "128 images/s" in lines[0]
        assert "9:50 left" in lines[0]
    assert "9.5 s elapsed" in lines[1]


def test_live_only_on_a_capable_terminal() -> None:
    def console(**options: object) -> Console:
        return Console(file=io.StringIO(), **options)  # type: ignore[arg-type]

    assert isinstance(make_reporter(console(force_terminal=True, _environ={"TERM": "xterm"})), LiveReporter)
    assert isinstance(make_reporter(console(force_terminal=True, _environ={"TERM": "dumb"})), PlainReporter)
    assert isinstance(make_reporter(console()), PlainReporter)
    capable = console(force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(make_reporter(capable, plain=True), PlainReporter)


def test_durations() -> None:
    assert [duration(s) for s in (0.04, 59.94, 60, 3599.6, 3723)] == ["0.0 s", "59.9 s", "1:00", "1:00:00", "1:02:03"]
