"""``folder``: images that somebody else made, so that any model in the world can be judged without a line of code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from bench.contracts import Context, GeneratorBase, Images, Labels, Options
from bench.data.decode import Crop, Filter, Recipe
from bench.draws import check_labels, draw_rows
from bench.errors import DataError, StageError
from bench.pixels import PixelArray, UInt8, chunks
from bench.trees import load_tree, save_tree
from generators._labelled_files import LabelledFiles, find_files

COPIED = 1024  # images copied at once


class FolderOptions(Options):
    """Where the images are and what their classes are called.

    path     folder, zip or tar of CLASS/image, or a CSV (columns file or image, and label) beside its images
    table    such a CSV for the images of path, here or in path; empty for class subfolders
    classes  names used there -> class names of the task, where they differ; several may become one
    reuse    give images again once all of their class were given; else asking for more than there are is an error
    crop, filter  how they are brought to the training size: as data.crop and data.filter do it, so give the same
    """

    path: str = Field(min_length=1)
    table: str = ""
    classes: dict[str, str] = {}
    reuse: bool = False
    crop: Crop = "square"
    filter: Filter = "lanczos"

    def files(self) -> LabelledFiles:
        """The listed images; nothing is decoded."""
        return find_files(Path(self.path), Path(self.table) if self.table else None)


class Folder(GeneratorBase):
    """Hands out stored images class by class: a seeded permutation of each, so none is given twice in one call.

    Nothing is learned. What the images were made from cannot be seen here: a model that was trained on images of the
    test split flatters itself unless its images are near-copies, which end the run.
    """

    version: ClassVar[str] = "1"
    Config = FolderOptions
    config: FolderOptions

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._pixels: PixelArray | None = None
        self._labels: Labels = np.empty(0, dtype=np.int64)
        self._class_names: list[str] = []

    @classmethod
    def inputs(cls, config: FolderOptions) -> Mapping[str, Any]:
        """sha256 of what the files are and hold, and the version of the library that resizes them."""
        import PIL

        return {"files": config.files().fingerprint(), "pillow": PIL.__version__}

    def fit(self, train: Images, ctx: Context) -> None:
        """Decode every image to the size of ``train``, whose pixels are not read; its classes must be those here.

        Raises :class:`DataError` that names files which hold no image, and classes that are missing or unknown.
        """
        height, width = train.size
        if height != width:
            raise DataError(f"the training images are {height} x {width} pixels; only square ones can be matched")
        files = self.config.files()
        self._labels, self._class_names = files.labels(train.class_names, self.config.classes), list(train.class_names)
        pixels = _new_array(ctx.workdir / "folder-pixels.npy", (len(files), height, width, 3))
        for rows, block in files.decoded(Recipe(height, self.config.crop, self.config.filter)):
            pixels[rows] = block
            ctx.log(rows.stop, len(files))
        self._pixels = pixels

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3], none of them twice unless ``reuse`` is on.

        The i-th image of a class is the i-th of its permutation by ``ctx.seed``. Raises :class:`DataError` where a
        class has fewer images than are asked for.
        """
        if self._pixels is None:
            raise StageError("Folder is not fitted yet: call fit or load first")
        labels = check_labels(labels, self._class_names)
        rows = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels).tolist():
            members, asked = np.flatnonzero(self._labels == label), np.flatnonzero(labels == label)
            if len(asked) > len(members) and not self.config.reuse:
                raise DataError(
                    f"{self.config.path}: {len(asked):,} images of {self._class_names[label]!r} are asked for, there "
                    f"are {len(members):,}: add images, ask for fewer (an option of the protocol), or allow "
                    "repetition with --set generator.reuse=true"
                )
            rows[asked] = draw_rows(members, len(asked), ctx.seed, label)
        return np.array(self._pixels[rows])

    def save(self, folder: Path) -> None:
        """Write pixels.npy block by block, and labels and class names beside it."""
        if self._pixels is None:
            raise StageError("Folder is not fitted yet: call fit first")
        save_tree(folder, {"labels": self._labels, "class_names": self._class_names})
        stored = _new_array(folder / "pixels.npy", tuple(self._pixels.shape))
        for rows in chunks(len(stored), COPIED):
            stored[rows] = self._pixels[rows]
        stored.flush()

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """What ``save`` wrote; the pixels stay on disk."""
        self, state = cls(config), load_tree(folder)
        self._labels, self._class_names = state["labels"], state["class_names"]
        self._pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        return self


def _new_array(file: Path, shape: tuple[int, ...]) -> Any:
    """A zeroed uint8 array in ``file``, mapped into memory."""
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
