"""Differences of boards, serving and publishing them: the commands say what is so, by word and by exit code."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.errors import ConfigError, DataError
from leaderboard import serve
from leaderboard.cli import app
from leaderboard.diff import differences, read_board
from leaderboard.publish_cli import app as publishing
from leaderboard.site import build_site
from tests.leaderboard.runs import make_run

runner = CliRunner()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs" / "a", "ldm", seeds=(0,), shift=2.0)
    make_run(tmp_path / "runs" / "b", "ddpm", {"A1": (2.0, 500)}, seeds=(0,), stream=1, shift=2.0)
    return tmp_path / "runs"


def test_a_board_equals_itself_however_it_is_named(runs: Path, tmp_path: Path) -> None:
    build_site([runs], tmp_path / "out")
    for other in (tmp_path / "out", tmp_path / "out" / "leaderboard.json", runs):
        result = runner.invoke(app, ["diff", str(runs), str(other)])
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no change" in result.stderr


def test_rows_ranks_and_cells_that_changed_are_named(runs: Path, tmp_path: Path) -> None:
    build_site([runs], tmp_path / "before")
    shutil.rmtree(runs / "b")
    make_run(runs / "c", "winner", {"A1": (9.0, 500)}, seeds=(0,), stream=2, shift=2.0)
    path = runs / "a" / "record.json"
    record = json.loads(path.read_text())
    record["arms"][1]["metrics"]["sensitivity@youden"]["value"] = 0.123
    path.write_text(json.dumps(record))
    found = {(c.row, c.cell): c for c in differences(read_board(tmp_path / "before"), read_board(runs))}
    added = found["winner · augmented · A1 · small_cnn", ""]
    assert (added.before, added.after.split(" (")[0]) == ("no such row", "rank 1")
    assert found["ddpm · augmented · A1 · small_cnn", ""].after == "no such row"
    ldm = "ldm · augmented · A1 · small_cnn"
    assert found[ldm, "sensitivity@youden"].after.startswith("0.123 ")
    assert found[ldm, "place"].before != found[ldm, "place"].after
    assert (ldm, "auc") not in found
    result = runner.invoke(app, ["diff", str(tmp_path / "before"), str(runs), "--json"])
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)) == len(found)


def test_a_table_that_is_new_is_said(runs: Path, tmp_path: Path) -> None:
    build_site([runs], tmp_path / "before")
    make_run(runs / "c", "ldm", seeds=(0,), extractor="inception", stream=2)
    changes = differences(read_board(tmp_path / "before"), read_board(runs))
    assert [(c.before, c.after) for c in changes] == [("no such table", "table of 5 rows")]
    back = differences(read_board(runs), read_board(tmp_path / "before"))
    assert [(c.before, c.after) for c in back] == [("table of 5 rows", "no such table")]


def test_what_is_no_board_is_refused(tmp_path: Path) -> None:
    (tmp_path / "leaderboard.json").write_text('{"format": 99, "tracks": []}')
    with pytest.raises(DataError, match="not a board of format"):
        read_board(tmp_path)
    (tmp_path / "leaderboard.json").write_text("[")
    with pytest.raises(DataError, match="not a board"):
        read_board(tmp_path)


@pytest.fixture
def address(runs: Path, tmp_path: Path) -> Iterator[str]:
    build_site([runs], tmp_path / "out")
    with serve.server(tmp_path / "out", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{serve.HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def fetch(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_a_served_board_shows_its_pages_and_nothing_else(address: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    assert "Which synthetic" in fetch(f"{address}/")[1]
    assert fetch(f"{address}/runs/a.html")[0] == 200
    for path in ("/.cache/", "/../secret.txt", "/%2e%2e/secret.txt", "/runs/../.cache/", "/nowhere.html"):
        assert fetch(address + path)[0] == 404, path


@pytest.mark.parametrize("port", [-1, 65_536, 70_000])
def test_a_number_that_is_no_port_is_named(port: int, address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--port {port}: name a port from 0"):
        serve.server(tmp_path / "out", port)


def test_serving_no_board_says_how_to_make_one(tmp_path: Path, address: str) -> None:
    with pytest.raises(DataError, match="bench leaderboard build"):
        serve.server(tmp_path / "nothing", 0)
    with pytest.raises(DataError, match="--port"):
        serve.server(tmp_path / "out", int(address.rpartition(":")[2]))


def test_publish_checks_copies_and_builds(runs: Path, tmp_path: Path) -> None:
    to = tmp_path / "public"
    result = runner.invoke(publishing, [str(runs), "--to", str(to)])
    assert result.exit_code == 0, result.exception
    assert sorted(path.parent.name for path in (to / "records").rglob("record.json")) == ["a", "b"]
    assert "ldm" in (to / "index.html").read_text()
    assert runner.invoke(app, ["validate", str(to / "records")]).exit_code == 0
    again = runner.invoke(publishing, [str(runs / "a"), "--to", str(to)])
    assert "was there already" in again.stderr


def test_publish_of_a_wrong_run_writes_nothing(runs: Path, tmp_path: Path) -> None:
    path = runs / "a" / "record.json"
    record = json.loads(path.read_text())
    record["arms"][0]["metrics"]["auc"]["value"] += 0.05
    path.write_text(json.dumps(record))
    result = runner.invoke(publishing, [str(runs), "--to", str(tmp_path / "public")])
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "public").exists()
