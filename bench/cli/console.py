"""Where output goes: results to stdout, and everything else to stderr when stdout is for a machine."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

PLAIN_WIDTH = 100


def console(*, stderr: bool = False, plain: bool = False) -> Console:
    """A console for people: colours only on a terminal; ``plain`` switches them off there too."""
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # a locale without UTF-8 must not end a run
    plainly: dict[str, Any] = {"no_color": True, "force_terminal": False} if plain else {}
    made = Console(file=stream, highlight=False, markup=False, **plainly)
    if not made.is_terminal and "COLUMNS" not in made._environ:
        made.width = PLAIN_WIDTH
    return made


def print_json(value: Any) -> None:
    """``value`` (JSON) on stdout, with nothing else."""
    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()
