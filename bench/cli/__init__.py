"""The command line. Commands import what they need when they are called, so ``--help`` stays fast."""

from __future__ import annotations

import typer

from bench.cli import compare, doctor, measure, plan, plugins, run, selfcheck, show, throughput
from bench.cli.group import BenchGroup

app = typer.Typer(
    name="bench",
    cls=BenchGroup,
    help="Benchmark of synthetic dermoscopy images: which of them are worth training on.",
    epilog="Start with:  bench run --protocol adversarial --generator ldm",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from bench import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of errors. Works behind any command too."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    return None


for module in (run, plan, plugins, show, compare, measure, selfcheck, doctor, throughput):
    module.add_to(app)
