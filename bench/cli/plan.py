"""``bench plan``: what a run will do, what is cached, what it will cost."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options as opt

if TYPE_CHECKING:
    from rich.console import Console

    from bench.plan import Plan, PlannedStage


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(plan)


def plan(
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
    every: Annotated[bool, typer.Option("--all", help="One row a stage instead of one a kind of stage.")] = False,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Plan a run without doing it: its stages, which are cached, and an estimate of time, memory and disk.

    The data set is prepared if it is not yet, because every count depends on it. Nothing is trained.
    """
    from bench.cli.console import console, print_json
    from bench.plan import plan as make_plan
    from bench.progress import make_reporter

    config = opt.run_config(
        data=data, task=task, on_bad=on_bad, also_test=also_test, seeds=seeds, sets=sets, arms=arms,
        preset=preset, run_file=run_file,
        protocol=protocol, generator=generator, classifier=classifier, extractor=extractor,
        device=device, precision=precision, threads=threads, store=store, out=out,
    )  # fmt: skip
    with make_reporter(console(stderr=True, plain=plain), plain=plain, summary=False) as reporter:
        made = make_plan(config, reporter)
    if as_json:
        print_json(_as_json(made))
    else:
        print_plan(made, console(plain=plain), every=every)


def _as_json(made: Plan) -> dict[str, Any]:
    totals = {
        "stages": len(made.stages),
        "to_do": len(made.to_do),
        "seconds": made.seconds,
        "without_estimate": made.unknown,
        "memory_mb": made.memory_mb,
        "disk_mb": made.disk_mb,
    }
    return {**asdict(made), "total": totals}


def print_plan(made: Plan, screen: Console, *, every: bool = False) -> None:
    """The stages in order, one row for those that differ by numbers only (or ``every`` one), and the totals."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bench.format import megabytes
    from bench.progress import duration

    table = Table(
        title=f"\n{made.run_id}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    table.add_column("stage", overflow="fold", ratio=3)
    for column in ("times", "cached", "time", "memory", "disk"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("estimate", overflow="fold", ratio=2)
    notes: dict[str, str] = {}
    for title, stages in _grouped(made.stages, every):
        table.add_row(
            title, *_cells(stages), _basis(stages, notes), style="dim" if all(s.cached for s in stages) else ""
        )
    screen.print(table)
    for text, mark in notes.items():
        screen.print(Text(f"{mark} {text}", style="dim"))
    unknown = f", and {made.unknown} without an estimate" if made.unknown else ""
    known = len(made.to_do) - made.unknown
    screen.print(Text.assemble(
        "\n", (f"about {duration(made.seconds)}", "bold"), f" for {known} stages{unknown}; "
        f"{len(made.stages) - len(made.to_do)} cached; {megabytes(made.disk_mb)} of disk; "
        f"peak memory {megabytes(made.memory_mb)}; on {made.device}, {made.precision}",
    ))  # fmt: skip
    for note in made.notes:
        screen.print(Text(note, style="yellow"))


def _grouped(stages: list[PlannedStage], every: bool) -> list[tuple[str, list[PlannedStage]]]:
    if every:
        return [(s.title, [s]) for s in stages]
    groups: dict[str, list[PlannedStage]] = {}
    for stage in stages:
        groups.setdefault(re.sub(r"\d+", "#", re.sub(r"^seed \d+ · ", "", stage.title)), []).append(stage)
    several = len({m[0] for s in stages if (m := re.match(r"seed \d+ ", s.title))}) > 1
    return [(g[0].title.split(" · ")[-1] if len(g) == 1 and not several else title, g) for title, g in groups.items()]


def _cells(stages: list[PlannedStage]) -> list[str]:
    from bench.format import NOTHING, megabytes
    from bench.progress import duration

    cached = sum(s.cached for s in stages)
    todo = [s.cost for s in stages if not s.cached]
    seconds = [c.seconds for c in todo if c.seconds is not None]
    memory = [c.memory_mb for c in todo if c.memory_mb]
    disk = [c.disk_mb for c in todo if c.disk_mb is not None]
    return [
        str(len(stages)),
        str(cached) if cached else "",
        "" if not todo else duration(sum(seconds)) if seconds else NOTHING,
        "" if not todo else megabytes(max(memory, default=None)),
        "" if not todo else megabytes(sum(disk) if disk else None),
    ]


def _basis(stages: list[PlannedStage], notes: dict[str, str]) -> str:
    """Short words, long ones as a footnote that is said once."""
    bases = list(dict.fromkeys(s.cost.basis for s in stages if not s.cached))
    words = []
    for basis in bases:
        words.append(basis if len(basis) <= 24 else notes.setdefault(basis, f"({len(notes) + 1})"))
    return ", ".join(words) if bases else "cached"
