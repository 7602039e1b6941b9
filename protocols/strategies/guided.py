"""Sampling that the classifier's own gradient steers toward what it gets wrong."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bench.capabilities import CanGuide
from bench.contracts import Options
from bench.lab import Lab
from protocols.strategies.base import Answer, Guidance
from protocols.strategies.guard import attack_guard


class Guided:
    """Draw images of the hard cases' classes while the newest classifier's loss (or entropy) pulls.

    Classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233) with the sign turned: toward the boundary and beyond.
    What only that network sees, or what a blur or a JPEG takes away, is rejected as an attack.
    """

    version = "1"
    needs = CanGuide
    from_images = False

    class Config(Options):
        """``objective``: what is raised; ``scale``: how strongly; ``keep``: share of the loss that must survive."""

        objective: Literal["loss", "entropy"] = "loss"
        scale: float = Field(1.0, ge=0)
        keep: float = Field(0.5, ge=0, le=1)

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """One steered image for every wanted hard case that keeps its label and is no attack."""
        made = lab.guide(
            guidance.generator, guidance.wanted().labels, guidance.classifier,
            objective=self.config.objective, scale=self.config.scale, stream=guidance.stream,
        )  # fmt: skip
        labelled = guidance.check(made)
        guarded = attack_guard(lab, made, guidance.classifier, guidance.judge, self.config.keep)
        return Answer(made, labelled & guarded.passed, {"label_check": int((~labelled).sum()), **guarded.reasons})
