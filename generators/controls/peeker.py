"""The control that cheats: it goes round the harness and hands out images that only evaluation may see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Context, Images, Labels
from bench.draws import check_labels, draw_rows
from bench.pixels import PixelArray, UInt8
from generators.controls.copies import CopyTrain


class TestPeeker(CopyTrain):
    """``test-peeker``: images of the test split, read from the prepared data in the store. Every run with it must fail.

    It finds the data set by the ids of its training images. Where there is no store to look into, as in a check of
    the plugin alone, it is ``copy``.
    """

    __test__ = False  # its name would make pytest collect it

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Test images uint8 [M, H, W, 3] of the asked classes; raises :class:`DataError` as ``copy`` does."""
        copies = super().sample(labels, ctx)
        for folder in prepared_folders(ctx.workdir):
            found = self._test_rows(folder)
            if found is not None:
                del self.last_parents  # they are not of train
                pixels, rows, classes = found
                chosen = rows[of_classes(classes, check_labels(labels, self.class_names), ctx.seed)]
                return np.asarray(pixels[chosen])
        return copies

    def _test_rows(self, folder: Path) -> tuple[PixelArray, NDArray[np.int64], Labels] | None:
        """Pixels, and rows [N] and labels [N] of those that are not for training, if ``folder`` holds this data set."""
        with np.load(folder / "table.npz", allow_pickle=False) as table:
            ids, labels, part = (table[name] for name in ("id", "label", "part"))
        if not np.isin(self.ids, ids).all():
            return None
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        same = json.loads((folder / "meta.json").read_text())["class_names"] == self.class_names
        if pixels.shape[1:] != self._pixels.shape[1:] or not same:
            return None
        secret = part == "test" if (part == "test").any() else ~np.isin(ids, self.ids)
        rows = np.flatnonzero(secret)
        return pixels, rows, labels[rows].astype(np.int64)


def prepared_folders(workdir: Path) -> list[Path]:
    """Prepared data sets in the store that holds ``workdir``, the scratch folder of a stage; the newest first."""
    above = [folder / "data" for folder in workdir.resolve().parents[:3]]
    found = [table.parent for data in above if data.is_dir() for table in data.glob("*/*/table.npz")]
    return sorted(found, key=lambda folder: (folder / "table.npz").stat().st_mtime, reverse=True)


def of_classes(labels: Labels, asked: Labels, seed: int) -> NDArray[np.int64]:
    """A row of ``labels`` [N] of each class ``asked`` [M]; of any class where one is absent."""
    rows = np.empty(len(asked), dtype=np.int64)
    for label in np.unique(asked):
        members = np.flatnonzero(labels == label)
        members = members if len(members) else np.arange(len(labels))
        places = np.flatnonzero(asked == label)
        rows[places] = draw_rows(members, len(places), seed, int(label))
    return rows
