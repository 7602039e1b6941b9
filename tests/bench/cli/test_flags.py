"""Every command with its flags is frozen: a renamed or lost flag breaks other people's scripts.

After a wanted change write the file anew with ``python -m tests.bench.cli.test_flags``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

FROZEN = Path(__file__).with_name("flags.txt")


def flags() -> str:
    """One line a command: its path, its arguments, its flags."""
    from bench.cli import app
    from bench.cli.group import OWN_SUBCOMMANDS

    root = typer.main.get_command(app)
    for name in (*OWN_SUBCOMMANDS, "leaderboard"):  # those of other packages are not ours to freeze
        root.resolve_command(typer.Context(root), [name])  # type: ignore[attr-defined]
    return "\n".join(_lines("bench", root)) + "\n"


def _lines(path: str, command: Any) -> Iterator[str]:
    arguments = [(p.name or "").upper() for p in command.params if p.param_type_name == "argument"]
    options = sorted(o for p in command.params if p.param_type_name == "option" for o in (*p.opts, *p.secondary_opts))
    yield " ".join([path, *arguments, *options])
    for name, sub in sorted(getattr(command, "commands", {}).items()):
        yield from _lines(f"{path} {name}", sub)


def test_flags_are_the_frozen_ones() -> None:
    assert flags() == FROZEN.read_text()


if __name__ == "__main__":
    FROZEN.write_text(flags())
