"""Train on synthetic, test on real (TSTR; Esteban et al. 2017, arXiv:1706.02633, section 4)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from bench.contracts import Labels, Options
from bench.lab import Arm, Lab, Outcome
from protocols.labels import spread_labels
from protocols.resampling import draw_pool, part_of

Size = Annotated[float, Field(gt=0)]


class SyntheticOnly:
    """Does a classifier that saw only synthetic images know real lesions, and do more of them help?

    1  G  <- generator fitted on train;  C0 <- classifier fitted on train
    2  for every size s:
    3      S  <- s x |train| images of G (each size holds the smaller ones)
    4      the same classifier fitted on S: S0 for ``size``, S_s for the others
    """

    version = "1"
    uses_generator = True

    class Config(Options):
        """``size``: synthetic images per real training image. ``prior``: class shares of train, or equal ones.

        ``sizes``: further sizes, for the curve over the number of images.
        """

        size: Size = 1.0
        sizes: tuple[Size, ...] = ()
        prior: Literal["train", "balanced"] = "train"

    presets = {"gpu": {"sizes": (0.25, 0.5, 2.0, 4.0)}, "paper": {"sizes": (0.25, 0.5, 2.0, 4.0, 8.0)}}

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0 (real), S0 (synthetic, ``size``) and ``S<size>`` for every further size."""
        generator = lab.fit_generator(lab.train)
        asked = {"S0": self._labels(lab, self.config.size)}
        asked |= {f"S{size:g}": self._labels(lab, size) for size in self.config.sizes if size != self.config.size}
        pool = draw_pool(lab, generator, asked.values(), stream="synthetic-only")
        synthetic = {name: part_of(pool, labels) for name, labels in asked.items()}
        arms = {"C0": Arm(lab.fit_classifier(lab.train, title="C0 real only"), lab.train, "real only")}
        for name, images in synthetic.items():
            fitted = lab.fit_classifier(images, title=f"{name} synthetic only, {len(images)} images")
            arms[name] = Arm(fitted, images, f"synthetic only, {len(images)} images")
        return Outcome(arms, generator, synthetic, lab.ledger, [("S0", "C0")])

    def _labels(self, lab: Lab, size: float) -> Labels:
        n = max(lab.task.num_classes, round(size * len(lab.train)))
        weights = lab.train.counts() if self.config.prior == "train" else np.ones(lab.task.num_classes)
        return spread_labels(n, weights)
