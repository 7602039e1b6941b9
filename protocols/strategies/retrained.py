"""Strategies that teach the generator the hard cases first and then draw from it: fine-tuning, and new class tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.capabilities import CanFinetune, CanLearnToken
from bench.contracts import Images, Options
from bench.lab import Fitted, Lab
from protocols.strategies.base import Answer, Guidance


class _Retrained:
    """A generator changed by the hard cases draws one image for each; random cases change it for arm C3."""

    version = "1"
    needs: ClassVar[type]
    from_images = True

    class Config(Options):
        """No options of its own: those of the generator say how it is trained further."""

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """One image for every wanted hard case that keeps its label."""
        made = self.variations(lab, guidance.generator, guidance.wanted(), guidance.stream)
        accepted = guidance.check(made)
        return Answer(made, accepted, {"label_check": int((~accepted).sum())})

    def variations(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Images:
        """As many images of the same labels from the generator that learnt ``images``."""
        return lab.sample(self.changed(lab, generator, images, stream), images.labels, stream=stream)

    def changed(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Fitted:
        raise NotImplementedError


class Finetune(_Retrained):
    """Fine-tune the generator on the hard cases, with images of all of train against forgetting.

    The danger is memory: the record's copy rate says whether the few cases come back.
    """

    needs = CanFinetune

    def changed(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Fitted:
        """The generator after more training on ``images``, replaying train."""
        return lab.finetune(generator, images, lab.train, stream=stream)


class Token(_Retrained):
    """Learn a new class embedding of each class on its hard cases, all else frozen.

    Textual inversion (Gal et al. 2023, arXiv:2208.01618), on class embeddings.
    """

    needs = CanLearnToken

    def changed(self, lab: Lab, generator: Fitted, images: Images, stream: str) -> Fitted:
        """The generator with embeddings learnt on ``images``."""
        return lab.learn_token(generator, images, stream=stream)
