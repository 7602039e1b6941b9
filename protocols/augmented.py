"""Real images plus synthetic ones (Frid-Adar et al. 2018, doi:10.1016/j.neucom.2018.09.013; Carrasco et al.)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bench.contracts import Images, Labels, Options
from bench.keys import stage_seed
from bench.lab import Arm, Lab, Outcome
from protocols.labels import balancing_labels, spread_labels


class Augmented:
    """Do synthetic images help when they are added to the real ones?

    1  G  <- generator fitted on train;  C0 <- classifier fitted on train
    2  for every way to add (ratios of |train|, "balance", a fixed count of the positive class):
    3      S <- images of G;  A <- the classifier fitted on train + S
    4      oversampling control: the classifier fitted on train + as many repeated real images of the same classes
    """

    version = "1"
    uses_generator = True

    class Config(Options):
        """``ratios``: synthetic per real image. ``balance``: bring all classes to the size of the largest.

        ``positives``: a fixed number of positive images (Carrasco et al. added 22,000 melanomas).
        """

        ratios: tuple[float, ...] = (1.0,)
        balance: bool = True
        positives: int = Field(0, ge=0)

    presets = {"gpu": {"ratios": (0.25, 0.5, 1.0, 2.0)}, "paper": {"ratios": (0.25, 0.5, 1.0, 2.0)}}

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0, then one arm and its oversampling control (``…-real``) for every way to add images."""
        generator = lab.fit_generator(lab.train)
        base = lab.fit_classifier(lab.train, title="C0 real only")
        arms = {"C0": Arm(base, lab.train, "real only")}
        synthetic: dict[str, Images] = {}
        for name, labels, words in self._ways(lab):
            extra = lab.sample(generator, labels, stream=f"augmented/{name}")
            repeats = oversample(lab.train, labels, stage_seed(lab.seed, f"augmented/{name}/real"))
            for arm, added, text in ((name, extra, "synthetic"), (f"{name}-real", repeats, "repeated real")):
                union = lab.train + added
                fitted = lab.fit_classifier(union, title=f"{arm} real + {len(added)} {text}")
                arms[arm] = Arm(fitted, union, f"real + {len(added)} {text} ({words})")
            synthetic[name] = extra
            lab.note(event="added", arm=name, counts=np.bincount(labels, minlength=lab.task.num_classes).tolist())
        primary = [pair for name in synthetic for pair in ((name, "C0"), (name, f"{name}-real"))]
        return Outcome(arms, generator, synthetic, lab.ledger, primary)

    def _ways(self, lab: Lab) -> list[tuple[str, Labels, str]]:
        counts = lab.train.counts()
        ways = [
            (f"A{ratio:g}", spread_labels(round(ratio * len(lab.train)), counts), f"ratio {ratio:g}")
            for ratio in self.config.ratios
        ]
        if self.config.balance and len(balancing_labels(counts)):
            ways.append(("Abal", balancing_labels(counts), "classes balanced"))
        if self.config.positives:
            labels = np.full(self.config.positives, lab.task.positive, dtype=np.int64)
            ways.append((f"A+{self.config.positives}", labels, "positives only"))
        return ways


def oversample(images: Images, labels: Labels, seed: int) -> Images:
    """A random real image of ``images`` for each of ``labels`` [M]; classes without images are left out."""
    rng = np.random.default_rng(seed)
    members = {k: np.flatnonzero(images.labels == k) for k in np.unique(labels)}
    rows = [rng.choice(members[k]) for k in labels if len(members[k])]
    return images.take(np.array(rows, dtype=np.int64))
