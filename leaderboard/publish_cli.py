"""Publish runs: check them, put their records into a folder, and build its board, ready for any static host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="publish", add_completion=False, pretty_exceptions_enable=False)

RECORDS = "records"


@app.command()
def publish(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, folders of run folders, or record files.")],
    to: Annotated[Path, typer.Option("--to", help="Folder of the published board; created if absent.")],
) -> None:
    """Check runs, put their records into TO/records, and build the board of all records there into TO.

    Nothing is written if a run is not valid. Pictures of patients' skin are not copied: only those of data sets whose
    images a program drew. What changed since the last time is made again, the rest stays.
    """
    from leaderboard.add import add_records
    from leaderboard.site import build_site

    for added in add_records(runs, to / RECORDS):
        typer.echo(f"{added.folder}{'' if added.new else ': was there already'}", err=True)
    built = build_site([to / RECORDS], to)
    for path in built.files:
        typer.echo(path)
    for path, reason in built.unreadable.items():
        typer.echo(f"not on the board: {path}: {reason}", err=True)
    if built.unreadable:
        raise typer.Exit(1)
