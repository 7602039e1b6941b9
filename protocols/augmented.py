"""Real images plus synthetic ones (Frid-Adar et al. 2018, doi:10.1016/j.neucom.2018.09.013; Carrasco et al.)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from bench.contracts import Images, Labels, Options
from bench.keys import stage_seed
from bench.lab import Arm, Lab, Outcome
from protocols.arms import strong_arm
from protocols.labels import balancing_labels, spread_labels
from protocols.resampling import draw_pool, oversample, part_of
from protocols.saturation import saturation

Ratio = Annotated[float, Field(gt=0)]


class Augmented:
    """Do synthetic images help when they are added to the real ones, and how many are enough?

    1  G  <- generator fitted on train;  C0 <- classifier fitted on train;  C0b <- the same, strongly augmented
    2  P  <- a pool of images of G;  Q <- as many repeated real images of the same classes
    3  for every way to add (ratios of |train|, "balance", a fixed count of the positive class):
    4      A      <- the classifier fitted on train + so many of each class of P
    5      A-real <- the classifier fitted on train + so many of each class of Q
    6  the smallest ratio that, on val_select, is within what can be told of the best goes to the ledger
    """

    version = "2"
    uses_generator = True

    class Config(Options):
        """``ratios``: synthetic per real image. ``balance``: bring all classes to the size of the largest.

        positives  a fixed number of positive images (Carrasco et al. added 22,000 melanomas)
        classical  arm C0b: real images only, balanced batches and strong classical augmentation
        """

        ratios: tuple[Ratio, ...] = (1.0,)
        balance: bool = True
        positives: int = Field(0, ge=0)
        classical: bool = True

    presets = {"gpu": {"ratios": (0.25, 0.5, 1.0, 2.0)}, "paper": {"ratios": (0.25, 0.5, 1.0, 2.0)}}

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0, C0b, then one arm and its oversampling control (``…-real``) for every way to add images."""
        generator = lab.fit_generator(lab.train)
        arms = {"C0": Arm(lab.fit_classifier(lab.train, title="C0 real only"), lab.train, "real only")}
        if self.config.classical:
            arms["C0b"] = strong_arm(lab)
        ways = self._ways(lab)
        pool = draw_pool(lab, generator, [labels for labels, _ in ways.values()], stream="augmented")
        repeats = oversample(lab.train, pool.labels, stage_seed(lab.seed, "augmented/real"))
        synthetic: dict[str, Images] = {}
        for name, (labels, words) in ways.items():
            synthetic[name] = part_of(pool, labels)
            arms[name] = _with(lab, name, synthetic[name], "synthetic", words)
            arms[f"{name}-real"] = _with(lab, f"{name}-real", part_of(repeats, labels), "repeated real", words)
            lab.note(event="added", arm=name, counts=synthetic[name].counts().tolist())
        if len(self.config.ratios) > 1:
            steps = {0.0: arms["C0"], **{ratio: arms[f"A{ratio:g}"] for ratio in sorted(self.config.ratios)}}
            lab.note(event="saturation", **saturation(lab, {ratio: arm.classifier for ratio, arm in steps.items()}))
        primary = [pair for name in synthetic for pair in ((name, "C0"), (name, f"{name}-real"))]
        return Outcome(arms, generator, synthetic, lab.ledger, primary)

    def _ways(self, lab: Lab) -> dict[str, tuple[Labels, str]]:
        counts = lab.train.counts()
        ways = {
            f"A{ratio:g}": (spread_labels(round(ratio * len(lab.train)), counts), f"ratio {ratio:g}")
            for ratio in self.config.ratios
        }
        if self.config.balance and len(balancing_labels(counts)):
            ways["Abal"] = balancing_labels(counts), "classes balanced"
        if self.config.positives:
            labels = np.full(self.config.positives, lab.task.positive, dtype=np.int64)
            ways[f"A+{self.config.positives}"] = labels, "positives only"
        return ways


def _with(lab: Lab, name: str, added: Images, kind: str, words: str) -> Arm:
    union = lab.train + added
    fitted = lab.fit_classifier(union, title=f"{name} real + {len(added)} {kind}")
    return Arm(fitted, union, f"real + {len(added)} {kind} ({words})")
