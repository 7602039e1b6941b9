"""``bench run`` and ``bench resume``."""

from __future__ import annotations

import json
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options as opt
from bench.errors import BenchError, ConfigError, StageError
from bench.training import processes

if TYPE_CHECKING:
    from bench.config import RunConfig
    from bench.progress import RunReporter

INTERRUPTED = 130
EXIT_CODES = {"complete": 0, "partial": 6, "failed": StageError.exit_code}
RunDir = Annotated[Path, typer.Argument(help="Folder of an earlier run.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(run)
    app.command()(resume)


def run(
    ctx: typer.Context,
    protocol: opt.ProtocolName = None,
    generator: opt.GeneratorName = None,
    classifier: opt.ClassifierName = None,
    extractor: opt.ExtractorName = None,
    data: opt.DataSpec = None,
    preset: opt.PresetName = None,
    run_file: opt.RunFile = None,
    sets: opt.Sets = None,
    seeds: opt.Seeds = None,
    arms: opt.ArmSet = None,
    task: opt.TaskName = None,
    on_bad: opt.OnBad = None,
    also_test: opt.AlsoTest = None,
    device: opt.Device = None,
    precision: opt.Precision = None,
    threads: opt.Threads = None,
    store: opt.StoreDir = None,
    out: opt.OutDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Run data x protocol x generator x classifier x seeds and print what came out.

    Finished stages are kept: the same command goes on where it was stopped and repeats nothing.
    Exit code: 0 complete, 6 some seeds failed, 5 all failed, 2 bad options, 3 bad data, 4 leak, 130 interrupted.
    """
    config = opt.run_config(
        data=data, task=task, on_bad=on_bad, also_test=also_test, seeds=seeds, sets=sets, arms=arms,
        preset=preset, run_file=run_file,
        protocol=protocol, generator=generator, classifier=classifier, extractor=extractor,
        device=device, precision=precision, threads=threads, store=store, out=out,
    )  # fmt: skip
    carry_out(config, opt.command_line(ctx), as_json=as_json, plain=plain)


def resume(run_dir: RunDir, as_json: opt.AsJson = False, plain: opt.Plain = False) -> None:
    """Go on with the run in RUN_DIR, with the configuration stored there."""
    from pydantic import ValidationError

    from bench.config import RunConfig

    path = run_dir / "config.json"
    if not path.exists():
        raise ConfigError(f"{run_dir}: no config.json, so this is not the folder of a run")
    try:
        config = RunConfig(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError, ValidationError) as error:
        raise ConfigError(f"{path}: not a run configuration: {error}") from None
    carry_out(config, f"python -m bench resume {run_dir}", as_json=as_json, plain=plain)


def carry_out(config: RunConfig, command: str, *, as_json: bool, plain: bool) -> None:
    """Execute ``config`` with progress, print the tables, write ``table.txt``, end with the exit code of its status."""
    from bench.cli.console import console, print_json
    from bench.progress import make_reporter

    for kind in ("protocol", "generator", "classifier", "extractor", "domain"):
        config.plugin(kind)  # a wrong name or option is told before torch is imported
    if not processes.is_first():
        _assist(config, command)
    screen = console(stderr=as_json, plain=plain)
    try:
        with _sigterm_interrupts(), make_reporter(screen, plain=plain) as reporter, _warnings_to(reporter):
            from bench.run import execute

            reporter.foresee = partial(_expected, config)
            result = execute(config, reporter, command)
    except KeyboardInterrupt:
        screen.print(f"interrupted; finished stages are kept, go on with: {command}", markup=False, soft_wrap=True)
        # An interrupt inside exec() (imports of dataclasses) leaves CPython's mark of an unhandled one, and the process
        # would end by signal instead of by exit code; running any code string takes the mark away.
        exec("")
        raise typer.Exit(INTERRUPTED) from None
    from bench.report import print_report, write_table

    write_table(result.record, result.folder)
    print_report(result.record, result.folder, screen)
    if as_json:
        print_json(result.record.model_dump_json(indent=1))
    raise typer.Exit(EXIT_CODES[result.record.status])


def _assist(config: RunConfig, command: str) -> None:
    """What a process does that is not the first of its launch: the same run, of which it keeps and shows nothing."""
    from tempfile import TemporaryDirectory

    from bench.run import execute

    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = execute(config.model_copy(update={"out": Path(folder)}), None, command)
    raise typer.Exit(EXIT_CODES[result.record.status])


def _expected(config: RunConfig) -> dict[str, float | None]:
    """Stages of the run with estimated seconds, for the remaining time; nothing where it cannot be planned."""
    from bench.plan import plan

    try:
        with processes.alone():  # others of a launch show nothing and plan nothing
            return plan(config).expected()
    except BenchError:
        return {}  # the run will say what is wrong


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """A batch system's SIGTERM ends the run the way Ctrl-C does."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _warnings_to(reporter: RunReporter) -> Iterator[None]:
    """Warnings appear as one line of the progress, not across the live display."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        reporter.message(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
