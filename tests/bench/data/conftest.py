"""The real images, decoded once for all tests here, whatever the number of test processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from bench.data.base import DataConfig, Prepared
from bench.data.prepare import prepare


@pytest.fixture(scope="session")
def ham(real_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """HAM10000 with the ISIC 2018 test set at 32 px, task melanoma."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with FileLock(shared / "ham10000.lock"):
        return prepare(DataConfig(spec=f"ham10000:{real_data_dir}"), shared / "ham10000-32")
