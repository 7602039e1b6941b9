"""Predictions that somebody submits as CSV, against the images they must be of: every row is accounted for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.contracts import Images, Probabilities
from bench.data.tables import read_table
from bench.errors import DataError

TOLERANCE = 1e-3  # by which the probabilities of an image may miss 1: printed digits are rounded
SHOWN = 3


def read_submission(path: Path, images: Images, split: str) -> Probabilities:
    """Class probabilities float32 [N, K] in the order of ``images``, from a CSV with columns id, CLASS… and maybe y.

    ``split`` is for messages. Raises :class:`DataError` that names the line or id for: a class without column, a column
    that is no class, ids that are missing, unknown or there twice, probabilities that are no numbers in 0..1 or do not
    sum to 1, and a label y (class name or index) that is not that of the image.
    """
    names = images.class_names
    rows = read_table(path, required=("id",))
    if not rows:
        raise DataError(f"{path}: the table has no rows")
    _check_columns(path, [c for c in rows[0] if c != "line"], names)
    place = {str(i): k for k, i in enumerate(images.ids)}
    scores = np.full((len(images), len(names)), np.nan)
    seen: dict[str, str] = {}
    for row in rows:
        key = row["id"]
        if key in seen:
            raise DataError(f"{path}, lines {seen[key]} and {row['line']}: id {key!r} is there twice")
        seen[key] = row["line"]
        if key not in place:
            raise DataError(f"{path}, line {row['line']}: {_unknown(key, place, split)}")
        scores[place[key]] = _probabilities(path, row, names)
        _check_label(path, row, names, int(images.labels[place[key]]))
    missing = [i for i in place if i not in seen]
    if missing:
        told = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise DataError(f"{path}: {len(missing)} of {len(images)} images of {split} have no row: {told}")
    return scores.astype(np.float32)


def _check_columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
            hint = f"; is {near[0]!r} meant?" if near else ""
            raise DataError(f"{path}: no column for class {name!r}{hint} (classes: {', '.join(names)})")
    for column in columns:
        if column not in ("id", "y", *names):
            raise DataError(f"{path}: column {column!r} is no class (expected: id, y, {', '.join(names)})")


def _unknown(key: str, place: dict[str, int], split: str) -> str:
    if not key:
        return "the id is empty"
    near = difflib.get_close_matches(key, list(place)[:5_000], n=1)
    hint = f"; is {near[0]!r} meant?" if near else ""
    return f"id {key!r} is no image of {split}{hint} (`bench data splits` lists them)"


def _probabilities(path: Path, row: dict[str, str], names: Sequence[str]) -> list[float]:
    where = f"{path}, line {row['line']} (id {row['id']})"
    values = []
    for name in names:
        try:
            value = float(row[name])
        except ValueError:
            raise DataError(f"{where}: {name} is {row[name]!r}, not a probability") from None
        if not 0 <= value <= 1:
            raise DataError(f"{where}: {name} is {row[name]}, a probability lies in 0..1")
        values.append(value)
    if abs(sum(values) - 1) > TOLERANCE:
        raise DataError(f"{where}: the probabilities sum to {sum(values):.6g}, not to 1")
    return values


def _check_label(path: Path, row: dict[str, str], names: Sequence[str], label: int) -> None:
    stated = row.get("y", "")
    if stated and stated not in (names[label], str(label)):
        where = f"{path}, line {row['line']} (id {row['id']})"
        raise DataError(f"{where}: y is {stated!r}, the image is {names[label]!r}: these are other labels")
