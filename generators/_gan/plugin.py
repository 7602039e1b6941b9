"""What generators with a latent vector share as plugins. No torch at import: the command line loads their classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from bench.contracts import Context, GeneratorBase, Images, Labels, Options
from bench.errors import DataError, StageError
from bench.pixels import UInt8

if TYPE_CHECKING:
    from generators._gan.model import LatentModel

Augment = Literal["dihedral", "flips", "none"]
LARGEST = 256  # px


class LatentOptions(Options):
    """Latent vectors, sampling and what is done to real images before they are shown.

    latent          numbers in z ~ N(0, I)
    sampling_batch  rows of every network call in sampling; short ones are padded, so that an image does not depend
                    on how many others are drawn with it
    augment         flips and quarter turns (dermoscopy has no up), flips alone, or none
    """

    latent: PositiveInt = 100
    sampling_batch: PositiveInt = 64
    augment: Augment = "dihedral"


class LatentGenerator(GeneratorBase):
    """Sampling and storage of a fitted :class:`LatentModel`; subclasses fit and rebuild it."""

    Config: ClassVar[type[LatentOptions]] = LatentOptions
    config: LatentOptions

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._model: LatentModel | None = None

    @property
    def model(self) -> LatentModel:
        """The fitted model; raises StageError before ``fit`` or ``load``."""
        if self._model is None:
            raise StageError(f"{type(self).__name__} is not fitted yet: call fit or load first")
        return self._model

    @property
    def latent_size(self) -> int:
        """Numbers in a latent vector."""
        return self.config.latent

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3], of z drawn by ``ctx.seed``; no ``hints``.

        Raises DataError for labels that the generator never saw.
        """
        z = np.random.default_rng(ctx.seed).standard_normal((len(labels), self.latent_size), dtype=np.float32)
        return self.model.sample(z, labels, ctx)

    def render_latents(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """Images float32 [M, H, W, 3] in 0..255, not rounded, of ``z`` [M, latent_size]; there is no other noise."""
        return self.model.render(z, labels, ctx)

    def save(self, folder: Path) -> None:
        """Store weights and statistics as safetensors and JSON."""
        from bench.trees import save_tree

        save_tree(folder, self.model.state())

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """Rebuild from what ``save`` wrote with the same options."""
        from bench.trees import load_tree

        self = cls(config)
        self._model = self._rebuild(load_tree(folder))
        return self

    def _rebuild(self, state: dict[str, Any]) -> LatentModel:
        raise NotImplementedError


def side_of(train: Images, name: str, smallest: int) -> int:
    """Side of the square images of ``train``; raises DataError unless it is ``smallest`` x 2^k, at most 256."""
    height, width = train.size
    sides = [smallest * 2**k for k in range(8) if smallest * 2**k <= LARGEST]
    if height != width or height not in sides:
        near = min(sides, key=lambda side: abs(side - height))
        raise DataError(
            f"{name} makes square images of {', '.join(map(str, sides))} pixels, the training images are "
            f"{height} x {width}: choose such a size, e.g. --set data.resolution={near}"
        )
    return height
