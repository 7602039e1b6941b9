"""Runs to tamper with: written once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.leaderboard.runs import make_run


@pytest.fixture(scope="session")
def _pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("pristine") / "run-a").parent


@pytest.fixture
def run(_pristine: Path, tmp_path: Path) -> Path:
    """Folder of a valid run (arms C0 and A1, seeds 0 and 1) that a test may change."""
    return Path(shutil.copytree(_pristine, tmp_path / "runs" / _pristine.name))
