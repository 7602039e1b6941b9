"""What generators with a latent vector share as plugins. No torch at import: the command line loads their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from bench.contracts import Context, Images, Labels, Options
from bench.errors import DataError
from bench.pixels import UInt8
from generators._fitted import FittedGenerator

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


class LatentGenerator(FittedGenerator["LatentModel"]):
    """Sampling and storage of a fitted :class:`LatentModel`; subclasses fit and rebuild it."""

    Config: ClassVar[type[LatentOptions]] = LatentOptions
    config: LatentOptions
    _model: LatentModel | None

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
