"""``lesion-mixup``: two lesions of one class, laid over each other (Zhang et al. 2018, arXiv:1710.09412)."""

import numpy as np
from pydantic import Field

from bench.contracts import GeneratorBase, Options


class Config(Options):
    """``alpha``: of the Beta distribution of the mixing share; small values leave one lesion nearly as it was."""

    alpha: float = Field(0.4, gt=0)


class LesionMixup(GeneratorBase):
    """Each image is a random convex combination of two training images of its class, the second one mirrored."""

    Config = Config

    def fit(self, train, ctx):
        self.pixels, self.labels = np.asarray(train.pixels[:]), train.labels

    def sample(self, labels, ctx, hints=None):
        return np.stack([self.mix(int(y), np.random.default_rng([ctx.seed, i])) for i, y in enumerate(labels)])

    def mix(self, label, rng):
        own = np.flatnonzero(self.labels == label)
        if not len(own):
            raise ValueError(f"there is no training image of class {label}")
        first, second = self.pixels[rng.choice(own, 2)].astype(np.float32)
        share = rng.beta(self.config.alpha, self.config.alpha)
        return np.rint(share * first + (1 - share) * second[:, ::-1]).astype(np.uint8)
