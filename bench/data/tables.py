"""CSV tables as lists of rows, with errors that name file, line and column."""

from __future__ import annotations

import csv
import difflib
import gzip
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from bench.errors import DataError


def read_table(path: Path, required: Sequence[str], known: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Rows of a comma- or tab-separated file (``.gz`` too) with stripped cells; each also has its ``line`` number.

    Raises :class:`DataError` for a column of ``required`` that is absent, a column outside ``known`` (when given),
    a row with too many or too few cells, and text that is not UTF-8.
    """
    try:
        with _open(path) as stream:
            head = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter="\t" if "\t" in head else ",", skipinitialspace=True)
            columns = [c.strip() for c in reader.fieldnames or []]
            reader.fieldnames = columns
            _check_columns(path, columns, required, known)
            return list(_rows(path, reader))
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except (OSError, EOFError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read as a table: {why}") from None


def number(row: dict[str, str], column: str, path: Path) -> float:
    """Cell as a float, NaN where it is empty or says unknown; raises :class:`DataError` that names the line."""
    text = row.get(column, "")
    if text.lower() in ("", "na", "nan", "unknown", "none"):
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}, line {row['line']}: {column} is {text!r}, not a number") from None


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    for row in reader:
        if None in row or None in row.values():
            found = sum(value is not None for key, value in row.items() if key is not None) + len(row.get(None) or ())
            expected = len(reader.fieldnames or [])
            raise DataError(f"{path}, line {reader.line_num}: expected {expected} cells as in its head, found {found}")
        yield {**{k: v.strip() for k, v in row.items()}, "line": str(reader.line_num)}


def _check_columns(path: Path, columns: Sequence[str], required: Sequence[str], known: Sequence[str] | None) -> None:
    if missing := [c for c in required if c not in columns]:
        near = difflib.get_close_matches(missing[0], columns, n=1)
        hint = f"; is {near[0]!r} meant?" if near else ""
        raise DataError(f"{path}: no column {missing[0]!r}{hint} (columns: {', '.join(columns) or 'none'})")
    if twice := [c for c in columns if columns.count(c) > 1]:
        raise DataError(f"{path}: column {twice[0]!r} is there twice")
    if known is not None and (strange := [c for c in columns if c not in known]):
        near = difflib.get_close_matches(strange[0], list(known), n=1)
        hint = f"; is {near[0]!r} meant?" if near else ""
        raise DataError(f"{path}: unknown column {strange[0]!r}{hint} (known: {', '.join(known)})")


def _open(path: Path) -> TextIOWrapper:
    binary: Any = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 (closed by the wrapper)
    return TextIOWrapper(binary, encoding="utf-8-sig", newline="")
