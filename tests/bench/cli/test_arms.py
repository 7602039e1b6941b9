"""``--arms`` on the command line: which controls are trained beside the guided arm, and how to list one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli import app
from bench.config import RunConfig
from protocols.arms import SETS

SMALL = ("data.options.n_train=300", "data.options.n_test=60", "data.resolution=16")
EVERY = SETS["full"]
NAMES = {  # the sets as the documentation states them
    "minimal": {"C1", "C2"},
    "standard": {"C1", "C2", "C3", "C6"},
    "full": {"C0b", "C1", "C2", "C3", "C4", "C6", "C7"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arms")


def called(folder: Path, *arguments: str) -> int:
    """Exit code of ``bench plan`` on a small phantom, in this process."""
    places = ["--store", str(folder / "store"), "--preset", "smoke", "--json"]
    with pytest.raises(SystemExit) as end:
        app(["plan", *places, *(f"--set={s}" for s in SMALL), *arguments], prog_name="bench")
    return int(end.value.code or 0)


def planned(folder: Path, said: pytest.CaptureFixture[str], *arguments: str) -> set[str]:
    """The controls for which a classifier would be trained; ddpm can vary images, so none is left out."""
    assert called(folder, "--protocol", "adversarial", "--generator", "ddpm", *arguments) == 0
    stages = json.loads(said.readouterr().out)["stages"]
    titles = [row["title"] for row in stages if row["stage"] == "train"]
    assert any("guided" in title for title in titles)
    return {name for name in EVERY if any(f" {name} " in title for title in titles)}


@pytest.mark.parametrize("name", list(NAMES))
def test_each_set_trains_its_controls_and_no_other(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(folder, capsys, "--arms", name) == NAMES[name]


def test_standard_is_the_default_and_a_list_goes_before_the_set(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned(folder, capsys) == NAMES["standard"]
    assert planned(folder, capsys, "--arms", "full", '--set=protocol.arms=["C2", "C7"]') == {"C2", "C7"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--arms", "most"), "Input should be 'minimal', 'standard' or 'full'"),
        (("--arms", "minimal", "--protocol", "synthetic-only"), "protocol 'synthetic-only': option 'arms'"),
    ],
    ids=["no such set", "a protocol without controls"],
)
def test_a_set_that_cannot_be_is_named(
    arguments: tuple[str, ...], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(folder, *arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_run_takes_the_set_too_and_its_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[RunConfig, str]] = []
    monkeypatch.setattr("bench.cli.run.carry_out", lambda config, command, **display: given.append((config, command)))
    with pytest.raises(SystemExit):
        app(["run", "--preset", "smoke", "--protocol", "adversarial", "--arms", "full"], prog_name="bench")
    ((config, command),) = given
    options: Any = config.plugin("protocol")[1]
    assert set(options.controls) == NAMES["full"]
    assert "--arms full" in command
