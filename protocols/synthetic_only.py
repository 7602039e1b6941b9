"""Train on synthetic, test on real (TSTR; Esteban et al. 2017, arXiv:1706.02633, section 4)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from bench.contracts import Options
from bench.lab import Arm, Lab, Outcome
from protocols.labels import spread_labels


class SyntheticOnly:
    """Does a classifier that saw only synthetic images know real lesions?

    1  G  <- generator fitted on train
    2  S  <- |train| x ``size`` images of G
    3  C0 <- classifier fitted on train;  S0 <- the same classifier fitted on S
    """

    version = "1"
    uses_generator = True

    class Config(Options):
        """``size``: synthetic images per real training image. ``prior``: class shares of train, or equal ones."""

        size: float = Field(1.0, gt=0)
        prior: Literal["train", "balanced"] = "train"

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0 (real) and S0 (synthetic)."""
        generator = lab.fit_generator(lab.train)
        n = max(lab.task.num_classes, round(self.config.size * len(lab.train)))
        weights = lab.train.counts() if self.config.prior == "train" else np.ones(lab.task.num_classes)
        synthetic = lab.sample(generator, spread_labels(n, weights), stream="synthetic-only")
        base = lab.fit_classifier(lab.train, title="C0 real only")
        tstr = lab.fit_classifier(synthetic, title="S0 synthetic only")
        arms = {
            "C0": Arm(base, lab.train, "real only"),
            "S0": Arm(tstr, synthetic, f"synthetic only, {len(synthetic)} images"),
        }
        return Outcome(arms, generator, {"S0": synthetic}, lab.ledger, primary=[("S0", "C0")])
