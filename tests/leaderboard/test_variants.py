"""Rows of one name say which options tell them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.record import PluginRecord, Record
from leaderboard.board import build
from leaderboard.load import load
from tests.leaderboard.runs import make_run


def a_run(folder: Path, name: str, stream: int, options: dict[str, Any], protocol: dict[str, Any]) -> None:
    path = make_run(folder / f"run{stream}", name, {"C0": (1.2 + stream, 0), "A1": (1.4, 500)}, (0,), stream=stream)
    record = Record.read(path)
    record.generator = PluginRecord(name=name, cls=f"generators:{name}", version="1", config=options)
    record.protocol = record.protocol.model_copy(update={"config": protocol})
    record.write(path)


def told(folder: Path) -> dict[tuple[str, str], list[str]]:
    (track,) = build(load([folder])).tracks
    out: dict[tuple[str, str], list[str]] = {}
    for line in track.lines:
        out.setdefault((line.names[0], line.names[2]), []).append(line.variant)
    return {key: sorted(variants) for key, variants in out.items()}


def test_the_options_that_differ_are_named_and_no_others(tmp_path: Path) -> None:
    a_run(tmp_path, "ldm", 0, {"steps": 100, "guidance": 1.0}, {"strategy": "auto", "arms": "minimal"})
    a_run(tmp_path, "ldm", 1, {"steps": 100, "guidance": 2.0}, {"strategy": "auto", "arms": "standard"})
    a_run(tmp_path, "ldm", 2, {"steps": 100, "guidance": 1.0}, {"strategy": "rejection", "arms": "minimal"})
    a_run(tmp_path, "ddpm", 3, {"steps": 100}, {"strategy": "auto", "arms": "minimal"})
    found = told(tmp_path)
    assert found["ldm", "A1"] == [
        "strategy=auto, guidance=1",
        "strategy=auto, guidance=2",
        "strategy=rejection, guidance=1",
    ]
    assert found["ddpm", "A1"] == [""]


def test_real_images_name_what_they_were_run_beside(tmp_path: Path) -> None:
    a_run(tmp_path, "ldm", 0, {"guidance": 1.0}, {"strategy": "auto"})
    a_run(tmp_path, "ldm", 1, {"guidance": 1.0}, {"strategy": "rejection"})
    a_run(tmp_path, "ddpm", 2, {"steps": 7}, {"strategy": "auto"})
    assert told(tmp_path)["real images", "C0"] == [
        "beside ddpm",
        "beside ldm, strategy=auto",
        "beside ldm, strategy=rejection",
    ]


def test_where_more_options_differ_than_are_named_the_digest_stands_too(tmp_path: Path) -> None:
    for stream, last in enumerate((1, 2)):
        a_run(tmp_path, "ldm", stream, {"a": 1, "b": 1, "c": 1, "d": last}, {})
    a_run(tmp_path, "ldm", 2, {"a": 2, "b": 2, "c": 2, "d": 1}, {})
    variants = told(tmp_path)["ldm", "A1"]
    assert len(set(variants)) == 3
    assert variants[2] == "a=2, b=2, c=2"
    assert all(v.startswith("a=1, b=1, c=1, configuration ") for v in variants[:2])


def test_options_of_one_name_keep_their_section(tmp_path: Path) -> None:
    for stream, (mine, yours) in enumerate(((1, 0.5), (2, 0.25))):
        a_run(tmp_path, "ldm", stream, {"size": mine}, {"share": yours, "strategy": "auto"})
    assert told(tmp_path)["ldm", "A1"] == ["share=0.25, size=2", "share=0.5, size=1"]
    other = tmp_path / "other"
    for stream, (mine, yours) in enumerate(((1, 0.5), (2, 0.25))):
        a_run(other, "ldm", stream, {"share": mine}, {"share": yours})
    assert told(other)["ldm", "A1"] == [
        "protocol.share=0.25, generator.share=2",
        "protocol.share=0.5, generator.share=1",
    ]


def test_values_that_differ_little_are_written_in_full(tmp_path: Path) -> None:
    a_run(tmp_path, "ldm", 0, {"lr": 0.1}, {})
    a_run(tmp_path, "ldm", 1, {"lr": 0.1 + 1e-9}, {})
    assert told(tmp_path)["ldm", "A1"] == ["lr=0.1", "lr=0.100000001"]


def test_a_run_from_before_an_option_says_so(tmp_path: Path) -> None:
    a_run(tmp_path, "ldm", 0, {"steps": 100}, {})
    a_run(tmp_path, "ldm", 1, {"steps": 100, "levels": [40.0, 0.2]}, {})
    assert told(tmp_path)["ldm", "A1"] == ["levels=[40.0, 0.2]", "no levels"]
