"""``bench list``, ``bench describe`` and ``bench check``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bench.cli import options as opt
from bench.errors import ConfigError

Kind = Annotated[str | None, typer.Argument(help="generator, classifier, protocol, dataset, ...", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("list")(list_plugins)
    app.command()(describe)
    app.command()(check)


def list_plugins(kind: Kind = None, as_json: opt.AsJson = False, plain: opt.Plain = False) -> None:
    """List the plugins: what there is, where it lives, which package brought it. Imports none of them."""
    from bench import registry

    kinds = [_kind(kind)] if kind else list(registry.GROUPS)
    rows = [
        {"kind": k, "name": n, "target": registry.target(k, n), "package": registry.distribution(k, n)}
        for k in kinds
        for n in registry.names(k)
    ]
    from bench.cli.console import console, print_json

    if as_json:
        print_json(rows)
        return
    from rich import box
    from rich.table import Table

    table = Table("kind", "name", "target", "package", box=box.SIMPLE_HEAD, pad_edge=False)
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before["kind"] != row["kind"]:
            table.add_section()
        table.add_row(*row.values())
    console(plain=plain).print(table)


def describe(
    kind: Annotated[str, typer.Argument(help="Kind of plugin, or its name alone.", show_default=False)],
    name: Annotated[str | None, typer.Argument(help="Name, or package.module:Class.", show_default=False)] = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Describe a plugin: what it does, its options with defaults and values per preset, what it can do."""
    from bench.cli.console import console, print_json
    from bench.describe import describe_plugin, print_description

    found = describe_plugin(_kind(kind), name) if name else describe_plugin(kind_of(kind), kind)
    if as_json:
        print_json(found.as_json())
    else:
        print_description(found, console(plain=plain))


def check(
    name: Annotated[str, typer.Argument(help="Plugin by name or package.module:Class.", show_default=False)],
    kind: Annotated[str | None, typer.Option("--kind", help="Its kind, where the name alone does not tell.")] = None,
    plain: opt.Plain = False,
) -> None:
    """Check that a plugin keeps its contract, on tiny data in seconds: shapes, seeds, save and load, resume."""
    from bench.cli.console import console
    from bench.testing import check_plugin

    findings = check_plugin(_kind(kind) if kind else kind_of(name), name)
    raise typer.Exit(print_findings(findings, console(plain=plain)))


def print_findings(findings: Any, screen: Any) -> int:
    """One line a finding (name, ok, detail); returns the exit code."""
    from rich.text import Text

    marks = {True: ("ok  ", "green"), False: ("FAIL", "red"), None: ("skip", "dim")}
    for finding in findings:
        screen.print(Text.assemble(marks[finding.ok], f"  {finding.name}  ", (finding.detail, "dim")))
    failed, skipped = sum(f.ok is False for f in findings), sum(f.ok is None for f in findings)
    asked = len(findings) - skipped
    screen.print(f"{asked - failed} of {asked} checks passed{f', {skipped} do not apply' if skipped else ''}")
    return 1 if failed else 0


def kind_of(name: str) -> str:
    """The kind under which ``name`` is registered, or that a class "package.module:Class" has the methods of.

    Raises :class:`ConfigError` unless there is exactly one.
    """
    from bench import registry

    if ":" in name:
        methods = {"sample": "generator", "predict": "classifier", "run": "protocol", "build": "dataset"}
        cls = registry.load("generator", name)
        kinds = [kind for method, kind in methods.items() if callable(getattr(cls, method, None))]
    else:
        kinds = [kind for kind in registry.GROUPS if name in registry.names(kind)]
    if len(kinds) != 1:
        why = f"could be {' or '.join(kinds)}" if kinds else "is no registered name"
        raise ConfigError(f"{name!r} {why}; say which kind: {', '.join(registry.GROUPS)}")
    return kinds[0]


def _kind(kind: str) -> str:
    """``generator`` for "generator" and "generators"."""
    from bench import registry

    singular = kind[:-3] + "y" if kind.endswith("ies") else kind.rstrip("s")
    if singular not in registry.GROUPS:
        raise ConfigError(f"no kind of plugin {kind!r}; there are {', '.join(registry.GROUPS)}")
    return singular
