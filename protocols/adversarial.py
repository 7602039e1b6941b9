"""Adversarial-iterative training: misclassified cases guide the generator, the classifier is retrained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench import registry
from bench.contracts import Images, Options, Probabilities, Threshold
from bench.data.invariants import check_subset
from bench.errors import CapabilityError, ConfigError, StageError
from bench.keys import stage_seed
from bench.lab import Arm, Fitted, Lab, Outcome
from protocols.arms import SETS, WORDS, ArmName, Control, Round, SetName, controls, strong_arm, synthetic_of
from protocols.difficulty import hard_cases
from protocols.lineage import Traced, trace
from protocols.resampling import nested_share
from protocols.strategies.base import Answer, Check, Folds, Guidance

PREFERRED = ("vary", "neighbours", "guided", "token", "finetune", "rejection")
"""Strategies by how closely their images answer single cases: ``auto`` takes the first that the generator supports."""


class Adversarial:
    """Does it help to aim the generator at the cases the classifier gets wrong?

    1  G <- generator fitted on train;  C_0 <- classifier fitted on train;  J <- an independently seeded classifier
    2  for r = 1 .. R:
    3      P   <- out-of-fold predictions on train (K folds, each with the synthetic images so far)
    4      H_r <- hard cases of train by P: misclassified or p(true) < .75, without the 5 % of highest loss
    5      S_r <- strategy(G, H_r), those whose label J does not contradict
    6      C_r <- classifier fitted on train + S_1 + .. + S_r
    7  report the round with the best AUC on val_select; give every control the same choice

    Controls, with as many extra images of the same classes: C1 random synthetic, C2 hard cases repeated, C3 and C4
    variations of random and of easy cases (where the strategy starts from images), C6 held-out real images (oracle),
    C7 random synthetic under shuffled labels; and C0b, real only with balanced batches and strong augmentation.
    With a mining split, train is divided by group: everything is fitted on the larger part, the cases are those of the
    smaller one that the newest classifier gets wrong, and C5 is what that part gives as plain data.
    J, trained as C_0 but for its random stream, is also the re-seeded C_0 beside which the arms are judged; which test
    images are hard is told by the fold classifiers of the first round, which are no arm.
    """

    version = "3"
    uses_generator = True

    class Config(Options):
        """``remine``: new out-of-fold predictions each round (else the hard cases of round 1 stay).

        mining        "crossfit", or "split": a share ``mining_share`` of the groups of train is set apart to be mined
        label_check   J must give the label at least this probability
        max_cases     at most so many hard cases a round, a random part of them (0: all)
        arms          controls by name, or "minimal" (C1, C2), "standard" (with C3, C6), "full" (with C0b, C4, C7)
        """

        strategy: str = "auto"
        strategy_options: dict[str, Any] = {}
        rounds: int = Field(3, ge=1)
        folds: int = Field(5, ge=2)
        remine: bool = True
        mining: Literal["crossfit", "split"] = "crossfit"
        mining_share: float = Field(0.2, gt=0, lt=1)
        per_case: int = Field(1, ge=1)
        max_cases: int = Field(0, ge=0)
        p_true_below: float = Field(0.75, ge=0, le=1)
        drop_highest: float = Field(0.05, ge=0, lt=1)
        label_check: float = Field(0.2, ge=0, lt=1)
        arms: SetName | tuple[ArmName, ...] = "standard"

        @property
        def controls(self) -> tuple[ArmName, ...]:
            """The names of the control arms."""
            return SETS[self.arms] if isinstance(self.arms, str) else self.arms

    presets = {"smoke": {"rounds": 1, "folds": 2, "max_cases": 64}, "cpu": {"rounds": 2, "folds": 3, "max_cases": 800}}

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, lab: Lab) -> Outcome:
        """Arms C0, guided, and the chosen controls."""
        name, strategy = self._strategy(lab)
        lab, mined = self._parts(lab)
        generator = lab.fit_generator(lab.train)
        base = lab.fit_classifier(lab.train, title="C0 real only")
        judge = lab.fit_classifier(lab.train, title="independent label check", stream="independent")
        with lab.making("guided"):  # mining and rejected images too
            rounds = self._rounds(lab, generator, strategy, base, judge, mined)

        guided = [
            Arm(r.classifier, lab.train + extra, f"real + {len(extra)} synthetic guided by {name}")
            for r, extra in ((r, synthetic_of(rounds[: i + 1])) for i, r in enumerate(rounds))
        ]
        arms = {"C0": Arm(base, lab.train, "real only"), "guided": self._choose(lab, "guided", guided)}
        added = {"guided": synthetic_of(rounds)}
        if "C0b" in self.config.controls:
            arms["C0b"] = strong_arm(lab)
        for control, make in controls(lab, generator, strategy, self.config.controls).items():
            arms[control], added[control] = self._control(lab, control, make, rounds)
        if mined is not None:
            both = lab.train + mined
            arms["C5"] = Arm(lab.fit_classifier(both, title=f"C5 {WORDS['C5']}"), both, f"real + {WORDS['C5']}")
        primary = [("guided", control) for control in ("C1", "C2", "C3", "C5") if control in arms]
        synthetic = {arm: images for arm, images in added.items() if images.source.startswith("synthetic")}
        judges = tuple(fitted for _, fitted in lab.fold_classifiers(lab.train, folds=self.config.folds))
        return Outcome(
            arms, generator, synthetic, lab.ledger, primary, lineage=lab.lineage, judges=judges, reseeded=judge
        )

    def _parts(self, lab: Lab) -> tuple[Lab, Images | None]:
        """The laboratory that the arms are fitted in, and the mining split, if train is divided."""
        if self.config.mining == "crossfit":
            return lab, None
        mined = nested_share(lab.train, self.config.mining_share, stage_seed(lab.seed, "mining split"))
        rest = lab.train.take(~np.isin(lab.train.ids, mined.ids))
        lab.note(event="mining split", of="train", groups=len(np.unique(mined.groups)), ids=mined.ids.tolist())
        return lab.within(rest), mined

    def _rounds(
        self, lab: Lab, generator: Fitted, strategy: Any, base: Fitted, judge: Fitted, mined: Images | None
    ) -> list[Round]:
        pool, where = (lab.train, "train, out of fold") if mined is None else (mined, "mining split")
        newest, synthetic = base, lab.train.take([])
        folds: Callable[[], Folds] | None = None
        rounds: list[Round] = []
        traced: list[Traced] = []
        threshold, check = lab.threshold(base, "youden"), self._check(lab, judge)
        for r in range(1, self.config.rounds + 1):
            if r == 1 or self.config.remine:
                extra = synthetic if len(synthetic) else None
                if mined is None:
                    probabilities = lab.crossfit(pool, folds=self.config.folds, extra=extra)
                    folds = partial(lab.fold_classifiers, pool, folds=self.config.folds, extra=extra)
                else:
                    probabilities = lab.predict(newest, pool, title=f"mining split, round {r}")
                hard = self._mine(lab, pool, probabilities, threshold, r)
            guidance = Guidance(
                generator, newest, judge, hard, pool, probabilities, threshold, self.config.per_case, check,
                stream=f"round{r}", folds=folds,
            )  # fmt: skip
            answer = strategy.answer(lab, guidance)
            accepted = answer.made.take(answer.accepted)
            if not len(accepted):
                raise StageError(f"round {r}: none of {len(answer.made)} images passed the label check")
            synthetic = synthetic + accepted if r > 1 else accepted
            newest = lab.fit_classifier(lab.train + synthetic, title=f"round {r} guided")
            lab.note(
                event="round", round=r, mined_from=where, mined=len(hard), mined_ids=hard.ids.tolist(),
                made=len(answer.made), accepted=len(accepted), rejected=answer.reasons,
                accepted_per_class=accepted.counts().tolist(), synthetic_so_far=len(synthetic),
                generator=generator.key, classifier=newest.key, val_select_auc=lab.selection_score(newest),
            )  # fmt: skip
            rounds.append(
                Round(newest, accepted, _askers(guidance.wanted(), answer, strategy.from_images), pool, probabilities)
            )
            traced.append(Traced(guidance, answer, newest))
        with lab.making():  # what the ledger tells of single images is no cost of the arm
            lab.lineage += trace(lab, traced, self.config.label_check)
        return rounds

    def _mine(self, lab: Lab, pool: Images, probabilities: Probabilities, threshold: Threshold, r: int) -> Images:
        rows = hard_cases(
            pool, probabilities, lab.task.positive, threshold,
            p_true_below=self.config.p_true_below, drop_highest=self.config.drop_highest,
        )  # fmt: skip
        if not len(rows):
            raise StageError(
                f"round {r}: no hard cases; the classifier is right and sure of all {len(pool)} that it was judged on"
            )
        if self.config.max_cases and len(rows) > self.config.max_cases:
            rng = np.random.default_rng(stage_seed(lab.seed, f"mine/{r}"))
            rows = rows[np.sort(rng.choice(len(rows), self.config.max_cases, replace=False))]
        hard = pool.take(rows)
        check_subset(hard.ids, pool, f"round {r}: mined cases")
        return hard

    def _check(self, lab: Lab, judge: Fitted) -> Check:
        def check(images: Images) -> NDArray[np.bool_]:
            p = lab.predict(judge, images, title="label check")
            return np.asarray(p[np.arange(len(images)), images.labels] >= self.config.label_check)

        return check

    def _control(self, lab: Lab, name: ArmName, make: Control, rounds: list[Round]) -> tuple[Arm, Images]:
        candidates, extra = [], lab.train
        for r in range(1, len(rounds) + 1):
            extra = make(rounds[:r])
            fitted = lab.fit_classifier(lab.train + extra, title=f"round {r} {name} {WORDS[name]}")
            candidates.append(Arm(fitted, lab.train + extra, f"real + {len(extra)} {WORDS[name]}"))
        return self._choose(lab, name, candidates), extra

    def _choose(self, lab: Lab, name: str, candidates: list[Arm]) -> Arm:
        scores = [lab.selection_score(arm.classifier) for arm in candidates]
        best = int(np.argmax(scores))
        lab.note(event="chosen round", arm=name, round=best + 1, val_select_auc=scores)
        return candidates[best]

    def _strategy(self, lab: Lab) -> tuple[str, Any]:
        """Name and strategy; what cannot work is said before anything is fitted."""
        name = self.config.strategy
        if name == "auto":
            name = next(n for n in PREFERRED if _suits(lab, registry.load("strategy", n)))
        cls, generator = registry.load("strategy", name), lab.bench.config.generator.name
        if not _suits(lab, cls):
            raise CapabilityError(
                f"strategy {name!r} needs a generator with {cls.needs.__name__}, {generator!r} lacks it; "
                f"use --set protocol.strategy=rejection, which works with any generator"
            )
        if self.config.mining == "split" and getattr(cls, "bins_train", False):
            raise ConfigError(f"strategy {name!r} asks how hard all of train is: set protocol.mining to crossfit")
        options = self.config.strategy_options
        return name, cls(registry.effective_config("strategy", name, cls, lab.bench.config.preset, options))


def _suits(lab: Lab, strategy: Any) -> bool:
    return strategy.needs is None or lab.can_generate(strategy.needs)


def _askers(wanted: Images, answer: Answer, from_images: bool) -> Images:
    """For each accepted image the hard case it answers: the one it was made from, or one of its class in turn."""
    made, accepted = answer.made, answer.accepted
    if from_images and made.parents is not None:
        row_of = {str(i): n for n, i in enumerate(wanted.ids)}
        return wanted.take([row_of[str(p)] for p in made.parents[accepted]])
    rows: list[int] = []
    turns = dict.fromkeys(range(wanted.num_classes), 0)
    for k in made.labels[accepted].tolist():
        members = np.flatnonzero(wanted.labels == k)
        rows.append(int(members[turns[k] % len(members)]))
        turns[k] += 1
    return wanted.take(rows)
