"""Which hard case each synthetic image answers, and how hard both are before and after retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Probabilities
from bench.lab import Fitted, Lab
from bench.ledger import Chances, Lineage
from protocols.strategies.base import Answer, Guidance

LABEL_CHECK = "label_check"


@dataclass(frozen=True)
class Traced:
    """A finished round: what the strategy was given, what it answered, the classifier retrained with it."""

    guidance: Guidance
    answer: Answer
    retrained: Fitted


def trace(lab: Lab, rounds: Sequence[Traced], label_check: float) -> list[Lineage]:
    """The lineage of each of ``rounds``, noted in the ledger.

    Nothing is trained for it. Hard cases are judged again where the next round made new out-of-fold predictions;
    children by two classifiers of the round. ``label_check``: what the label check asks for.
    """
    found = []
    for r, done in enumerate(rounds, start=1):
        later = rounds[r].guidance.probabilities if r < len(rounds) else None
        after = None if later is done.guidance.probabilities else later
        lineage = _lineage(lab, r, done, after, label_check)
        lab.note(**lineage.entry())
        found.append(lineage)
    return found


def _lineage(lab: Lab, r: int, done: Traced, after: Probabilities | None, label_check: float) -> Lineage:
    guidance, answer = done.guidance, done.answer
    made, cases = answer.made, guidance.hard
    case_of, answers = children_of(made, guidance.wanted(), cases)
    judge = _p_true(lab, guidance.judge, made, "label check")
    return Lineage(
        round=r, cases=cases, children=made, case_of=case_of, answers=answers, accepted=answer.accepted,
        reasons=_reasons(answer, judge, label_check),
        case_before=_out_of_fold(guidance.pool, cases, guidance.probabilities),
        case_after=None if after is None else _out_of_fold(guidance.pool, cases, after),
        child_before=_p_true(lab, guidance.classifier, made, f"children before round {r}"),
        child_after=_p_true(lab, done.retrained, made, f"children after round {r}"),
        child_judge=judge,
    )  # fmt: skip


def children_of(made: Images, wanted: Images, cases: Images) -> tuple[NDArray[np.int64], Literal["case", "class"]]:
    """The row of ``cases`` that each of ``made`` [m] answers, int64 [m], and whether it was made from the case itself.

    ``wanted``: the cases, each as often as an image is asked for. Images whose parents are cases were made from them.
    Others know only their class: they go to ``wanted`` in its order if the labels are the same, else the cases of a
    class share them evenly.
    """
    row_of = {str(i): row for row, i in enumerate(cases.ids)}
    if made.parents is not None and all(str(p) in row_of for p in made.parents):
        return np.array([row_of[str(p)] for p in made.parents], dtype=np.int64), "case"
    if np.array_equal(made.labels, wanted.labels):
        return np.array([row_of[str(i)] for i in wanted.ids], dtype=np.int64), "class"
    out = np.zeros(len(made), dtype=np.int64)
    for k in np.unique(made.labels):
        children, of_class = np.flatnonzero(made.labels == k), np.flatnonzero(cases.labels == k)
        out[children] = of_class[np.arange(len(children)) * len(of_class) // len(children)]
    return out, "class"


def _p_true(lab: Lab, classifier: Fitted, images: Images, title: str) -> Chances:
    p = np.asarray(lab.predict(classifier, images, title=title))
    return p[np.arange(len(images)), images.labels]


def _out_of_fold(pool: Images, cases: Images, probabilities: Probabilities) -> Chances:
    row_of = {str(i): row for row, i in enumerate(pool.ids)}
    rows = np.array([row_of[str(i)] for i in cases.ids], dtype=np.int64)
    return np.asarray(probabilities)[rows, cases.labels]


def _reasons(answer: Answer, judge: Chances, label_check: float) -> list[str]:
    """Why each image was rejected; where a strategy has several further reasons only their names are known."""
    others = " or ".join(name for name, n in answer.reasons.items() if n and name != LABEL_CHECK)
    accepted = answer.accepted.tolist()
    return [
        "" if ok else LABEL_CHECK if p < label_check else others or "not said"
        for ok, p in zip(accepted, judge.tolist(), strict=True)
    ]
