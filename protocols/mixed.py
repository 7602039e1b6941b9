"""Part real, part synthetic at the size of train (the thesis's "mixed" set: 40 % real, 60 % synthetic)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bench.contracts import Options
from bench.lab import Arm, Lab, Outcome
from protocols.real_only import real_share


class Mixed:
    """Can synthetic images stand in for most of the real ones?

    1  G <- generator fitted on train;  C0 <- classifier fitted on train
    2  T <- a share ``real`` of the groups of train;  R <- the classifier fitted on T
    3  S <- images of G, so many of each class that T + S has the class counts of train
    4  M <- the classifier fitted on T + S

    M against R: what the synthetic part adds. M against C0: what it lacks of the real images that it replaces.
    """

    version = "1"
    uses_generator = True

    class Config(Options):
        """``real``: share of the groups of train that stays real."""

        real: float = Field(0.4, gt=0, lt=1)

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0, ``R<share>`` and ``M<share>``."""
        generator = lab.fit_generator(lab.train)
        base = lab.fit_classifier(lab.train, title="C0 real only")
        share = f"{self.config.real:g}"
        alone = real_share(lab, self.config.real)
        missing = lab.train.counts() - alone.train.counts()
        synthetic = lab.sample(generator, np.repeat(np.arange(len(missing), dtype=np.int64), missing), stream="mixed")
        union = alone.train + synthetic
        fitted = lab.fit_classifier(union, title=f"M{share} {len(alone.train)} real + {len(synthetic)} synthetic")
        words = f"{len(alone.train)} real + {len(synthetic)} synthetic in their place"
        arms = {
            "C0": Arm(base, lab.train, "real only"), f"R{share}": alone, f"M{share}": Arm(fitted, union, words),
        }  # fmt: skip
        primary = [(f"M{share}", f"R{share}"), (f"M{share}", "C0")]
        return Outcome(arms, generator, {f"M{share}": synthetic}, lab.ledger, primary)
