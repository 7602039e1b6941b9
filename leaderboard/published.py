"""Published tables of the literature as reference rows: reported, not re-measured.

The numbers stand in ``published/*.csv`` with the digits of their source, described by ``published/index.json``; a cell
that is not known here is empty, never filled in. They are shown beside the board and never ranked with it: other test
sets, other extractors, other splits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.data.tables import read_table
from bench.errors import DataError

FOLDER = Path(__file__).parent / "published"
STATUS = "reported, not re-measured"


@dataclass(frozen=True)
class PublishedColumn:
    """A column as headed in the source. ``better``: which direction is good, "none" for names and counts."""

    label: str
    better: Literal["higher", "lower", "none"] = "none"


@dataclass(frozen=True)
class PublishedTable:
    """One table. ``rows``: cells as printed (str), as many as ``columns``, the first is the name; "" is not known."""

    key: str
    title: str
    source: str
    note: str
    columns: tuple[PublishedColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    status: str = STATUS


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str
    title: str
    source: str
    note: str = ""
    directions: dict[str, Literal["higher", "lower", "none"]] = {}


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tables: list[_Entry]


def published_tables(folder: Path = FOLDER) -> list[PublishedTable]:
    """All published tables in the order of the index, for a renderer to print as they are.

    Raises :class:`DataError` that names file and cell where index and tables do not fit.
    """
    path = folder / "index.json"
    try:
        index = _Index.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (ValueError, ValidationError) as error:
        raise DataError(f"{path}: not an index of tables: {error}") from None
    return [_table(folder / f"{entry.key}.csv", entry) for entry in index.tables]


def _table(path: Path, entry: _Entry) -> PublishedTable:
    rows = read_table(path, required=("name",))
    if not rows:
        raise DataError(f"{path}: the table has no rows")
    labels = [label for label in rows[0] if label != "line"]
    if labels[0] != "name":
        raise DataError(f"{path}: the first column must be 'name', not {labels[0]!r}")
    if stray := set(entry.directions) - set(labels):
        raise DataError(f"{path}: has no column {sorted(stray)[0]!r}, which the index describes")
    for row in rows:
        if not row["name"]:
            raise DataError(f"{path}, line {row['line']}: the row has no name")
    columns = tuple(PublishedColumn(label, entry.directions.get(label, "none")) for label in labels)
    cells = tuple(tuple(row[label] for label in labels) for row in rows)
    return PublishedTable(entry.key, entry.title, entry.source, entry.note, columns, cells)
