"""Writes a prepared data set block by block: memory stays at one block, whatever the number of images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels, Strings, Task
from bench.data.base import DatasetInfo, Prepared, load_prepared
from bench.data.duplicates import HASH_NAME, near_duplicates, perceptual_hash, store_duplicates
from bench.errors import DataError
from bench.pixels import UInt8

PARTS = ("train", "test")
RESERVED = ("id", "label", "group", "part", "hash")


class GrowingArray:
    """A .npy file of uint8 rows whose number is known only at the end; bytes go straight to disk."""

    def __init__(self, path: Path, row_shape: tuple[int, ...]) -> None:
        self.row_shape, self.n = row_shape, 0
        self.digest = hashlib.sha256()
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def append(self, rows: UInt8) -> None:
        """Add uint8 [n, *row_shape]."""
        if rows.dtype != np.uint8 or rows.shape[1:] != self.row_shape:
            raise ValueError(f"expected uint8 rows of shape {self.row_shape}, got {rows.dtype} {rows.shape[1:]}")
        data = np.ascontiguousarray(rows)
        self.digest.update(data.data)
        self._file.write(data.data)
        self.n += len(rows)

    def close(self) -> str:
        """Put the final number of rows into the header; returns the sha256 of all rows."""
        if not self._file.closed:
            self._file.seek(0)
            self._write_header()  # numpy pads the header so that a longer row count still fits
            self._file.close()
        return self.digest.hexdigest()

    def _write_header(self) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.n, *self.row_shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


class PreparedWriter:
    """Context manager that makes a prepared data set (see :class:`bench.data.base.Prepared`) in ``folder``.

    Also stored: pairs of near-duplicates (``duplicates.npz``). ``meta.json`` is written last, when the block ends
    without an exception: a folder without it is unfinished.

        with PreparedWriter(folder, task, info, size=32, preprocessing="drawn,32px") as writer:
            writer.add(pixels, labels, ids, groups, part="train", age=ages)
            writer.note("3 rows were repeated")
    """

    def __init__(
        self,
        folder: Path,
        task: Task,
        info: DatasetInfo,
        *,
        size: int,
        preprocessing: str,
        mask_names: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.task, self.info = folder, task, info
        self.preprocessing, self.mask_names = preprocessing, tuple(mask_names)
        self.notes: list[str] = []
        self.bad: list[dict[str, str]] = []
        self.extra: dict[str, Any] = {}
        self._blocks: list[dict[str, NDArray[Any]]] = []
        self._pixels = GrowingArray(folder / "pixels.npy", (size, size, 3))
        shape = (size, size, len(self.mask_names))
        self._masks = GrowingArray(folder / "masks.npy", shape) if mask_names else None

    def add(
        self,
        pixels: UInt8,
        labels: Labels,
        ids: Sequence[str] | Strings,
        groups: Sequence[str] | Strings,
        part: str | Sequence[str] | Strings = "train",
        masks: UInt8 | None = None,
        **columns: Any,
    ) -> None:
        """Append n images: uint8 [n, S, S, 3], int64 [n] and n names each; masks uint8 [n, S, S, C] where named.

        ``columns``: further str or number columns of length n. A column that only some blocks have is filled with
        "" or NaN (-1 for integers) in the others. Raises ValueError when lengths or shapes disagree.
        """
        n = len(labels)
        parts = np.full(n, part) if isinstance(part, str) else np.asarray(part)
        table = {"id": np.asarray(ids), "label": np.asarray(labels, dtype=np.int64), "group": np.asarray(groups)}
        table |= {"part": parts, **{name: np.asarray(column) for name, column in columns.items()}}
        if wrong := [name for name, column in {**table, "pixels": pixels}.items() if len(column) != n]:
            raise ValueError(f"{wrong[0]} does not have one value for each of the {n} labels")
        if self._masks is not None:
            if masks is None or len(masks) != n:
                raise ValueError(f"masks for {n} images are missing: mask_names is {self.mask_names}")
            self._masks.append(masks)
        self._pixels.append(pixels)
        self._blocks.append({**table, "hash": perceptual_hash(pixels)})

    def note(self, text: str) -> None:
        """Something a reader of the results must know; it goes into every record."""
        self.notes.append(text)

    def leave_out(self, name: str, reason: str) -> None:
        """Put on record that the file ``name`` is not in the set."""
        self.bad.append({"file": name, "reason": reason})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        pixel_digest = self._pixels.close()
        mask_digest = self._masks.close() if self._masks else ""
        if kind is None:
            self._finish(pixel_digest, mask_digest)

    def prepared(self) -> Prepared:
        """The finished data set."""
        return load_prepared(self.folder)

    def _finish(self, pixel_digest: str, mask_digest: str) -> None:
        if not self._pixels.n:
            reasons = "; ".join(f"{bad['file']}: {bad['reason']}" for bad in self.bad[:5])
            raise DataError(f"{self.info.name}: no usable image ({reasons or 'none was given'})")
        table = _join(self._blocks)
        _check(self.info.name, table, self.task)
        np.savez(self.folder / "table.npz", allow_pickle=False, **table)
        pixels = np.load(self.folder / "pixels.npy", mmap_mode="r")
        store_duplicates(self.folder, near_duplicates(pixels, table["hash"]))
        meta = {
            "format": 1,
            "n": self._pixels.n,
            "resolution": self._pixels.row_shape[0],
            "task": self.task.name,
            "class_names": list(self.task.class_names),
            "positive": self.task.positive,
            "mask_names": list(self.mask_names),
            "masks_sha256": mask_digest,
            "preprocessing": self.preprocessing,
            "hash": HASH_NAME,
            "fingerprint": fingerprint(pixel_digest, table, self.task.class_names),
            "notes": [*self.info.notes, *self.notes],
            "bad": self.bad,
            "info": asdict(self.info),
            **self.extra,
        }
        (self.folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def fingerprint(pixel_digest: str, table: dict[str, NDArray[Any]], class_names: Sequence[str]) -> str:
    """sha256 over pixels (their own sha256), labels, class names, ids, groups and parts."""
    digest = hashlib.sha256(pixel_digest.encode())
    digest.update(json.dumps(list(class_names)).encode())
    digest.update(table["label"].astype("<i8").tobytes())
    for name in ("id", "group", "part"):
        digest.update(json.dumps(table[name].tolist()).encode())
    return digest.hexdigest()


def _join(blocks: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    names = dict.fromkeys(name for block in blocks for name in block)
    joined = {}
    for name in names:
        model = next(block[name] for block in blocks if name in block)
        fill: Any = "" if model.dtype.kind == "U" else np.nan if model.dtype.kind == "f" else -1
        joined[name] = np.concatenate([b[name] if name in b else np.full(len(b["id"]), fill) for b in blocks])
    return joined


def _check(name: str, table: dict[str, NDArray[Any]], task: Task) -> None:
    ids, counts = np.unique(table["id"], return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{name}: image id {ids[counts > 1][0]} is there {counts.max()} times; ids must be unique")
    if np.char.startswith(ids, "syn-").any():
        raise DataError(f"{name}: an id starts with 'syn-', which is kept for synthetic images; rename the file")
    if wrong := sorted(set(table["part"].tolist()) - set(PARTS)):
        raise DataError(f"{name}: part must be one of {', '.join(PARTS)}, got {wrong[0]!r}")
    if table["label"].min() < 0 or table["label"].max() >= task.num_classes:
        raise DataError(f"{name}: labels must lie in 0..{task.num_classes - 1}")
    if wrong := [c for c, column in table.items() if column.dtype.kind not in "Ufiub"]:
        raise DataError(f"{name}: column {wrong[0]} holds {table[wrong[0]].dtype}; only text and numbers can be stored")
