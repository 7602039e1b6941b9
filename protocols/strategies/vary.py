"""Variations of the hard cases themselves (SDEdit; Meng et al. 2022, arXiv:2108.01073)."""

from __future__ import annotations

from pydantic import Field

from bench.capabilities import CanVary
from bench.contracts import Images, Options
from bench.lab import Fitted, Lab
from protocols.strategies.variations import Variations


class Vary(Variations):
    """Noise each hard case to a share ``strength`` of the diffusion time and denoise it again."""

    needs = CanVary

    class Config(Options):
        """``strength``: 0 gives the case back, 1 forgets it."""

        strength: float = Field(0.35, gt=0, le=1)

    def variations(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Images:
        """One variation of each of ``images``; also the way to make control arm C3."""
        return lab.vary(generator, images, strength=self.config.strength, stream=stream)
