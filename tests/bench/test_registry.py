"""The digest of a plugin's source: every file that can change its results, and nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from bench.registry import source_digest

FILES = {
    "__init__.py": "",
    "plugin.py": "class Plugin:\n    def fit(self):\n        import made_pkg._parts.model\n\n",
    "_parts/__init__.py": "",
    "_parts/model.py": "from . import noise\nfrom ..other import scale\nimport json\n\ndef train():\n    return 1\n",
    "_parts/noise.py": "import torch_that_is_not_there\n",
    "other.py": "scale = 1\n",
    "unrelated.py": "x = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "made_pkg"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [m for m in sys.modules if m.partition(".")[0] == "made_pkg"]:
        monkeypatch.delitem(sys.modules, name)
    return root


def digest() -> str:
    importlib.invalidate_caches()
    source_digest.cache_clear()
    return source_digest(importlib.import_module("made_pkg.plugin").Plugin)


@pytest.mark.parametrize("file", ["plugin.py", "_parts/model.py", "_parts/noise.py", "other.py"])
def test_an_edit_at_any_depth_is_noticed(package: Path, file: str) -> None:
    before = digest()
    (package / file).write_text(FILES[file] + "# edited\n")
    assert digest() != before


def test_files_that_the_plugin_never_imports_do_not_count_and_nothing_is_imported(package: Path) -> None:
    before = digest()
    (package / "unrelated.py").write_text("x = 2\n")
    assert digest() == before
    assert "made_pkg._parts" not in sys.modules


def test_a_class_without_a_file_has_no_digest() -> None:
    assert source_digest(int) == ""
