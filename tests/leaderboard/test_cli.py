"""The commands: their exit codes are the truth, and what they write is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from bench.errors import ConfigError, DataError
from leaderboard.cli import app

runner = CliRunner()


def spoil(run: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    record["arms"][0]["metrics"]["auc"]["value"] += 0.05
    (run / "record.json").write_text(json.dumps(record))


def test_validate_says_yes_with_0_and_no_with_1(run: Path) -> None:
    good = runner.invoke(app, ["validate", str(run)])
    assert (good.exit_code, good.stdout) == (0, "")
    assert "1 record: no problem" in good.stderr
    spoil(run)
    bad = runner.invoke(app, ["validate", str(run)])
    assert bad.exit_code == 1
    assert "arm 'C0', seed 0: metrics.auc.value: recorded" in bad.stdout


def test_a_folder_without_records_is_an_error(tmp_path: Path) -> None:
    for command in ("validate", "build", "add"):
        result = runner.invoke(app, [command, str(tmp_path)])
        assert isinstance(result.exception, DataError)
        assert str(tmp_path) in str(result.exception)


def test_build_writes_a_site_and_every_format(run: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["build", str(run), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    tables = [f"leaderboard.{suffix}" for suffix in ("csv", "json", "md", "tex")]
    assert names == [".cache", "index.html", *tables, "published.html", "runs", "tracks"]


def test_build_refuses_to_write_over_a_file(run: Path) -> None:
    result = runner.invoke(app, ["build", str(run), "--out", str(run / "record.json")])
    assert isinstance(result.exception, ConfigError)
    assert "record.json: the board is written into a folder" in str(result.exception)


def test_build_shows_what_it_can_and_says_what_it_could_not_read(run: Path, tmp_path: Path) -> None:
    (run.parent / "broken").mkdir()
    (run.parent / "broken" / "record.json").write_text("{")
    result = runner.invoke(app, ["build", str(run.parent), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "broken/record.json" in result.stderr
    page = (tmp_path / "out" / "index.html").read_text()
    assert "broken/record.json" in page
    assert "<b>ldm</b>" in page


def test_the_commands_import_neither_torch_nor_matplotlib(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from leaderboard.cli import app\n"
        f"app(['build', {str(run)!r}, '--out', {str(tmp_path / 'out')!r}], standalone_mode=False)\n"
        f"app(['validate', {str(run)!r}], standalone_mode=False)\n"
        "print('loaded', sorted({'torch', 'matplotlib', 'diffusers', 'timm', 'sklearn'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip().endswith("loaded []")
