"""A generator from another package, or from a loose file, is used like one of the house."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.context import StageContext
from bench.testing import check_plugin, tiny_images
from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "plugin"


def bench(python: Path | str, arguments: Sequence[str | Path], folder: Path, path: Path | None = None) -> str:
    """Output of ``python -m bench ARGUMENTS`` in ``folder``; on an error the test fails with its output."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(path)} if path else {})
    command = [str(python), "-m", "bench", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def smoke_run(name: str, folder: Path) -> list[str | Path]:
    """Arguments of the documented command for a run in seconds.

    At 32 pixels, for which the rule that finds copies of held-out images was measured: thumbnails of the preset's 16
    pixels have no fine detail, and one training image of the phantom passes for a mirrored test image.
    """
    options = ["--preset", "smoke", "--protocol", "synthetic-only", "--generator", name, "--set", "data.resolution=32"]
    return ["run", *options, "--out", folder / "runs", "--store", folder / "store"]


def assert_complete(folder: Path, target: str) -> None:
    """The run below ``folder`` finished, its generator is ``target``, and it was trained on images that this made."""
    (path,) = (folder / "runs").rglob("record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "complete"
    assert record["generator"]["cls"] == target
    (arm,) = [a for a in record["arms"] if a["n_synthetic"]]
    assert arm["n_real"] == 0
    assert arm["metrics"]["auc"]["value"] is not None


@pytest.fixture(scope="module")
def venv_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that sees all packages of this one, and into which the example was installed."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    own = subprocess.check_output(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    # addsitedir, unlike a plain line with the folder, also reads its .pth files: an editable install is one.
    Path(own.strip(), "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    source = shutil.copytree(EXAMPLE, folder / "plugin")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(source)]
    subprocess.run(pip, check=True, timeout=300)
    return python


@pytest.mark.slow
def test_an_installed_package_is_listed_and_runs(venv_python: Path, tmp_path: Path) -> None:
    listed = json.loads(bench(venv_python, ["list", "generators", "--json"], tmp_path))
    (mine,) = [row for row in listed if row["name"] == "lesion-mixup"]
    assert mine["package"] == "lesion-mixup"
    assert {"copy", "noise"} < {row["name"] for row in listed}
    bench(venv_python, smoke_run("lesion-mixup", tmp_path), tmp_path)
    assert_complete(tmp_path, "lesion_mixup:LesionMixup")


@pytest.mark.slow
def test_it_is_not_known_outside_its_environment(venv_python: Path, tmp_path: Path) -> None:
    assert "lesion-mixup" not in bench(sys.executable, ["list", "generators", "--json"], tmp_path)


@pytest.mark.slow
def test_a_class_in_a_loose_file_runs_without_packaging(tmp_path: Path) -> None:
    name = "lesion_mixup:LesionMixup"
    bench(sys.executable, smoke_run(name, tmp_path), tmp_path, path=EXAMPLE)
    assert_complete(tmp_path, name)


def test_the_example_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    results = check_plugin("generator", "lesion_mixup:LesionMixup")
    assert {r.name: r.detail for r in results if r.ok is False} == {}
    assert sum(r.ok is True for r in results) >= 12


def test_the_example_mixes_two_training_images_of_the_class(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from lesion_mixup import LesionMixup  # type: ignore[import-not-found]

    train = tiny_images((5, 4))
    generator, ctx = LesionMixup(), StageContext(0, tmp_path)
    generator.fit(train, ctx)
    images = generator.sample(np.array([0, 1, 1]), ctx).astype(float)
    for image, label in zip(images, (0, 1, 1), strict=True):
        own = np.asarray(train.pixels)[train.labels == label].astype(float)
        errors = []
        for a in own:
            for b in own[:, :, ::-1]:
                gap = (a - b).ravel()
                share = gap @ (image - b).ravel() / max(gap @ gap, 1)
                errors.append(np.abs(image - (b + share * (a - b))).max())
        assert min(errors) < 1, "not on the line between two training images"


def test_the_example_is_as_short_as_promised() -> None:
    """At most 25 lines of code, not counting blank lines, comments and docstrings."""
    source = (EXAMPLE / "lesion_mixup.py").read_text()
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    prose = {line for n in nodes if ast.get_docstring(n) for line in range(n.body[0].lineno, n.body[0].end_lineno + 1)}  # type: ignore[operator]
    lines = [t for i, t in enumerate(source.splitlines(), 1) if t.strip() and i not in prose and t.strip()[0] != "#"]
    assert len(lines) <= 25
