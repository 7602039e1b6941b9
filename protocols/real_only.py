"""Real images only: the baseline that every synthetic set is measured against, and its learning curve."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from bench.contracts import Options
from bench.lab import Arm, Lab, Outcome
from protocols.resampling import nested_share

Fraction = Annotated[float, Field(gt=0, lt=1)]


class RealOnly:
    """Train on real, test on real (arm C0); what would fewer real images have given?

    1  C0 <- classifier fitted on train
    2  for every fraction f:  R_f <- the classifier fitted on a share f of the groups of train (nested)
    """

    version = "1"
    uses_generator = False

    class Config(Options):
        """``fractions`` of the patients or lesions of train, for the learning curve."""

        fractions: tuple[Fraction, ...] = ()

    presets = {"gpu": {"fractions": (0.1, 0.25, 0.5)}, "paper": {"fractions": (0.05, 0.1, 0.25, 0.5, 0.75)}}

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arm C0 and one arm ``R<fraction>`` for every fraction."""
        arms = {"C0": Arm(lab.fit_classifier(lab.train, title="C0 real only"), lab.train, "real only")}
        for fraction in self.config.fractions:
            arms[f"R{fraction:g}"] = real_share(lab, fraction)
        return Outcome(arms, ledger=lab.ledger, primary=[(name, "C0") for name in arms if name != "C0"])


def real_share(lab: Lab, fraction: float) -> Arm:
    """The arm ``R<fraction>``: trained on a share of the groups of train, the same in every protocol."""
    part = nested_share(lab.train, fraction, lab.seed)
    lab.note(
        event="real share", arm=f"R{fraction:g}", images=len(part), groups=len(np.unique(part.groups)),
        counts=part.counts().tolist(),
    )  # fmt: skip
    words = f"{fraction:.0%} of the real groups, {len(part)} images"
    return Arm(lab.fit_classifier(part, title=f"R{fraction:g} {words}"), part, words)
