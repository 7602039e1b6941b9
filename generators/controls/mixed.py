"""Controls between copying and reality: two images laid over each other, and a planted share of copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts import Context, GeneratorBase, Images, Labels, Options, Strings
from bench.draws import check_labels
from bench.errors import StageError
from bench.pixels import UInt8
from generators.controls._stored import StoredImages
from generators.controls.copies import CopyTrain, Oracle


class MixupConfig(Options):
    """``share`` of the first of the two images in the mixture."""

    share: float = Field(0.5, ge=0.5, lt=1)


class Mixup(StoredImages):
    """``mixup``: two training images of the asked class laid over each other (Zhang et al. 2018, arXiv:1710.09412).

    It looks like no photograph, and yet its classes can be learnt: fidelity and usefulness are two axes.
    ``last_parents`` (str [M]) names the first of the two.
    """

    Config = MixupConfig
    config: MixupConfig
    last_parents: Strings

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep ``train``; raises :class:`DataError` if it is empty."""
        self._keep(train)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Mixtures uint8 [M, H, W, 3]; an image is left as it is where its class has no other.

        Raises :class:`DataError` for a label that is no class or of which there is no training image.
        """
        first, self.last_parents = self._give(labels, ctx)
        rows = self._rows(np.asarray(labels, dtype=np.int64), ctx)
        second = self._pixels[self._partners(rows, ctx.seed)]
        mixture = self.config.share * first.astype(np.float32) + (1 - self.config.share) * second
        return np.asarray(np.rint(mixture), dtype=np.uint8)

    def _partners(self, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Another stored row of the same class for each of ``rows`` [M]."""
        out = rows.copy()
        for label in np.unique(self.labels[rows]):
            members = np.flatnonzero(self.labels == label)
            asked = np.flatnonzero(self.labels[rows] == label)
            if len(members) > 1:
                ahead = np.random.default_rng([seed, 1, int(label)]).integers(1, len(members), len(asked))
                place = np.searchsorted(members, rows[asked])
                out[asked] = members[(place + ahead) % len(members)]
        return out


class OracleCopiesConfig(Options):
    """``share`` of the images of each class that are copies of training images, exact to one image."""

    share: float = Field(0.05, ge=0, le=1)


class OracleCopies(GeneratorBase):
    """``oracle-copies``: held-out real images with a planted share of training images among them.

    What a copy rate says must be that share. ``last_parents`` (str [M]): id of the copied image, "" for held-out ones.
    """

    control: ClassVar[bool] = True
    Config = OracleCopiesConfig
    config: OracleCopiesConfig
    last_parents: Strings

    def fit(self, train: Images, ctx: Context) -> None:
        """Always raises: without held-out images all would be copies."""
        raise StageError("oracle-copies needs held-out images: call fit_held_out, as the protocols do")

    def fit_held_out(self, train: Images, held_out: Images, ctx: Context) -> None:
        """Keep both; raises :class:`StageError` if they share an image."""
        self.oracle, self.copies = Oracle(), CopyTrain()
        self.oracle.fit_held_out(train, held_out, ctx)
        self.copies.fit(train, ctx)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Real images uint8 [M, H, W, 3], ``share`` of each class from train.

        Raises :class:`DataError` for a label that is no class, or of which there is no image of the kind needed.
        """
        if not hasattr(self, "oracle"):
            raise StageError("OracleCopies was not fitted: call fit_held_out or load first")
        labels = check_labels(labels, self.oracle.class_names)
        planted = spread(labels, self.config.share, ctx.seed)
        images = np.empty((len(labels), *self.oracle._pixels.shape[1:]), dtype=np.uint8)
        parents = np.full(len(labels), "", dtype=self.copies.ids.dtype)
        images[~planted] = self.oracle.sample(labels[~planted], ctx)
        images[planted] = self.copies.sample(labels[planted], ctx)
        parents[planted] = self.copies.last_parents
        self.last_parents = parents
        return images

    def save(self, folder: Path) -> None:
        """Write both image sets into folders of their own."""
        for name in ("oracle", "copies"):
            (folder / name).mkdir()
            getattr(self, name).save(folder / name)

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """What ``save`` wrote; the pixels stay on disk."""
        self = cls(config)
        self.oracle, self.copies = Oracle.load(folder / "oracle", None), CopyTrain.load(folder / "copies", None)
        return self


def spread(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """Which of ``labels`` [M] are chosen: ``share`` of every class, evenly spaced from a random start.

    Exact to one image a class, and what is chosen among the first does not depend on how many follow.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        asked = np.flatnonzero(labels == label)
        start = np.random.default_rng([seed, 3, int(label)]).random()
        chosen[asked] = np.diff(np.floor(share * np.arange(len(asked) + 1) + start)) > 0
    return chosen
