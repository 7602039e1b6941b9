"""Rejection sampling toward difficulty: works with any generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from bench.contracts import Options
from bench.lab import Lab
from protocols.difficulty import cross_entropy
from protocols.strategies.base import Answer, Guidance


class Rejection:
    """Make ``oversample`` candidates for each wanted image, keep the hardest that pass the label check.

    Hardness is the loss of the newest classifier on the requested label. The share ``drop_highest`` of the highest
    losses in each class is left out: there a generator's mistakes gather.
    """

    version = "1"
    needs = None
    from_images = False

    class Config(Options):
        """``oversample``: candidates per wanted image."""

        oversample: int = Field(8, ge=1)
        drop_highest: float = Field(0.05, ge=0, lt=1)

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """As many images a class as there are wanted hard cases of it, fewer if not enough pass the check."""
        labels = np.sort(guidance.wanted().labels)
        candidates = np.repeat(labels, self.config.oversample)
        made = lab.sample(guidance.generator, candidates, stream=guidance.stream)
        passed = guidance.check(made)
        loss = cross_entropy(lab.predict(guidance.classifier, made, title="candidates"), made.labels)
        accepted = np.zeros(len(made), dtype=bool)
        for k in np.unique(labels):
            rows = np.flatnonzero((made.labels == k) & passed)
            rows = rows[np.argsort(-loss[rows], kind="stable")]
            skip = int(np.ceil(self.config.drop_highest * len(rows)))
            accepted[rows[skip : skip + int((labels == k).sum())]] = True
        kept, failed = int(accepted.sum()), int((~passed).sum())
        return Answer(made, accepted, {"label_check": failed, "not_among_hardest": len(made) - kept - failed})
