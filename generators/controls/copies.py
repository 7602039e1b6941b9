"""Controls that hand real images back: perfect memorization, perfect generalisation, and total collapse."""

from __future__ import annotations

import numpy as np

from bench.contracts import Context, Images, Labels, Options, Strings
from bench.errors import StageError
from bench.pixels import UInt8
from generators.controls._stored import StoredImages


class CopyTrain(StoredImages):
    """``copy``: training images of the asked class. Best possible fidelity, and every image is memorized.

    A metric of memorization must catch all of it, and training on it must equal oversampling.
    ``last_parents`` (str [M]) names the copied image of each row of the last ``sample``.
    """

    last_parents: Strings

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep ``train``; raises :class:`DataError` if it is empty."""
        self._keep(train)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Copies uint8 [M, H, W, 3]; none repeats before all of its class were used (``repeats`` is logged).

        Raises :class:`DataError` for a label that is no class or of which there is no training image.
        """
        images, self.last_parents = self._give(labels, ctx)
        return images


class Oracle(StoredImages):
    """``oracle``: real images that nothing was trained on. No generator should beat it; one that does hints at a leak.

    Images repeat only when all of the class have been used.
    """

    def fit(self, train: Images, ctx: Context) -> None:
        """Always raises: from ``train`` alone it would be ``copy``."""
        raise StageError("the oracle needs held-out images: call fit_held_out, as the protocols do")

    def fit_held_out(self, train: Images, held_out: Images, ctx: Context) -> None:
        """Keep ``held_out``; raises :class:`StageError` if it shares an image with ``train``."""
        shared = np.intersect1d(train.ids, held_out.ids)
        if len(shared):
            raise StageError(f"{len(shared)} held-out images are also in train, the first is {shared[0]}")
        self._keep(held_out)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Held-out images uint8 [M, H, W, 3]; raises :class:`DataError` as ``copy`` does."""
        return self._give(labels, ctx)[0]


class CollapseConfig(Options):
    """``per_class``: one image for each class instead of one for all."""

    per_class: bool = False


class Collapse(StoredImages):
    """``collapse``: the same training image again and again. Precision may be high; recall and coverage must be 0."""

    Config = CollapseConfig
    config: CollapseConfig

    def fit(self, train: Images, ctx: Context) -> None:
        """Keep one image of ``train`` (one of each class there is with ``per_class``), chosen by ``ctx.seed``."""
        rng = np.random.default_rng(ctx.seed)
        pools = [np.arange(len(train))]
        if self.config.per_class:
            pools = [np.flatnonzero(train.labels == k) for k in range(train.num_classes)]
        self._keep(train.take([int(rng.choice(pool)) for pool in pools if len(pool)]))

    def _rows(self, labels: Labels, ctx: Context) -> Labels:
        if self.config.per_class:
            return super()._rows(labels, ctx)
        return np.zeros(len(labels), dtype=np.int64)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """The one image M times, uint8 [M, H, W, 3]."""
        return self._give(labels, ctx)[0]
