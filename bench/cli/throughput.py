"""``bench throughput``: how fast a generator fits and samples, at several batch sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options as opt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from bench.sweep import Speed

Batches = Annotated[str, typer.Option("--batches", help="Batch sizes, e.g. 1,8,64.", metavar="LIST")]
Steps = Annotated[int, typer.Option("--steps", min=1, help="Training steps that are timed, after a warm-up of 3.")]
Calls = Annotated[int, typer.Option("--calls", min=1, help="Calls of sample that are timed, after one.")]
Resolution = Annotated[int, typer.Option("--resolution", min=16, help="Side of the images in pixels.")]
Images = Annotated[int, typer.Option("-n", "--images", min=8, help="Training images; phantoms, since any will do.")]


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(throughput)


def throughput(
    generator: opt.GeneratorName = None,
    batches: Batches = "1,8,64",
    steps: Steps = 20,
    calls: Calls = 5,
    resolution: Resolution = 32,
    images: Images = 256,
    preset: opt.PresetName = None,
    sets: opt.Sets = None,
    device: opt.Device = None,
    precision: opt.Precision = None,
    threads: opt.Threads = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Measure images per second, spread, memory, operations and energy of a generator's fit and sample.

    The options are those of a run; batch sizes and the length of the fit are changed by the sweep. A fit is timed over
    steps of what most of it consists of: those of the UNet in ldm, those at full size in pggan.
    """
    from bench.cli.console import console, print_json
    from bench.environment import environment

    sizes = parse_batches(batches)
    config = opt.run_config(
        data=None, task=None, on_bad=None, seeds=None, sets=sets, generator=generator, preset=preset, device=device,
        precision=precision, threads=threads,
    )  # fmt: skip
    screen = console(stderr=True, plain=plain)
    rows = []
    for row in _rows(config, sizes, steps, calls, resolution, images):
        screen.print(f"{row.phase} at {row.batch}: {_speed(row)}", highlight=False)
        rows.append(row)
    if as_json:
        about = {"generator": config.generator.name, "preset": config.preset, "resolution": resolution}
        where = environment(rows[0].device, rows[0].precision, rows[0].threads).model_dump(mode="json")
        print_json({**about, "environment": where, "rows": [row.plain() for row in rows]})
    else:
        console(plain=plain).print(table(rows, f"{config.generator.name} ({config.preset}) at {resolution} px"))
    raise typer.Exit(int(all(row.error for row in rows)))


def parse_batches(text: str) -> list[int]:
    """ "1,8,64" as numbers. Raises :class:`ConfigError` for anything else."""
    from bench.errors import ConfigError

    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ConfigError(f"--batches {text!r}: give batch sizes of 1 or more, e.g. 1,8,64")
    return found


def _rows(config: Any, batches: Sequence[int], steps: int, calls: int, size: int, n: int) -> Any:
    import numpy as np

    from bench.data.base import CanDraw, DataConfig
    from bench.data.prepare import resolve
    from bench.environment import resolve_device, resolve_precision, use_threads
    from bench.sweep import sweep

    device = resolve_device(config.device)
    use_threads(config.threads)  # before anything is computed
    cls, options = config.plugin("generator")
    phantom = resolve(DataConfig(resolution=size))
    assert isinstance(phantom, CanDraw)
    train = phantom.draw(np.arange(n, dtype=np.int64) % 2, 0)

    def make(changes: Any) -> Any:
        return cls(type(options).model_validate({**options.model_dump(), **changes}))

    precision = resolve_precision(config.precision, device)
    return sweep(make, options, train, batches, device=device, precision=precision, steps=steps, calls=calls)


def table(rows: Sequence[Speed], title: str) -> Table:
    """A row a phase and batch size; dashes where nothing tells."""
    from rich import box
    from rich.table import Table

    found = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, title=title)
    found.title_justify = "left"
    for column in ("phase", "batch", "images/s", "ms/image p50", "p95", "MB", "GPU MB", "GFLOP/image", "J/image"):
        found.add_column(column, justify="left" if column == "phase" else "right")
    found.add_column("device")
    for row in rows:
        where = f"{row.device} {row.precision} {row.threads}t"
        numbers = (row.images_per_second, row.ms_p50, row.ms_p95, row.memory_mb, row.gpu_memory_mb)
        work = None if row.flops is None else row.flops / 1e9
        cells = [_number(value) for value in (*numbers, work, row.joules_per_image)]
        found.add_row(row.phase, str(row.batch), *cells, row.error or where)
    return found


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _speed(row: Speed) -> str:
    return row.error or f"{_number(row.images_per_second)} images/s"
