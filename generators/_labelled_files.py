"""Labelled image files as somebody left them: class subfolders, or a CSV with the columns file (or image) and label."""

from __future__ import annotations

import difflib
import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from bench.contracts import Labels
from bench.data.decode import BadImage, Recipe
from bench.data.sources import IMAGE_SUFFIXES, Source, open_source
from bench.data.tables import read_table
from bench.errors import DataError
from bench.pixels import UInt8, chunks

BLOCK = 512
SHOWN = 20  # damaged files that an error names
FILE_COLUMNS = ("file", "image")


@dataclass(frozen=True)
class LabelledFiles:
    """Image files of ``source`` by name, what each is called a member of, and where that is said (for messages)."""

    source: Source
    names: list[str]
    told: list[str]
    places: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, class_names: Sequence[str], aliases: Mapping[str, str]) -> Labels:
        """int64 [N]: index into ``class_names`` of what each file is called, by name, number or ``aliases``.

        Raises :class:`DataError` for a name that is no class, and for a class without any file.
        """
        index: dict[str, int] = {}
        for told, place in zip(self.told, self.places, strict=True):
            if told not in index:
                index[told] = _class_of(told, place, class_names, aliases)
        labels = np.array([index[told] for told in self.told], dtype=np.int64)
        for k in np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0).tolist():
            raise DataError(
                f"{self.source.path}: no image of class {class_names[k]!r}: add a folder (or rows) called "
                f"{class_names[k]!r} or '{k}'; there are {', '.join(map(repr, index))}"
            )
        return labels

    def fingerprint(self) -> str:
        """sha256 over names, labels and contents of all files: moving or copying the place changes nothing."""
        digest = hashlib.sha256()
        with ThreadPoolExecutor(_threads()) as pool:
            for name, told, content in zip(self.names, self.told, pool.map(self._content, self.names), strict=True):
                digest.update(f"{name}\0{told}\0{content}\n".encode())
        return digest.hexdigest()

    def decoded(self, recipe: Recipe) -> Iterator[tuple[slice, UInt8]]:
        """Blocks (rows, uint8 [n, S, S, 3]) of all images in order, S = ``recipe.size``.

        All files are looked at before :class:`DataError` names those that hold no usable image.
        """
        bad: list[str] = []
        with ThreadPoolExecutor(_threads()) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the decoders' own; what is wrong with a file is reported below
            for rows in chunks(len(self), BLOCK):
                found = list(pool.map(lambda name: self._pixels(name, recipe), self.names[rows]))
                good = [x for x in found if not isinstance(x, BadImage)]
                for name, x in zip(self.names[rows], found, strict=True):
                    if isinstance(x, BadImage):
                        bad.append(f"{self.source.path / name}: {x}")
                if not bad:
                    yield rows, np.stack(good)
        if bad:
            more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
            raise DataError(f"{len(bad)} unusable images: {'; '.join(bad[:SHOWN])}{more}. Replace or remove them")

    def _content(self, name: str) -> str:
        try:
            return hashlib.sha256(self.source.read(name)).hexdigest()
        except BadImage as reason:
            return f"unreadable: {reason}"

    def _pixels(self, name: str, recipe: Recipe) -> UInt8 | BadImage:
        try:
            return recipe.image(self.source.read(name))[0]
        except BadImage as reason:
            return reason


def find_files(path: Path, table: Path | None = None) -> LabelledFiles:
    """The labelled images of ``path``: a folder, zip or tar of CLASS/image, or a CSV beside its images.

    ``table``: a CSV in place of class subfolders: columns label, and file or, as for data sets, image, relative to
    ``path``; the suffix may be left out.
    Raises :class:`DataError` for a place that is not there, images outside class folders, and rows without a file.
    """
    path = path.expanduser()
    if table is None and path.suffix.lower() in (".csv", ".tsv") and path.is_file():
        path, table = path.parent, path
    source = open_source(path)
    return _of_table(source, _existing(table, path)) if table is not None else _of_folders(source)


def _of_folders(source: Source) -> LabelledFiles:
    names = [n for n in source.names() if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES]
    if not names:
        raise DataError(f"{source.path}: no image here ({', '.join(IMAGE_SUFFIXES)})")
    told = [PurePosixPath(n).parts[0] for n in names]
    if loose := [n for n in names if len(PurePosixPath(n).parts) < 2]:
        raise DataError(
            f"{source.path / loose[0]}: lies in no class folder; sort the images into CLASS/, or name a CSV with the "
            "columns file (or image) and label"
        )
    return LabelledFiles(source, names, told, [str(source.path / t) for t in told])


def _of_table(source: Source, table: Path) -> LabelledFiles:
    rows = read_table(table, ("label",))
    if not rows:
        raise DataError(f"{table}: lists no image")
    column = next((c for c in FILE_COLUMNS if c in rows[0]), None)
    if column is None:
        raise DataError(f"{table}: no column 'file' or 'image'; it has {', '.join(c for c in rows[0] if c != 'line')}")
    there, seen = _by_stem(source.names()), dict[str, str]()
    for row in rows:
        wanted, place = row[column].removeprefix("./"), f"{table}, line {row['line']}"
        if not wanted or not row["label"]:
            raise DataError(f"{place}: {'label' if wanted else column} is empty")
        if wanted not in there:
            raise DataError(f"{place}: {source.path / wanted} is not there")
        if (found := there[wanted]) is None:
            raise DataError(f"{place}: there are several images {source.path / wanted}: add the suffix")
        if first := seen.get(found):
            raise DataError(f"{table}, lines {first} and {row['line']}: {found} is listed twice")
        seen[found] = row["line"]
    places = [f"{table}, line {row['line']}" for row in rows]
    return LabelledFiles(source, list(seen), [r["label"] for r in rows], places)


def _by_stem(names: Sequence[str]) -> dict[str, str | None]:
    """Files by name, and images also without their suffix; None where that fits several."""
    images = [n for n in names if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES]
    stems = [str(PurePosixPath(n).with_suffix("")) for n in images]
    counts = Counter(stems)
    short = {stem: name if counts[stem] == 1 else None for stem, name in zip(stems, images, strict=True)}
    return {**short, **{name: name for name in names}}


def _existing(table: Path, root: Path) -> Path:
    found = next((p for p in (table.expanduser(), root / table) if p.is_file()), None)
    if found is None:
        raise DataError(f"{table}: no such table, neither here nor in {root}")
    return found


def _class_of(told: str, place: str, class_names: Sequence[str], aliases: Mapping[str, str]) -> int:
    name = aliases.get(told, told)
    if name in class_names:
        return list(class_names).index(name)
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    near = difflib.get_close_matches(name, list(class_names), n=1)
    raise DataError(
        f"{place}: {name!r} is no class of this task{f' (is {near[0]!r} meant?)' if near else ''}: "
        f"use {', '.join(f'{c} or {k}' for k, c in enumerate(class_names))}, or say which class it is with "
        f'--set \'generator.classes={{"{told}": "{near[0] if near else class_names[0]}"}}\''
    )


def _threads() -> int:
    """Decoding and hashing release the interpreter's lock, so threads use the cores."""
    return max(1, min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
