"""Real images only: the baseline that every synthetic set is measured against."""

from __future__ import annotations

from bench.contracts import Options
from bench.lab import Arm, Lab, Outcome


class RealOnly:
    """Train on real, test on real (arm C0).

    1  C0 <- classifier fitted on train
    """

    version = "1"
    uses_generator = False

    class Config(Options):
        """No options."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """One arm, C0."""
        base = lab.fit_classifier(lab.train, title="C0 real only")
        return Outcome({"C0": Arm(base, lab.train, "real only")})
