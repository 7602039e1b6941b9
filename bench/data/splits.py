"""Grouped, stratified splits, frozen with a checksum.

A group is what must not be torn: the patient where known, else the lesion, joined over near-duplicates. 70 % of the
images train generator and classifier, 10 % choose the step to keep (``val_select``), 10 % fit thresholds
(``val_thresh``), 10 % are held out for fidelity and the oracle (``reserve``); ``test`` is apart.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Labels, Strings
from bench.data.allocate import allocate
from bench.data.base import DataConfig, Prepared
from bench.data.duplicates import join_groups, stored_duplicates
from bench.errors import DataError, LeakError

SHARES = {"train": 0.7, "val_select": 0.1, "val_thresh": 0.1, "reserve": 0.1}
NAMES = (*SHARES, "test")
UNUSED = "unused"
_REMAKE = "make them again with bench data splits"
COLUMNS = ("id", "group", "label", "split")
_MARK = "# frozen splits "


@dataclass(frozen=True)
class Splits:
    """Which image is in which split. Columns of length N, sorted by id.

    ids, group (joined over near-duplicates), split str [N]; labels int64 [N], index into ``class_names``. ``split`` is
    one of ``NAMES`` or "unused": left out since it would leak, or since another test set was asked for (see ``notes``).
    """

    ids: Strings
    group: Strings
    labels: Labels
    split: Strings
    class_names: tuple[str, ...]
    seed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """sha256 of seed, class names and the CSV (rows sorted by id, whatever order they came in)."""
        return _checksum(self.seed, self.class_names, self._csv())

    def images(self, prepared: Prepared, name: str) -> Images:
        """The images of split ``name``, with the joined groups.

        Raises :class:`DataError` when these splits were made for other images or labels.
        """
        if name not in NAMES:
            raise DataError(f"no split called {name!r}; there are {', '.join(NAMES)}")
        place = self._places(prepared)
        return self._subset(prepared, self.split[place] == name, place, name)

    def reserve_halves(self, prepared: Prepared) -> tuple[Images, Images]:
        """The reserve in two: (reference of fidelity and memorization, what the oracle generator may know).

        Grouped, stratified and fixed by the split seed.
        """
        place = self._places(prepared)
        reserve = self.split[place] == "reserve"
        rows = place[reserve]
        halves = np.full(len(place), "", dtype="<U9")
        shares = {"reference": 0.5, "oracle": 0.5}
        halves[reserve] = allocate(self.group[rows], self.labels[rows], shares, self.seed, "reserve halves")
        reference, oracle = (self._subset(prepared, halves == half, place, f"reserve/{half}") for half in shares)
        return reference, oracle

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class name."""
        return {
            name: {c: int(n) for c, n in zip(self.class_names, self._bincount(name), strict=True)}
            for name in self._present()
        }

    def groups(self) -> dict[str, int]:
        """Groups by split."""
        return {name: len(np.unique(self.group[self.split == name])) for name in self._present()}

    def write(self, path: Path) -> None:
        """Freeze into a CSV (id, group, label, split) whose first line holds the checksum; replaced atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {"sha256": self.checksum, "seed": self.seed, "classes": self.class_names}
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(f"{_MARK}{json.dumps(head)}\n{self._csv()}".encode())
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: Path) -> Splits:
        """What :meth:`write` froze; raises :class:`DataError` that names the file if a byte of it has changed."""
        try:
            line, _, content = path.read_bytes().decode().partition("\n")
            head = json.loads(line.removeprefix(_MARK))
            stated, seed, classes = head["sha256"], int(head["seed"]), tuple(head["classes"])
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: not frozen splits: the first line must be '{_MARK}{{...}}'; {_REMAKE}") from None
        actual = _checksum(seed, classes, content)
        if actual != stated:
            differ = f"checksum {actual[:12]}, first line says {stated[:12]}"
            raise DataError(f"{path}: changed since it was frozen ({differ}); {_REMAKE}")
        return _parse(content, classes, seed)

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        labels = np.array(self.class_names)[self.labels].tolist()
        writer.writerows(zip(self.ids.tolist(), self.group.tolist(), labels, self.split.tolist(), strict=True))
        return text.getvalue()

    def _present(self) -> list[str]:
        return [*NAMES, *([UNUSED] if (self.split == UNUSED).any() else [])]

    def _bincount(self, name: str) -> NDArray[np.int64]:
        return np.bincount(self.labels[self.split == name], minlength=len(self.class_names))

    def _places(self, prepared: Prepared) -> NDArray[np.int64]:
        """Row of these splits for each prepared image, int64 [N]."""
        ids = prepared.images.ids
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        strange = ids[self.ids[place] != ids]
        if len(strange) or len(ids) != len(self.ids):
            what = f"e.g. {strange[0]} is not in the splits" if len(strange) else f"{len(self.ids)} ids for {len(ids)}"
            raise DataError(f"these splits were made for other images ({what}); {_REMAKE}")
        names = np.array(prepared.images.class_names)[prepared.images.labels]
        if differing := ids[np.array(self.class_names)[self.labels[place]] != names].tolist():
            raise DataError(f"these splits were made for another task: {differing[0]} has another label there")
        return place

    def _subset(self, prepared: Prepared, chosen: NDArray[np.bool_], place: NDArray[np.int64], name: str) -> Images:
        key = "/".join((prepared.fingerprint, str(prepared.meta.get("masks_sha256", "")), self.checksum, name))
        images = prepared.images.take(np.flatnonzero(chosen))
        return replace(images, groups=self.group[place[chosen]], key=hashlib.sha256(key.encode()).hexdigest())


def make_splits(prepared: Prepared, config: DataConfig) -> Splits:
    """Splits of ``prepared`` by ``config`` (``test``, ``test_fraction``, ``split_seed``).

    Deterministic by seed and independent of the order of rows. With official test images ("test" in the column
    ``part``) and ``config.test`` "official" these are the test split, and training images that share a joined group
    with one of them are left out, with a note. Otherwise the test split is a grouped share. A column ``split`` that
    names the split of every image is obeyed. Raises :class:`DataError` when a split or a class of train comes out
    empty, and :class:`LeakError` when a prescribed split tears a group.
    """
    order = np.argsort(prepared.images.ids, kind="stable")
    groups = join_groups(prepared.images.groups, stored_duplicates(prepared))[order]
    ids, labels = prepared.images.ids[order], prepared.images.labels[order]
    notes: list[str] = []
    prescribed = prepared.table.get("split")
    if prescribed is not None and (prescribed != "").all():
        split = np.asarray(prescribed)[order]
    else:
        split = _assign(groups, labels, ids, prepared.table["part"][order], config, notes)
    splits = Splits(ids, groups, labels, split, prepared.images.class_names, config.split_seed, tuple(notes))
    _check(splits)
    return replace(splits, notes=(*notes, *_thin(splits)))


def _assign(
    groups: Strings, labels: Labels, ids: Strings, part: NDArray[Any], config: DataConfig, notes: list[str]
) -> Strings:
    split = np.full(len(ids), UNUSED, dtype="<U10")
    official = part == "test"
    if official.any() and config.test == "official":
        split[official] = "test"
        rest = ~official & ~np.isin(groups, groups[official])
        if len(leaking := ids[~official & ~rest]):
            what = f"{len(leaking)} training images share a lesion or a picture with test images"
            notes.append(f"{what} and are left out: {_some(leaking)}")
    else:
        rest = ~official
        if official.any():
            notes.append(f"the {official.sum()} official test images are not used (test: split)")
        shares = {"rest": 1 - config.test_fraction, "test": config.test_fraction}
        dealt = allocate(groups[rest], labels[rest], shares, config.split_seed, "test")
        split[np.flatnonzero(rest)[dealt == "test"]] = "test"
        rest &= split != "test"
    split[rest] = allocate(groups[rest], labels[rest], SHARES, config.split_seed, "splits")
    return split


def _check(splits: Splits) -> None:
    names, group_of = np.unique(splits.group, return_inverse=True)
    for name in NAMES:
        inside, outside = splits.split == name, ~np.isin(splits.split, (name, UNUSED))
        both = np.isin(group_of[inside], group_of[outside])
        if both.any():
            torn = names[group_of[inside][both][0]]
            where = sorted(set(splits.split[splits.group == torn].tolist()))
            raise LeakError(
                f"group {torn} (near-duplicates joined) lies in {' and '.join(where)}; a group must not be torn"
            )
        if not inside.any():
            raise DataError(
                f"split {name} came out empty: {len(names)} groups are too few, or part or split names are wrong"
            )
    if len(absent := np.flatnonzero(splits._bincount("train") == 0)):
        raise DataError(f"no image of class {splits.class_names[absent[0]]} is left for train; use another task")


def _thin(splits: Splits) -> list[str]:
    """A note for each split without some class: its sensitivity there is undefined."""
    empty = [
        (name, c) for name, counts in splits.counts().items() for c, n in counts.items() if not n and name in NAMES
    ]
    return [f"no image of class {c} in split {name}: too few groups of it" for name, c in empty]


def _checksum(seed: int, class_names: Sequence[str], content: str) -> str:
    return hashlib.sha256(json.dumps([seed, list(class_names)]).encode() + content.encode()).hexdigest()


def _parse(content: str, class_names: tuple[str, ...], seed: int) -> Splits:
    _, *rows = csv.reader(io.StringIO(content))
    ids, group, labels, split = (np.array(column, dtype=np.str_) for column in zip(*rows, strict=True))
    index = {c: i for i, c in enumerate(class_names)}
    return Splits(ids, group, np.array([index[c] for c in labels.tolist()], dtype=np.int64), split, class_names, seed)


def _some(ids: Sequence[str] | Strings, most: int = 5) -> str:
    return ", ".join(map(str, ids[:most])) + (f" and {len(ids) - most} more" if len(ids) > most else "")
