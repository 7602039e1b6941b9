"""Rankings from records: build, show and compare boards, add and check records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from leaderboard.submit_cli import submit

RECORDS = Path(__file__).parent / "records"
BOARD = Path("leaderboard-out")

app = typer.Typer(
    name="leaderboard",
    help="Rankings from records: build, show and compare boards, add and check records.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Places = Annotated[
    list[Path] | None,
    typer.Argument(help="Run folders, folders of run folders, or record files. Default: the committed records."),
]


@app.command()
def build(
    places: Places = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the site and the tables.")] = BOARD,
    cached: Annotated[bool, typer.Option("--cache/--no-cache", help="Make only what changed since last time.")] = True,
) -> None:
    """Write the board of all records: a site, and Markdown, CSV, LaTeX, JSON. Exit code 1 if one cannot be read."""
    from leaderboard.site import build_site

    built = build_site(places or [RECORDS], out, cached=cached)
    for path in built.files:
        typer.echo(path)
    made = f"tracks: {built.tracks_made} made, {built.tracks_kept} unchanged"
    typer.echo(f"{made}; pages of runs: {built.runs_made} made, {built.runs_kept} unchanged", err=True)
    for path, reason in built.unreadable.items():
        typer.echo(f"not on the board: {path}: {reason}", err=True)
    if built.unreadable:
        raise typer.Exit(1)


@app.command()
def board(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name each cell that differs.")] = False,
) -> None:
    """Write the committed board (Markdown, CSV) from the committed records. With --check: exit code 1 if it differs."""
    from leaderboard import committed

    if not check:
        for path in committed.write(RECORDS):
            typer.echo(path)
        return
    if changes := committed.compare(RECORDS):
        typer.echo(committed.summary(changes))
        raise typer.Exit(1)
    typer.echo("the committed board is what the records give", err=True)


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="Folder that `build` wrote.")] = BOARD,
    port: Annotated[int, typer.Option(help="Port on this machine; 0: any that is free.")] = 8000,
) -> None:
    """Show a built board at http://127.0.0.1:PORT until interrupted; other machines cannot reach it."""
    from leaderboard import serve as serving

    with serving.server(folder, port) as server:
        typer.echo(f"http://{serving.HOST}:{server.server_port}/  (stop with Ctrl+C)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("")


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="A built board, its leaderboard.json, or a folder of records.")],
    b: Annotated[Path, typer.Argument(help="The same, to compare it with.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of changes.")] = False,
) -> None:
    """Which rows, ranks and cells differ from board A to board B. Exit code 1 if any do."""
    from leaderboard.diff import differences, read_board

    changes = differences(read_board(a), read_board(b))
    if as_json:
        typer.echo(json.dumps([asdict(change) for change in changes], ensure_ascii=False, indent=1))
    else:
        for change in changes:
            typer.echo(change)
        typer.echo(f"{len(changes)} change{'s' * (len(changes) != 1)}" if changes else "no change", err=True)
    if changes:
        raise typer.Exit(1)


@app.command()
def validate(places: Places = None) -> None:
    """Check records against their stored predictions, and committed ones against their seal. Exit code 1 if wrong."""
    from leaderboard.validate import validate_places

    count, problems = validate_places(places or [RECORDS], sealed=not places)
    for problem in problems:
        typer.echo(problem)
    wrong = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "no problem"
    typer.echo(f"{count} record{'s' * (count != 1)}: {wrong}", err=True)
    if problems:
        raise typer.Exit(1)


@app.command()
def add(
    places: Annotated[list[Path], typer.Argument(help="Run folders or record files.")],
    records: Annotated[Path, typer.Option(help="Folder of committed records.")] = RECORDS,
) -> None:
    """Check runs, and put their records with compact predictions beside the committed ones. All of them, or none."""
    from leaderboard.add import add_records

    for added in add_records(places, records):
        typer.echo(added.folder)
        typer.echo(f"  {added.bytes / 1024:,.0f} KB{'' if added.new else ', was there already'}", err=True)


app.command()(submit)
