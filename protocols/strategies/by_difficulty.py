"""A generator that knows how hard a case is, and is asked for hard ones: works with any conditional generator."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts import Images, Options
from bench.lab import Lab
from protocols.arms import relabelled
from protocols.difficulty import FUNCTIONS, cross_entropy, difficulty_bins, gaussian_hardness
from protocols.strategies.base import Answer, Guidance


class ByDifficulty:
    """Fit the generator on class x difficulty bin instead of class, then draw from one bin of each class.

    Difficulty comes from out-of-fold predictions on train. The bins of a class hold equally many of its cases; the
    share ``drop_highest`` of the highest loss, mostly label noise, is a bin of its own that is never asked for.
    """

    version = "1"
    needs = None
    from_images = False
    bins_train = True

    class Config(Options):
        """``bins``, easiest first; ``ask`` the bin drawn from (None: the second hardest).

        measure  of difficulty (:data:`protocols.difficulty.FUNCTIONS`), or "gaussian": how much likelier the features
                 of the classifier that never saw the case are under another class
        """

        measure: Literal["loss", "margin", "entropy", "misclassified", "edge", "gaussian"] = "loss"
        bins: int = Field(4, ge=2)
        ask: int | None = Field(None, ge=0)
        drop_highest: float = Field(0.05, ge=0, lt=1)

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """One image for every wanted hard case, from the chosen bin of its class, that keeps its label."""
        fine, bins = self._binned(lab, guidance), self.config.bins + 1
        generator = lab.fit_generator(fine)
        labels = guidance.wanted().labels
        ask = max(0, self.config.bins - 2) if self.config.ask is None else min(self.config.ask, self.config.bins - 1)
        made = lab.sample(generator, labels, stream=guidance.stream, codes=labels * bins + ask)
        accepted = guidance.check(made)
        return Answer(made, accepted, {"label_check": int((~accepted).sum())})

    def _binned(self, lab: Lab, guidance: Guidance) -> Images:
        train = lab.train
        loss = cross_entropy(guidance.probabilities, train.labels)
        bins = difficulty_bins(
            self._measured(lab, guidance), train.labels, self.config.bins, self.config.drop_highest, loss
        )
        count = self.config.bins + 1
        names = tuple(f"{name}, difficulty {b}" for name in train.class_names for b in range(count))
        return relabelled(train, train.labels * count + bins, names)

    def _measured(self, lab: Lab, guidance: Guidance) -> NDArray[np.float64]:
        y = lab.train.labels
        if self.config.measure != "gaussian":
            function = FUNCTIONS[self.config.measure]
            return function(guidance.probabilities, y, lab.task.positive, guidance.threshold.value)
        assert guidance.folds is not None  # see ``bins_train``
        out = np.empty(len(y))
        for inside, classifier in guidance.folds():
            out[inside] = gaussian_hardness(lab.embed(classifier, lab.train.take(inside)), y[inside])
        return out
