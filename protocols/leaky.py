"""Mining the evaluation set, as the method is often described: run only to measure how much it flatters itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.capabilities import CanVary
from bench.contracts import Estimate, Images, Options, Threshold
from bench.data.invariants import check_subset
from bench.errors import StageError
from bench.keys import stage_seed
from bench.lab import Arm, Fitted, Lab, Outcome
from protocols.difficulty import hard_cases
from protocols.optimism import Contrast, mean_contrast
from protocols.resampling import halves, nested_share


class AdversarialLeaky:
    """How many points of AUC does it add to choose the hard cases from the test set and to evaluate on it?

    A protocol never holds the test split. A part E of train, by group, plays the test set; T is the rest.

    1  C_0 <- classifier fitted on T;  G <- generator fitted on T
    2  repeat: split E by group into halves A and B
    3      for H, H' = A, B and B, A:
    4          L_H <- classifier fitted on T + images made from the cases of H that C_0 gets wrong
    5          X_H <- classifier fitted on T + as many images made from hard cases of T, found out of fold
    6      O   <- mean over H of [AUC_H(L_H) - AUC_H(C_0)] - [AUC_H'(L_H) - AUC_H'(C_0)]
    7      O_x <- the same for X: no case of E was looked at, so it must be 0 within its error

    Images are made by varying the cases, or, by a generator that cannot, by fitting it to them and drawing.
    Never ranked: what it finds is a size of an error, not of an effect.
    """

    version = "1"
    uses_generator = True
    ranked = False

    class Config(Options):
        """``hold_out``: share of the groups of train that plays the test set. ``repeats``: random halvings of it.

        per_case      images made from each hard case
        p_true_below  hard is also what C_0 is not sure of; 0: misclassified cases alone
        strength      of the variations
        """

        hold_out: float = Field(0.3, gt=0, lt=1)
        repeats: int = Field(3, ge=1)
        folds: int = Field(5, ge=2)
        per_case: int = Field(4, ge=1)
        p_true_below: float = Field(0.75, ge=0, le=1)
        strength: float = Field(0.35, gt=0, le=1)

    presets = {"smoke": {"repeats": 1, "folds": 2, "per_case": 1}, "cpu": {"folds": 3}}

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0, leaky and crossfit (of the first half, judged on the true test split), and O as findings."""
        test = nested_share(lab.train, self.config.hold_out, stage_seed(lab.seed, "leaky/hold-out"))
        rest = lab.train.take(~np.isin(lab.train.ids, test.ids))
        lab.note(event="simulated test set", of="train", groups=len(np.unique(test.groups)), ids=test.ids.tolist())
        generator = lab.fit_generator(rest)
        base = lab.fit_classifier(rest, title="C0 real only, without the simulated test set")
        cut = lab.threshold(base, "youden")
        hard_of_rest = self._hard(lab, rest, lab.crossfit(rest, folds=self.config.folds), cut, "out of fold")

        leaky, honest = [], []
        for r in range(1, self.config.repeats + 1):
            parts = halves(test, stage_seed(lab.seed, f"leaky/halves/{r}"))
            mined = [self._hard(lab, h, lab.predict(base, h, title="half to mine"), cut, f"half {r}") for h in parts]
            leaky.append(
                [self._retrain(lab, generator, rest, cases, f"leaky/{r}/{i}") for i, cases in enumerate(mined)]
            )
            drawn = [_some(hard_of_rest, len(m), stage_seed(lab.seed, f"x/{r}/{i}")) for i, m in enumerate(mined)]
            honest.append(
                [self._retrain(lab, generator, rest, cases, f"crossfit/{r}/{i}") for i, cases in enumerate(drawn)]
            )
        found: dict[str, Estimate] = {}
        for name, pairs in (("leaky", leaky), ("crossfit", honest)):
            found |= {f"{what}, {name}": e for what, e in self._optimism(lab, test, base, pairs).items()}
        for name, estimate in found.items():
            lab.note(event="finding", name=name, **vars(estimate))
        arms = {"C0": Arm(base, rest, "real only, without the simulated test set")}
        arms |= {"leaky": leaky[0][0].arm("half of the simulated test set"), "crossfit": honest[0][0].arm("train")}
        primary = [("leaky", "C0"), ("crossfit", "C0")]
        synthetic = {"leaky": leaky[0][0].made, "crossfit": honest[0][0].made}
        return Outcome(arms, generator, synthetic, lab.ledger, primary, findings=found)

    def _hard(self, lab: Lab, images: Images, probabilities: NDArray[np.float32], cut: Threshold, where: str) -> Images:
        rows = hard_cases(
            images, probabilities, lab.task.positive, cut, p_true_below=self.config.p_true_below, drop_highest=0.0
        )
        if not len(rows):
            raise StageError(f"{where}: no hard cases among {len(images)}; there is nothing to mine")
        hard = images.take(rows)
        check_subset(hard.ids, lab.train, f"{where}: mined cases")
        return hard

    def _retrain(self, lab: Lab, generator: Fitted, rest: Images, hard: Images, stream: str) -> _Retrained:
        wanted = hard.take(np.repeat(np.arange(len(hard)), self.config.per_case))
        if lab.can(generator, CanVary):
            made = lab.vary(generator, wanted, strength=self.config.strength, stream=stream)
        else:
            made = lab.sample(lab.fit_generator(hard), wanted.labels, stream=stream)
        fitted = lab.fit_classifier(rest + made, title=stream)
        lab.note(event="mined", stream=stream, mined=len(hard), mined_ids=hard.ids.tolist(), made=len(made))
        return _Retrained(fitted, rest + made, made)

    def _optimism(
        self, lab: Lab, test: Images, base: Fitted, repeats: Sequence[Sequence[_Retrained]]
    ) -> dict[str, Estimate]:
        """O and its two parts: the gain in AUC on the half that was mined, and on the other one."""
        positive = lab.task.positive
        start = lab.predict(base, test, title="simulated test set")[:, positive]
        optimism, mined, fresh = [], [], []
        for r, pair in enumerate(repeats, start=1):
            first = np.isin(test.ids, halves(test, stage_seed(lab.seed, f"leaky/halves/{r}"))[0].ids)
            a, b = (lab.predict(m.classifier, test, title="simulated test set")[:, positive] for m in pair)
            optimism.append([Contrast(first, a, b), Contrast(~first, b, a)])
            mined.append([Contrast(first, a, start), Contrast(~first, b, start)])
            fresh.append([Contrast(~first, a, start), Contrast(first, b, start)])
        y = test.labels == positive
        what = {"optimism": optimism, "gain on the half": mined, "gain on the other half": fresh}
        return {name: mean_contrast(y, test.groups, of) for name, of in what.items()}


@dataclass(frozen=True)
class _Retrained:
    """A classifier, all that it was trained on, and the synthetic images among it."""

    classifier: Fitted
    train: Images
    made: Images

    def arm(self, where: str) -> Arm:
        """As a row of the tables."""
        return Arm(self.classifier, self.train, f"real + {len(self.made)} synthetic from cases of {where}")


def _some(images: Images, n: int, seed: int) -> Images:
    """``n`` of ``images`` at random; all of them again and again where there are fewer."""
    return images.take(np.resize(np.random.default_rng(seed).permutation(len(images)), n))
