"""The command line as a process and in this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def bench(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m bench ARGUMENTS`` without a terminal."""
    import os

    variables = {**os.environ, "COLUMNS": "100", **environment}
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd or ROOT, env=variables, timeout=120, check=False
    )
