"""The committed records: every number comes out again, and no photograph is among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaderboard import committed
from leaderboard.add import DRAWN, target_of
from leaderboard.cli import RECORDS
from leaderboard.load import Entry, load
from leaderboard.rows import gather
from leaderboard.seal import SEAL
from leaderboard.validate import validate

SUFFIXES = {".json", ".npz", ".png"}
LIMIT, SEED_LIMIT = 500_000, 500_000  # bytes of a record: what it says once, and what each seed adds


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
        assert sum(p.stat().st_size for p in files) < LIMIT + SEED_LIMIT * len(entry.record.seeds), entry.folder
        if entry.record.data.name not in DRAWN:
            assert not [p for p in files if p.suffix == ".png"]


def test_the_committed_board_is_what_the_records_give() -> None:
    changes = committed.compare(RECORDS)
    assert not changes, committed.summary(changes)


def test_a_changed_cell_of_the_committed_board_is_named(tmp_path: Path) -> None:
    committed.write(RECORDS, tmp_path)
    assert committed.compare(RECORDS, tmp_path) == []
    for name in committed.NAMES:
        path = tmp_path / name
        whole = path.read_text()
        number = committed.DECIMAL.search(whole, whole.index("guided"))
        assert number
        changed = f"{float(number[0]) + 0.05:.3f}"
        path.write_text(whole[: number.start()] + changed + whole[number.end() :])
        (change,) = committed.compare(RECORDS, tmp_path)
        line = whole[: number.start()].count("\n") + 1
        assert change.startswith(f"{name}, line {line}, ")
        assert changed in change
        path.write_text(whole.rsplit("\n", 2)[0])
        assert "committed nothing" in committed.compare(RECORDS, tmp_path)[-1]
        path.write_text(whole)
    (tmp_path / "board.md").unlink()
    assert committed.compare(RECORDS, tmp_path) == ["board.md: not there"]
    assert "python -m bench leaderboard board" in committed.summary(["a cell"])


def test_a_row_that_came_or_went_is_named_alone(tmp_path: Path) -> None:
    committed.write(RECORDS, tmp_path)
    for name in committed.NAMES:
        path = tmp_path / name
        whole = path.read_text()
        lines = whole.splitlines(keepends=True)
        at = next(i for i, line in enumerate(lines) if "guided" in line)
        path.write_text("".join([*lines[:at], *lines[at + 1 :]]))
        (change,) = committed.compare(RECORDS, tmp_path)
        assert change.startswith(f"{name}, line {at + 1}: committed nothing, the records give ")
        assert "guided" in change
        path.write_text("".join([*lines[: at + 1], lines[at].replace("guided", "unheard-of"), *lines[at + 1 :]]))
        (change,) = committed.compare(RECORDS, tmp_path)
        assert change.startswith(f"{name}, line {at + 2}: committed ")
        assert "unheard-of" in change
        assert change.endswith("the records give nothing")
        path.write_text(whole)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("0.871 [0.853, 0.890]", "0.872 [0.853, 0.890]", True),  # one in the last digit
        ("0.871 [0.853, 0.890]", "0.873 [0.853, 0.890]", False),
        ("0.8577104", "0.8577103", False),  # full precision
        ("0.8577104000001", "0.8577104000002", True),
        ("1,523", "1,524", False),
        ("ldm", "ddpm", False),
        ("", "0.5", False),
    ],
)
def test_numbers_of_the_board_are_equal_as_far_as_they_are_printed(a: str, b: str, same: bool) -> None:
    assert committed.same(a, b) is same
