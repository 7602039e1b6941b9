"""Images that a control keeps and hands out again, class by class, without repeating one before all were used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Context, GeneratorBase, Images, Labels, Strings
from bench.draws import check_labels, draw_rows
from bench.errors import DataError, StageError
from bench.pixels import PixelArray, UInt8, chunks
from bench.trees import load_tree, save_tree

BLOCK = 1024
NOT_STORED = ("config", "_pixels", "last_parents")


class StoredImages(GeneratorBase):
    """Base of the controls that give real images back; pixels lie in one memory-mapped file."""

    control: ClassVar[bool] = True

    def _keep(self, images: Images) -> None:
        if not len(images):
            raise DataError(f"{type(self).__name__} got no image to give back: check the splits")
        self._pixels: PixelArray = images.pixels
        self.labels, self.ids = images.labels.copy(), images.ids.copy()
        self.class_names = list(images.class_names)

    def _rows(self, labels: Labels, ctx: Context) -> NDArray[np.int64]:
        """Stored rows int64 [M] of the asked ``labels`` int64 [M]."""
        rows = np.empty(len(labels), dtype=np.int64)
        repeats = 0
        for label in np.unique(labels):
            members, asked = np.flatnonzero(self.labels == label), np.flatnonzero(labels == label)
            if not len(members):
                name = self.class_names[label]
                raise DataError(f"{type(self).__name__} holds no image of {name!r}: ask for other classes")
            rows[asked] = draw_rows(members, len(asked), ctx.seed, int(label))
            repeats += max(0, len(asked) - len(members))
        ctx.log(len(labels), len(labels), repeats=float(repeats))
        return rows

    def _give(self, labels: Labels, ctx: Context) -> tuple[UInt8, Strings]:
        if not hasattr(self, "_pixels"):
            raise StageError(f"{type(self).__name__} was not fitted: call fit or load first")
        rows = self._rows(check_labels(labels, self.class_names), ctx)
        return np.array(self._pixels[rows]), self.ids[rows]

    def save(self, folder: Path) -> None:
        """Write pixels.npy block by block, and labels, ids, class names and what else a subclass keeps beside it."""
        save_tree(folder, {k: v for k, v in vars(self).items() if k not in NOT_STORED})
        shape = tuple(self._pixels.shape)
        stored = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
        for rows in chunks(shape[0], BLOCK):
            stored[rows] = self._pixels[rows]
        stored.flush()

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """What ``save`` wrote; the pixels stay on disk."""
        self = cls(config)
        vars(self).update(load_tree(folder))
        self._pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        return self
