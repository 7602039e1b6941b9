"""Controls whose images are good and whose labels are not: a dropped class, swapped classes, shuffled labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Context, Images, Labels, Options
from bench.data.tasks import MELANOMA
from bench.draws import draw_rows
from bench.errors import ConfigError
from generators.controls.copies import CopyTrain


class ModeDropConfig(Options):
    """``drop``: name of the class that is never made; None: melanoma where it is a class, else the rarest."""

    drop: str | None = None


class ModeDrop(CopyTrain):
    """``mode-drop``: copies of all classes but one. Asked for the dropped one it makes images of the others.

    What a conditional generator does that has lost a mode: sets look real, and the class of interest is not there.
    ``last_parents`` tells what each image really is; ``dropped`` is the index of the class.
    """

    Config = ModeDropConfig
    config: ModeDropConfig

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep ``train`` without the dropped class.

        Raises :class:`ConfigError` if there is no class of that name, :class:`DataError` if nothing else is left.
        """
        self.dropped = dropped_class(train, self.config.drop)
        self._keep(train.take(train.labels != self.dropped))

    def _rows(self, labels: Labels, ctx: Context) -> NDArray[np.int64]:
        rows = np.empty(len(labels), dtype=np.int64)
        lost = labels == self.dropped
        rows[~lost] = super()._rows(labels[~lost], ctx)
        rows[lost] = draw_rows(np.arange(len(self.labels)), int(lost.sum()), ctx.seed, self.dropped)
        return rows


def dropped_class(images: Images, name: str | None) -> int:
    """Index of class ``name``; of melanoma, or else of the rarest class that has images, for None."""
    names = [n.lower() for n in images.class_names]
    if name is not None:
        if name.lower() not in names:
            raise ConfigError(f"mode-drop: no class {name!r} to drop; there are {', '.join(images.class_names)}")
        return names.index(name.lower())
    melanoma = [k for k, n in enumerate(names) if n in MELANOMA]
    counts = images.counts()
    return melanoma[0] if melanoma else int(np.where(counts > 0, counts, counts.max(initial=0) + 1).argmin())


class ClassSwap(CopyTrain):
    """``class-swap``: copies under the label of the next class that has images (two classes change places).

    No metric without labels can tell it from ``copy``; a classifier trained on it is worse than chance.
    """

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep ``train`` with each label as the next one, the last as the first; raises :class:`DataError` if empty."""
        present, position = np.unique(train.labels, return_inverse=True)
        self._keep(replace(train, labels=np.roll(present, -1)[position]))


class LabelShuffle(CopyTrain):
    """``label-shuffle``: copies under each other's labels, shuffled once by the seed of ``fit``.

    Class shares are kept, and labels say nothing: a classifier trained on it is at chance, on average over shuffles.
    """

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep ``train`` with its labels permuted; raises :class:`DataError` if it is empty."""
        self._keep(replace(train, labels=np.random.default_rng(ctx.seed).permutation(train.labels)))
