"""Strategies that teach the generator the hard cases first and then draw from it: fine-tuning, and new class tokens."""

from __future__ import annotations

from bench.capabilities import CanFinetune, CanLearnToken
from bench.contracts import Images, Options
from bench.lab import Fitted, Lab
from protocols.strategies.variations import Variations


class _Retrained(Variations):
    """A generator changed by the hard cases draws one image for each; random cases change it for arm C3."""

    class Config(Options):
        """No options of its own: those of the generator say how it is trained further."""

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
