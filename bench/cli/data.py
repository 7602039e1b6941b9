"""Describe, prepare and split data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options as opt

if TYPE_CHECKING:
    from bench.config import RunConfig
    from bench.data.base import Prepared

app = typer.Typer(name="data", help=__doc__, no_args_is_help=True, add_completion=False)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="phantom, ham10000:DIR, folder:DIR[,TABLE.csv].")]
Resolution = Annotated[
    int | None, typer.Option("--resolution", min=8, help="Side in pixels. Default: the preset's.", show_default=False)
]
SplitSeed = Annotated[int | None, typer.Option("--split-seed", help="Default: 0.", show_default=False)]


@app.command()
def describe(
    spec: Spec,
    resolution: Resolution = None,
    task: opt.TaskName = None,
    on_bad: opt.OnBad = None,
    preset: opt.PresetName = None,
    sets: opt.Sets = None,
    store: opt.StoreDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Show classes, counts, groups, duplicates, terms, notes and unusable files."""
    from bench.data.describe import describe as summarize
    from bench.data.describe import render

    config = _config(spec, resolution, task, on_bad, preset, sets, store)
    summary = summarize(_prepared(config))
    _show(summary, render, as_json, plain)


@app.command()
def prepare(
    spec: Spec,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; else the store, where a run finds it.")] = None,
    resolution: Resolution = None,
    task: opt.TaskName = None,
    on_bad: opt.OnBad = None,
    preset: opt.PresetName = None,
    sets: opt.Sets = None,
    store: opt.StoreDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Decode all images once into memory-mapped arrays."""
    from bench.data.describe import describe as summarize
    from bench.data.describe import render

    config = _config(spec, resolution, task, on_bad, preset, sets, store)
    prepared = _prepared(config, out)
    _show({**summarize(prepared), "folder": str(prepared.folder)}, render, as_json, plain)
    if not as_json:
        typer.echo(f"prepared in {prepared.folder}")


@app.command()
def splits(
    spec: Spec,
    out: Annotated[Path, typer.Option("--out", help="The frozen CSV.")] = Path("splits.csv"),
    split_seed: SplitSeed = None,
    resolution: Resolution = None,
    task: opt.TaskName = None,
    on_bad: opt.OnBad = None,
    preset: opt.PresetName = None,
    sets: opt.Sets = None,
    store: opt.StoreDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Write the frozen splits (id, group, label, split) with their checksum, and count them."""
    from bench.data.describe import describe_splits, render_splits
    from bench.data.splits import make_splits

    seeded = [*(sets or []), *([f"data.split_seed={split_seed}"] if split_seed is not None else [])]
    config = _config(spec, resolution, task, on_bad, preset, seeded, store)
    made = make_splits(_prepared(config), config.effective_data())
    made.write(out)
    _show({**describe_splits(made), "file": str(out)}, render_splits, as_json, plain)
    if not as_json:
        typer.echo(f"written to {out}")


def _config(
    spec: str,
    resolution: int | None,
    task: str | None,
    on_bad: str | None,
    preset: str | None,
    sets: list[str] | None,
    store: Path | None,
) -> RunConfig:
    sized = [*([f"data.resolution={resolution}"] if resolution else []), *(sets or [])]
    return opt.run_config(data=spec, task=task, on_bad=on_bad, seeds=None, sets=sized, preset=preset, store=store)


def _prepared(config: RunConfig, out: Path | None = None) -> Prepared:
    """The stage "data" of a run, so that a run finds it made; or a folder of its own, ``out``."""
    from bench.cli.console import console
    from bench.data.base import load_prepared
    from bench.data.prepare import prepare as prepare_into
    from bench.data.prepare import resolve, source_key
    from bench.workbench import Workbench

    data = config.effective_data()
    title = f"prepare {data.spec}"
    with console(stderr=True).status(f"{title} at {data.resolution} px"):
        if out is not None:
            return prepare_into(data, out)
        dataset = resolve(data)
        key = source_key(dataset, data)
        stored = Workbench(config).stage("data", title, type(dataset), {}, key, lambda made, _: dataset.build(made))
        return load_prepared(stored.folder)


def _show(summary: dict[str, Any], render: Any, as_json: bool, plain: bool) -> None:
    from bench.cli.console import console, print_json

    if as_json:
        print_json(summary)
        return
    screen = console(plain=plain)
    for part in render(summary):
        screen.print(part)
