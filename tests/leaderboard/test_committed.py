"""The committed records: every number comes out again, and no photograph is among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaderboard.add import DRAWN, target_of
from leaderboard.cli import RECORDS
from leaderboard.load import Entry, load
from leaderboard.rows import gather
from leaderboard.seal import SEAL
from leaderboard.validate import validate

SUFFIXES = {".json", ".npz", ".png"}
FOLDER_LIMIT = 1_000_000  # bytes a record


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    loaded = load([RECORDS])
    assert loaded.unreadable == {}
    return loaded.entries


def test_there_are_real_runs_of_the_phantom_and_of_photographs(entries: list[Entry]) -> None:
    assert {"phantom", "ham10000"} <= {entry.record.data.name for entry in entries}
    assert all(entry.record.ranked and entry.record.environment.commit for entry in entries)
    assert not any(entry.record.environment.dirty for entry in entries)


@pytest.mark.parametrize("folder", sorted(p.parent for p in RECORDS.rglob("record.json")), ids=lambda p: p.name)
def test_a_committed_record_validates_under_its_seal(folder: Path) -> None:
    (entry,) = load([folder]).entries
    assert (folder / SEAL).exists()
    assert validate(entry) == []
    assert folder == target_of(entry, RECORDS)


def test_every_arm_of_every_record_stands_on_the_board(entries: list[Entry]) -> None:
    rows = [row for rows in gather(entries).values() for row in rows]
    shown = {source.arm.name for row in rows for source in row.sources.values()}
    assert shown == {arm.name for entry in entries for arm in entry.record.arms}
    assert {path for row in rows for path in (entry.path for entry in row.entries)} == {e.path for e in entries}


def test_only_small_files_and_no_photograph_are_committed(entries: list[Entry]) -> None:
    for entry in entries:
        files = [p for p in entry.folder.rglob("*") if p.is_file()]
        assert {p.suffix for p in files} <= SUFFIXES
        assert sum(p.stat().st_size for p in files) < FOLDER_LIMIT, entry.folder
        if entry.record.data.name not in DRAWN:
            assert not [p for p in files if p.suffix == ".png"]
