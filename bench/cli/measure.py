"""``bench measure``: numbers for two folders of images, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options as opt
from bench.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.contracts import Estimate
    from bench.measure import Measured

Real = Annotated[Path, typer.Argument(help="Real images: folder, zip or tar; flat or CLASS/image.", show_default=False)]
Synthetic = Annotated[Path, typer.Argument(help="Synthetic images, likewise.", show_default=False)]
Train = Annotated[
    Path | None,
    typer.Option("--train", help="Images the generator was trained on; REAL are then held-out.", show_default=False),
]
HeldOut = Annotated[
    Path | None,
    typer.Option("--held-out", help="Held-out real images; the generator was trained on REAL.", show_default=False),
]
ExtractorName = Annotated[str, typer.Option("--extractor", help="pixels, or a name of `bench list extractor`.")]
Resolution = Annotated[
    int | None,
    typer.Option("--resolution", min=8, help="Side all images are brought to. Default: as they are.", metavar="N"),
]
Seed = Annotated[int, typer.Option("--seed", help="Of subsets and bootstrap.")]
Infinity = Annotated[bool, typer.Option("--fid-infinity", help="Also FID extrapolated to infinite n (slow).")]
Failures = Annotated[
    bool, typer.Option("--failures/--no-failures", help="Look for checkerboards, duplicates and missing lesions.")
]
Pairs = Annotated[int, typer.Option("--pairs", min=0, max=20, help="How many of the closest pairs are listed.")]


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(measure)


def measure(
    real: Real,
    synthetic: Synthetic,
    train: Train = None,
    held_out: HeldOut = None,
    extractor: ExtractorName = "pixels",
    resolution: Resolution = None,
    seed: Seed = 0,
    fid_infinity: Infinity = False,
    failures: Failures = True,
    pairs: Pairs = 5,
    device: opt.Device = None,
    store: opt.StoreDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Measure synthetic images against real ones: fidelity, copies and visible failures, each with its interval.

    Features are computed once for each content, extractor and preprocessing, and kept in the store.
    """
    from bench.cli.console import console, print_json
    from bench.environment import resolve_device
    from bench.measure import measure_folders
    from bench.store import Store

    if held_out is not None and train is not None:
        raise ConfigError("--train and --held-out: give one; REAL is the other of training and held-out images")
    if held_out is not None:
        real, train = held_out, real
    progress = console(stderr=True, plain=plain)
    found = measure_folders(
        real, synthetic, train, extractor=extractor, resolution=resolution, seed=seed, extrapolate=fid_infinity,
        failures=failures, device=resolve_device(device or "auto"), store=Store(store or Path(".bench/store")),
        say=progress.print,
    )  # fmt: skip
    if as_json:
        print_json(found.plain())
    else:
        print_measured(found, console(plain=plain), pairs)


def print_measured(found: Measured, screen: Console, pairs: int) -> None:
    """The table: a metric a row, with its interval, its null or floor, and why it has no value."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bench.format import interval
    from bench.record import EstimateRecord
    from bench.report import ARROWS
    from bench.tables import metric_title

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    rows = found.metrics | found.failures
    floor_title = f"real against real, n = {found.floor_n:,}"
    for column in ("metric", "value and 95 % interval", floor_title, "n"):
        table.add_column(column, overflow="fold")
    for name, e in rows.items():
        if name in found.failures and name == next(iter(found.failures)):
            table.add_section()
        floor = found.floor.get(name)
        beside = interval(EstimateRecord(**vars(floor))) if floor is not None else null_of(e)
        value = interval(EstimateRecord(**vars(e)))
        table.add_row(metric_title(name) + ARROWS[e.direction], value, beside, f"{e.n:,}")
    screen.print(Text.assemble("\n", ("extractor  ", "dim"), found.extractor, ("   images  ", "dim"), found.resize))
    screen.print(table)
    for why in dict.fromkeys(e.reason for e in rows.values() if e.reason):
        names = ", ".join(metric_title(n) for n, e in rows.items() if e.reason == why)
        screen.print(Text(f"undefined, because {why}: {names}", style="yellow"), soft_wrap=True)
    for how in dict.fromkeys(e.method for e in rows.values() if e.method):
        names = ", ".join(metric_title(n) for n, e in rows.items() if e.method == how)
        screen.print(Text(f"{names}: {how}", style="dim"), soft_wrap=True)
    for note in found.notes:
        screen.print(Text(f"note: {note}"), soft_wrap=True)
    if pairs and found.pairs:
        screen.print(Text("\nclosest pairs (synthetic, real, distance of 16 px thumbnails)", style="bold"))
        for pair in found.pairs[:pairs]:
            screen.print(Text(f"  {pair.distance:#.4g}  {pair.synthetic}  {pair.real}"), soft_wrap=True)


def null_of(estimate: Estimate) -> str:
    """ "0.010 (null)": what reals score in a metric of memorization; "" where there is no such thing."""
    from bench.format import number

    null = estimate.extra.get("null")
    return "" if null is None else f"{number(float(null), 1.0)} (null)"
