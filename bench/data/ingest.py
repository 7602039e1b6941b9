"""Reads listed image files into a prepared data set: decoded in threads, block by block, every bad file named."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.data.base import DataConfig
from bench.data.decode import BadImage, Recipe
from bench.data.sources import Located
from bench.data.write import PreparedWriter
from bench.errors import DataError
from bench.pixels import UInt8, chunks

BLOCK = 512


@dataclass(frozen=True)
class Listed:
    """A row of a data set's table. ``image`` None: the table lists it, but there is no such file.

    ``mask``: that of the lesion, or one for each of the writer's ``mask_names``, the lesion first; a missing one of
    the others is empty.
    """

    id: str
    label: int
    group: str
    part: str
    image: Located | None
    mask: Located | tuple[Located | None, ...] | None = None
    columns: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass
class Report:
    """What was noticed: ``bad`` files with their reason, and the ids of images by the conversion they needed."""

    bad: list[tuple[str, str]] = field(default_factory=list)
    converted: dict[str, list[str]] = field(default_factory=dict)


def recipe_of(data: DataConfig) -> Recipe:
    """The preprocessing that ``data`` asks for."""
    return Recipe(data.resolution, data.crop, data.filter)


def ingest(rows: Sequence[Listed], writer: PreparedWriter, data: DataConfig, max_absent: float) -> None:
    """Decode every row into ``writer``, part after part in the order given; memory is bounded by a block of images.

    The rows of a part must have the same ``columns``. A listed file that is absent is left out with a note while these
    are at most the share ``max_absent`` of a part. A file that is there but unusable (or its mask) stops with
    ``data.on_bad`` "fail" and is left out with "skip", which also lifts the limit on absent files. All files are
    looked at before an error is raised: :class:`DataError` names them with their reasons.
    """
    report = Report()
    with ThreadPoolExecutor(max_workers=_threads()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the decoders' own; what is wrong with a file is reported below
        for part in dict.fromkeys(row.part for row in rows):
            present = _present([row for row in rows if row.part == part], writer, data.on_bad, max_absent)
            for block in chunks(len(present), BLOCK):
                _add_block(present[block], writer, recipe_of(data), pool, report)
    if report.bad and data.on_bad == "fail":
        raise DataError(
            f"{len(report.bad)} unusable files: {_listing([f'{name}: {why}' for name, why in report.bad], 20, '; ')}. "
            "Replace them, or leave them out with --on-bad skip"
        )
    for name, why in report.bad:
        writer.leave_out(name, why)
    if report.bad:
        names = _listing([f"{name} ({why})" for name, why in report.bad], 5)
        writer.note(f"{len(report.bad)} unusable files left out: {names}")
    for kind, ids in sorted(report.converted.items()):
        writer.note(f"{kind} in {len(ids)} images, converted to 8-bit RGB: {_listing(ids, 5)}")
    writer.extra["converted"] = report.converted


def _present(rows: Sequence[Listed], writer: PreparedWriter, on_bad: str, max_absent: float) -> list[Listed]:
    """The rows of one part that have a file."""
    absent = [row.id for row in rows if row.image is None]
    if not absent:
        return list(rows)
    what = f"{len(absent)} of {len(rows)} listed {rows[0].part} images have no file"
    if on_bad == "fail" and len(absent) > max_absent * len(rows):
        raise DataError(
            f"{writer.info.name}: {what} ({_listing(absent, 10)}); complete the download, "
            "or leave them out with --on-bad skip"
        )
    for name in absent:
        writer.leave_out(name, "listed in the table, but there is no such file")
    writer.note(f"{what} and are left out: {_listing(absent, 5)}")
    return [row for row in rows if row.image is not None]


def _add_block(
    rows: Sequence[Listed], writer: PreparedWriter, recipe: Recipe, pool: ThreadPoolExecutor, report: Report
) -> None:
    kept: list[Listed] = []
    pixels: list[UInt8] = []
    for row, result in zip(rows, pool.map(lambda r: _decoded(r, recipe), rows), strict=True):
        if isinstance(result, BadImage):
            report.bad.append((str(row.image), str(result)))
            continue
        kept.append(row)
        pixels.append(result[0])
        for kind in result[1]:
            report.converted.setdefault(kind, []).append(row.id)
    if not kept:
        return
    columns: dict[str, Any] = {name: np.array([r.columns[name] for r in kept]) for name in kept[0].columns}
    masks = None
    if writer.mask_names:
        found = list(pool.map(lambda r: _mask(r, recipe), kept))
        report.bad.extend(m for m in found if isinstance(m, tuple))
        blank = np.zeros((recipe.size, recipe.size, len(writer.mask_names)), dtype=np.uint8)
        masks = np.stack([m if isinstance(m, np.ndarray) else blank for m in found])
        columns["has_mask"] = np.array([isinstance(m, np.ndarray) for m in found], dtype=np.int64)
    writer.add(
        np.stack(pixels),
        np.array([r.label for r in kept], dtype=np.int64),
        [r.id for r in kept],
        [r.group for r in kept],
        [r.part for r in kept],
        masks,
        **columns,
    )


def _decoded(row: Listed, recipe: Recipe) -> tuple[UInt8, tuple[str, ...]] | BadImage:
    try:
        assert row.image is not None
        return recipe.image(row.image.read())
    except BadImage as reason:
        return reason


def _mask(row: Listed, recipe: Recipe) -> UInt8 | tuple[str, str] | None:
    """uint8 [S, S, C], or the file that is bad and why; None without a mask of the lesion."""
    places = row.mask if isinstance(row.mask, tuple) else (row.mask,)
    if places[0] is None:
        return None
    blank, planes = np.zeros((recipe.size, recipe.size), dtype=np.uint8), []
    for place in places:
        try:
            planes.append(blank if place is None else recipe.mask(place.read()))
        except BadImage as reason:
            return str(place), str(reason)
    return np.stack(planes, axis=-1)


def _threads() -> int:
    """Decoding releases the interpreter's lock, so threads use the cores."""
    return max(1, min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def _listing(names: Sequence[str], most: int, separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more
