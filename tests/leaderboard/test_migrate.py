"""Records of every earlier schema version, kept as they were written, are read as records of the present one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.errors import DataError
from bench.migrations import STEPS, migrate
from bench.record import SCHEMA_VERSION, Record

FIXTURES = Path(__file__).with_name("fixtures")
KEPT = sorted(FIXTURES.glob("record_v*.json"))


def version_of(path: Path) -> int:
    return int(path.stem.removeprefix("record_v"))


ABSENT = "absent"


def differing(old: Any, new: Any, path: str = "") -> set[tuple[str, str]]:
    """(path, old value as text) of cells that are not the same in both; indices are left out of paths."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = [differing(old.get(k, ABSENT), new.get(k, ABSENT), f"{path}.{k}") for k in old.keys() | new.keys()]
        return set().union(*both)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return set().union(*[differing(a, b, path) for a, b in zip(old, new, strict=True)])
    return set() if old == new else {(path, str(old))}


def test_a_record_of_every_version_is_kept() -> None:
    assert [version_of(path) for path in KEPT] == list(range(1, SCHEMA_VERSION + 1))
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_record_is_read_and_says_the_present_version(path: Path) -> None:
    before = path.read_bytes()
    assert json.loads(before)["schema_version"] == version_of(path)
    record = Record.read(path)
    assert record.schema_version == SCHEMA_VERSION
    assert path.read_bytes() == before


def test_version_one_keeps_every_cell_and_gains_only_new_ones() -> None:
    old = json.loads((FIXTURES / "record_v1.json").read_text())
    new = Record.read(FIXTURES / "record_v1.json").model_dump(mode="json")
    changed = {path for path, was in differing(old, new) if was != ABSENT}
    assert changed == {".schema_version"}
    gained = {path for path, was in differing(old, new) if was == ABSENT}
    assert gained >= {".origin", ".checksums", ".arms.notes", ".arms.selected_step"}
    assert (new["origin"], new["checksums"], new["arms"][0]["notes"]) == ("run", {}, [])


def test_a_migrated_record_is_written_and_read_as_the_present_version(tmp_path: Path) -> None:
    record = Record.read(FIXTURES / "record_v1.json")
    record.write(tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text())["schema_version"] == SCHEMA_VERSION
    assert Record.read(tmp_path / "record.json") == record


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, f"reads up to {SCHEMA_VERSION}: update it"),
        ({"schema_version": 0}, "0 is not a version"),
        ({"schema_version": "1"}, "'1' is not a version"),
        ({"arms": "none"}, "arms: Input should be a valid list"),
        ({"arms": [3]}, "arms.0"),
    ],
)
def test_what_cannot_be_migrated_is_named_with_file_and_field(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    record = json.loads((FIXTURES / "record_v1.json").read_text())
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**record, **change}))
    with pytest.raises(DataError, match=re.escape(words)) as raised:
        Record.read(path)
    assert str(path) in str(raised.value)


def test_migrating_does_not_change_its_argument() -> None:
    record = {"schema_version": 1, "arms": [{"name": "C0"}]}
    migrate(record, SCHEMA_VERSION)
    assert record == {"schema_version": 1, "arms": [{"name": "C0"}]}


@pytest.mark.parametrize("content", ["[]", "3", "{"])
def test_what_is_no_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(DataError, match="not a valid record"):
        Record.read(tmp_path / "record.json")
