"""``bench doctor``: is this machine fit for a run?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as opt


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(doctor)


def doctor(
    store: opt.StoreDir = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not import torch: no look at CUDA devices.")] = False,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Check versions, device, precision, disk, plugins and known traps; says what to do. Exit code 1 if one fails."""
    from bench.cli.console import console, print_json
    from bench.doctor import examine

    findings = list(examine(store or Path(".bench/store"), deep=not quick))
    failed = any(f.state == "fail" for f in findings)
    if as_json:
        print_json([asdict(f) for f in findings])
        raise typer.Exit(int(failed))
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}
    grid = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        advice = f"\n-> {finding.advice}" if finding.advice else ""
        grid.add_row(Text(*colours[finding.state]), finding.what, Text.assemble(finding.found, (advice, "yellow")))
    screen = console(plain=plain)
    screen.print(grid)
    counts = {state: sum(f.state == state for f in findings) for state in colours}
    screen.print(f"{counts['ok']} ok, {counts['warn']} warnings, {counts['fail']} failures")
    raise typer.Exit(int(failed))
