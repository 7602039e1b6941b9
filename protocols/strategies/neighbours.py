"""Neighbours of the hard cases in the generator's latent space (Carrasco et al.: misclassified and edge cases)."""

from __future__ import annotations

from pydantic import Field

from bench.capabilities import CanInvert
from bench.contracts import Images, Options
from bench.lab import Fitted, Lab
from protocols.strategies.variations import Variations


class Neighbours(Variations):
    """Find the latent of each hard case, move it by a share of its length in a random direction, and render it.

    ``step`` is a relative Euclidean distance. The source moves by "0.1" too, but clips the latent as well, which moves
    it by about .39 of its length.
    """

    needs = CanInvert

    class Config(Options):
        """``step``: |z' - z| / |z|."""

        step: float = Field(0.1, gt=0, le=2)

    def variations(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Images:
        """One neighbour of each of ``images``; also the way to make control arm C3."""
        return lab.neighbours(generator, images, step=self.config.step, stream=stream)
