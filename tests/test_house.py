"""The rules of the house: linters, types, who imports whom, and a command line that starts without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy", "bench", "leaderboard"),
        ("lint-imports", "--no-cache"),
    ],
    ids=["ruff", "format", "mypy", "imports"],
)
def test_tool_is_content(command: tuple[str, ...]) -> None:
    program = BIN / command[0]
    if not program.exists():
        pytest.skip(f"{command[0]} is not installed: pip install -e '.[test]'")
    done = _run(str(program), *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_binary_or_real_image_is_tracked() -> None:
    done = _run("git", "ls-files")
    if done.returncode:
        pytest.skip("not a git checkout")
    suffixes = (".pkl", ".pickle", ".pt", ".pth", ".jpg", ".jpeg", ".tar", ".zip")
    assert [f for f in done.stdout.splitlines() if f.lower().endswith(suffixes)] == []
