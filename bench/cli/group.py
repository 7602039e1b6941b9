"""The root command group: mounts further commands lazily and turns errors into one clear line and an exit code."""

from __future__ import annotations

import ast
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from bench.errors import BenchError, ConfigError

COMMANDS_GROUP = "bench.commands"
OWN_SUBCOMMANDS = {"data": "bench.cli.data:app", "weights": "bench.cli.weights:app"}


def mounted() -> dict[str, EntryPoint]:
    """Sub-commands that live elsewhere: the entry points of ``bench.commands``, each a Typer app."""
    own = {name: EntryPoint(name, target, COMMANDS_GROUP) for name, target in OWN_SUBCOMMANDS.items()}
    return {**own, **{e.name: e for e in entry_points(group=COMMANDS_GROUP)}}


class BenchGroup(TyperGroup):
    """Commands of this package at once, those of other packages only when they are called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--debug" in args[1:]:  # a flag of the group, but people write it last
            args = ["--debug", *(a for a in args if a != "--debug")]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(n for n in mounted() if n not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or a stand-in with its first line of help: ``--help`` lists commands without their imports."""
        found = super().get_command(ctx, cmd_name)
        entry = None if found is not None else mounted().get(cmd_name)
        return found if entry is None else _stand_in(entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        entry = mounted().get(args[0])
        if entry is not None and args[0] not in self.commands:
            self.commands[args[0]] = _load(entry)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (BenchError, OSError) as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):
                raise
            typer.secho(f"error: {_one_line(error)}", err=True, fg="red")
            raise typer.Exit(getattr(error, "exit_code", 1)) from None


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _load(entry: EntryPoint) -> Any:
    try:
        app = entry.load()
    except Exception as error:
        raise ConfigError(f"command {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
    command = typer.main.get_command(app) if isinstance(app, typer.Typer) else app
    command.name = entry.name
    return command


def _stand_in(entry: EntryPoint) -> Any:
    stand_in = typer.Typer(name=entry.name, help=_first_line(entry.module), add_completion=False)
    stand_in.callback(invoke_without_command=True)(lambda: None)
    return typer.main.get_command(stand_in)


def _first_line(module: str) -> str:
    """First line of a module's docstring, read from its file: an import could cost seconds."""
    try:
        spec = find_spec(module)
        doc = ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) if spec and spec.origin else None
    except (ImportError, OSError, SyntaxError, ValueError):
        return f"(cannot be found: {module})"
    return (doc or module).splitlines()[0]
