"""Where numbers were made: the right commit or none, devices and precision that are really there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import environment
from bench.errors import ConfigError
from bench.record import EnvironmentRecord


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "tree" / "pkg"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("a = 1\n")
    git(tmp_path / "tree", "init", "-q")
    git(tmp_path / "tree", "add", "pkg/__init__.py")
    git(tmp_path / "tree", "commit", "-q", "-m", "x")
    return folder


def test_commit_and_changes_of_a_source_tree(package: Path) -> None:
    head = git(package, "rev-parse", "HEAD")
    assert environment.source_revision(package) == (head, False)
    (package / "__init__.py").write_text("a = 2\n")
    assert environment.source_revision(package) == (head, True)


def test_an_installed_package_has_no_commit_even_inside_a_repository(package: Path) -> None:
    installed = package.parent / ".venv" / "site-packages" / "pkg"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("a = 1\n")
    assert environment.source_revision(installed) == (None, None)


def test_no_git_no_commit(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment.source_revision(package) == (None, None)


@pytest.mark.parametrize(
    ("info", "precision"),
    [
        ({"flags": "sse2 avx512_bf16 amx_tile"}, "bf16"),
        ({"flags": "amx_bf16"}, "bf16"),
        ({"Features": "asimd bf16"}, "bf16"),
        ({"flags": "avx2 avx512f avx512_vnni"}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_precision_follows_the_processor(info: dict[str, str], precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_cpuinfo", lambda: info)
    assert environment.resolve_precision("auto", "cpu") == precision
    assert environment.resolve_precision("fp32", "cpu") == "fp32"
    assert environment.resolve_precision("bf16", "cpu") == "bf16"


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="use auto, cpu, cuda"):
        environment.resolve_device("tpu")
    with pytest.raises(ConfigError, match="CUDA devices"):
        environment.resolve_device("cuda:99")


def test_threads_obey_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert environment.resolve_threads(0) == 1
    assert environment.resolve_threads(3) == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment.resolve_threads(0) == environment.available_cores()


def test_the_record_needs_no_torch() -> None:
    probe = (
        "import sys; from bench.environment import environment; "
        "print(environment('cpu', 'fp32', 2, ('pytest', 'no-such-package')).model_dump_json()); "
        "assert 'torch' not in sys.modules"
    )
    root = Path(environment.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=root)
    record = EnvironmentRecord.model_validate_json(done.stdout)
    assert record.cores >= 1
    assert record.cpu
    assert {"torch", "numpy", "pytest"} <= set(record.packages)
    assert "no-such-package" not in record.packages
