"""What strategies share that answer each wanted hard case with one image made from it."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.contracts import Images, Options
from bench.lab import Fitted, Lab
from protocols.strategies.base import Answer, Guidance


class Variations:
    """One image for every wanted hard case, checked; the same from random cases is control arm C3."""

    version = "1"
    needs: ClassVar[type]
    from_images = True
    Config: ClassVar[type[Options]]

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """``per_case`` images for every hard case, of which those count that keep its label."""
        made = self.variations(lab, guidance.generator, guidance.wanted(), guidance.stream)
        accepted = guidance.check(made)
        return Answer(made, accepted, {"label_check": int((~accepted).sum())})

    def variations(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Images:
        """One image for each of ``images``, of its label."""
        raise NotImplementedError
