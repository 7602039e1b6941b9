"""``bench show``: the tables of a run that is over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options as opt
from bench.errors import DataError

if TYPE_CHECKING:
    from bench.record import Record

Ledger = Annotated[
    bool,
    typer.Option(
        "--ledger", help="Each hard case with the images made for it: accepted or why not, how hard before and after."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(show)


def show(
    run: Annotated[str, typer.Argument(help="Run folder, record.json, or run id below --out.", show_default=False)],
    ledger: Ledger = False,
    out: opt.OutDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Show the tables of a finished or failed run, from its record; or its ledger of hard cases."""
    from bench.cli.console import console, print_json
    from bench.record import Record
    from bench.report import print_report

    path = find_record(run, out or Path("runs"))
    record = Record.read(path)
    if ledger:
        _show_ledger(record, path.parent, as_json=as_json, plain=plain)
    elif as_json:
        print_json(record.model_dump_json(indent=1))
    else:
        print_report(record, path.parent, console(plain=plain))


def _show_ledger(record: Record, folder: Path, *, as_json: bool, plain: bool) -> None:
    from bench.cli.console import console, print_json
    from bench.ledger_file import read_ledger, whole_ledger
    from bench.report_ledger import print_ledger

    if as_json:
        print_json(whole_ledger(record, read_ledger(record, folder)))
    else:
        print_ledger(record, folder, console(plain=plain))


def find_record(run: str, out: Path = Path("runs")) -> Path:
    """The record.json of ``run``: a file, a folder, or (the beginning of) a run id below ``out``."""
    given = Path(run)
    if given.is_file():
        return given
    for folder in (given, out / run):
        if (folder / "record.json").is_file():
            return folder / "record.json"
    found = sorted(out.glob(f"{run}*/record.json")) if run.strip() and "/" not in run else []
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{run!r} fits {len(found)} runs: {', '.join(p.parent.name for p in found[:5])}")
    if given.is_dir() and (given / "config.json").exists():
        raise DataError(f"{run}: this run has no record yet; go on with: python -m bench resume {run}")
    raise DataError(f"no record at {run} and no run of that name in {out}")
