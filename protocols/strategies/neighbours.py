"""Neighbours of the hard cases in the generator's latent space (Carrasco et al.: misclassified and edge cases)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bench.capabilities import CanInvert
from bench.contracts import Images, Options
from bench.lab import Fitted, Lab
from protocols.strategies.base import Answer, Guidance


class Neighbours:
    """Find the latent of each hard case, move it by a share of its length in a random direction, and render it.

    ``step`` is a relative Euclidean distance. The source moves by "0.1" too, but clips the latent as well, which moves
    it by about .39 of its length.
    """

    version = "1"
    needs = CanInvert
    from_images = True

    class Config(Options):
        """``step``: |z' - z| / |z|."""

        step: float = Field(0.1, gt=0, le=2)

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """``per_case`` neighbours of every hard case that keep its label."""
        made = self.variations(lab, guidance.generator, guidance.wanted(), guidance.stream)
        accepted = guidance.check(made)
        return Answer(made, accepted, {"label_check": int((~accepted).sum())})

    def variations(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Images:
        """One neighbour of each of ``images``; also the way to make control arm C3."""
        return lab.neighbours(generator, images, step=self.config.step, stream=stream)
