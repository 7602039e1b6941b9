"""The control arms beside a guided one: each answers one way in which guidance could seem to help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Probabilities, concatenate
from bench.keys import digest, stage_seed
from bench.lab import Arm, Fitted, Lab
from protocols.difficulty import cross_entropy
from protocols.resampling import oversample

ArmName = Literal["C0b", "C1", "C2", "C3", "C4", "C6", "C7"]  # those that can be chosen
SetName = Literal["minimal", "standard", "full"]
SETS: Mapping[SetName, tuple[ArmName, ...]] = {
    "minimal": ("C1", "C2"),
    "standard": ("C1", "C2", "C3", "C6"),
    "full": ("C0b", "C1", "C2", "C3", "C4", "C6", "C7"),
}
WORDS: Mapping[str, str] = {
    "C0b": "real only, balanced batches and strong augmentation",
    "C1": "random synthetic",
    "C2": "repeated hard real",
    "C3": "varied random real",
    "C4": "varied easy real",
    "C5": "the mining split as plain data",
    "C6": "held-out real",
    "C7": "random synthetic with shuffled labels",
}
STRONG = {"balanced": True, "flips": True, "affine": True, "colour_jitter": 0.2}
"""Options of a classifier that make C0b; those that it does not have are left out."""


@dataclass(frozen=True)
class Round:
    """One round of the guided arm.

    classifier     fitted on train and all images accepted so far
    accepted       images accepted in this round, and the hard cases ``asked`` that they answer, one for each
    pool           the images that were mined, and their ``probabilities`` float32 [N, K], by which cases were chosen
    """

    classifier: Fitted
    accepted: Images
    asked: Images
    pool: Images
    probabilities: Probabilities


Control = Callable[[Sequence[Round]], Images]
"""The extra images of a control, given the rounds so far: as many of each class as were accepted in them."""


def synthetic_of(rounds: Sequence[Round]) -> Images:
    """All that was accepted in ``rounds``."""
    return concatenate([r.accepted for r in rounds])


def controls(lab: Lab, generator: Fitted, strategy: Any, names: Sequence[ArmName]) -> dict[ArmName, Control]:
    """How each of ``names`` gets its extra images; like the guided arm it keeps those of earlier rounds.

    C3 and C4 are left out where ``strategy`` does not start from images, C0b (see :func:`strong_arm`) always.
    """

    def random_synthetic(rounds: Sequence[Round]) -> Images:
        return concatenate(
            [lab.sample(generator, r.accepted.labels, stream=f"C1/{i}") for i, r in enumerate(rounds, start=1)]
        )

    def repeated_hard(rounds: Sequence[Round]) -> Images:
        return concatenate([r.asked for r in rounds])

    def varied(name: str, choose: Callable[[Round, str], Images]) -> Control:
        def make(rounds: Sequence[Round]) -> Images:
            streams = [f"{name}/{i}" for i, _ in enumerate(rounds, start=1)]
            cases = [(choose(r, stream), stream) for r, stream in zip(rounds, streams, strict=True)]
            return concatenate([strategy.variations(lab, generator, images, stream) for images, stream in cases])

        return make

    def at_random(r: Round, stream: str) -> Images:
        return oversample(r.pool, r.accepted.labels, stage_seed(lab.seed, stream))

    def easiest(r: Round, stream: str) -> Images:
        return r.pool.take(easiest_cases(r.pool.labels, r.probabilities, r.accepted.labels))

    def held_out(rounds: Sequence[Round]) -> Images:
        return lab.held_out(synthetic_of(rounds).labels, stream=f"C6/{len(rounds)}")

    def shuffled(rounds: Sequence[Round]) -> Images:
        images = random_synthetic(rounds)
        return relabelled(images, np.random.default_rng(stage_seed(lab.seed, "C7")).permutation(images.labels))

    makers: dict[ArmName, Control] = {
        "C1": random_synthetic, "C2": repeated_hard, "C3": varied("C3", at_random), "C4": varied("C4", easiest),
        "C6": held_out, "C7": shuffled,
    }  # fmt: skip
    absent = set() if strategy.from_images else {"C3", "C4"}
    return {name: makers[name] for name in names if name in makers and name not in absent}


def strong_arm(lab: Lab) -> Arm:
    """Arm C0b: the run's classifier on train alone, with the options of :func:`strong_options`.

    What the classifier has no option for, or that it is C0 again, is said in the description and the ledger.
    """
    name, options = lab.bench.config.classifier.name, strong_options(lab)
    fitted = lab.fit_classifier(lab.train, title=f"C0b {WORDS['C0b']}", name=name, options=options)
    caveat = _strong_caveat(lab, options)
    if caveat:
        lab.note(event="strong augmentation", arm="C0b", caveat=caveat)
    return Arm(fitted, lab.train, "; ".join(filter(None, (WORDS["C0b"], caveat))))


def strong_options(lab: Lab) -> dict[str, Any]:
    """Options of the run's classifier for C0b: what the run gives it, and those of :data:`STRONG` that it has.

    Where the run asks for more colour jitter than C0b, its own stays.
    """
    cls, config = lab.bench.config.plugin("classifier")
    given = config.model_dump(mode="json")
    known = {name: max(value, given[name]) for name, value in STRONG.items() if name in cls.Config.model_fields}
    return {**given, **known}


def _strong_caveat(lab: Lab, options: Mapping[str, Any]) -> str:
    """Why C0b with ``options`` is less than its name says; "" if it is not."""
    section, (_, config) = lab.bench.config.classifier, lab.bench.config.plugin("classifier")
    lacking = [name for name in STRONG if name not in options]
    parts = [f"classifier {section.name!r} has no option {', '.join(lacking)}"] if lacking else []
    if options == config.model_dump(mode="json"):
        parts.append("C0 is trained the same way: this is C0 again")
    return "; ".join(parts)


def easiest_cases(
    labels: NDArray[np.int64], probabilities: Probabilities, wanted: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Rows int64 [M] of cases of the classes ``wanted`` [M], of each class those of lowest loss, in turn."""
    order = np.argsort(cross_entropy(probabilities, labels), kind="stable")
    rows = np.empty(len(wanted), dtype=np.int64)
    for k in np.unique(wanted):
        of_class, asked = order[labels[order] == k], np.flatnonzero(wanted == k)
        rows[asked] = np.resize(of_class, len(asked))
    return rows


def relabelled(images: Images, labels: NDArray[np.int64], class_names: tuple[str, ...] | None = None) -> Images:
    """The same pixels under other ``labels`` int64 [N], perhaps of other classes."""
    names = images.class_names if class_names is None else class_names
    key = digest([images.key, labels.tolist(), list(names)])
    return replace(images, labels=labels.astype(np.int64), class_names=names, key=key)
