"""``bench data`` for people and for machines, with the exit codes of its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.data.base import load_prepared
from bench.data.splits import Splits
from tests.bench.data.samples import ham_layout


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    ham_layout(tmp_path / "ham", n=60)
    monkeypatch.chdir(tmp_path)
    return f"ham10000:{tmp_path / 'ham'}"


def test_describe_shows_what_there_is(official: str) -> None:
    found = CliRunner().invoke(app, ["data", "describe", official, "--resolution", "16", "--plain"])
    assert found.exit_code == 0, found.output
    for text in ("66 images at 16 px", "CC BY-NC 4.0", "square-crop,lanczos,16px", "lesions", "near-duplicate pairs"):
        assert text in found.output


def test_describe_as_json(official: str) -> None:
    found = CliRunner().invoke(app, ["data", "describe", official, "--task", "classes", "--json"])
    summary = json.loads(found.stdout)
    assert summary["parts"]["test"]["mel"] == 3
    assert summary["groups"] == {"train": 30, "test": 6}
    assert summary["unusable"] == []


def test_prepare_writes_a_folder(official: str) -> None:
    found = CliRunner().invoke(app, ["data", "prepare", official, "--out", "made", "--resolution", "16"])
    assert found.exit_code == 0, found.output
    assert load_prepared(Path("made")).images.size == (16, 16)


def test_splits_are_frozen_and_counted(official: str) -> None:
    command = ["data", "splits", official, "--out", "s.csv", "--split-seed", "3", "--resolution", "16", "--json"]
    summary = json.loads(CliRunner().invoke(app, command).stdout)
    splits = Splits.read(Path("s.csv"))
    assert (splits.seed, splits.checksum) == (3, summary["checksum"])
    assert sum(sum(c.values()) for c in summary["counts"].values()) == 66


def test_bad_files_end_with_the_exit_code_of_data(official: str) -> None:
    Path("ham/HAM10000_images_part_1/ISIC_0024306.jpg").write_bytes(b"")
    found = CliRunner().invoke(app, ["data", "describe", official, "--resolution", "16"])
    assert found.exit_code == 3
    assert "ISIC_0024306.jpg: empty file (0 bytes)" in found.output
    skipped = CliRunner().invoke(app, ["data", "describe", official, "--resolution", "16", "--on-bad", "skip"])
    assert skipped.exit_code == 0
    assert "1 unusable files left out" in skipped.output
