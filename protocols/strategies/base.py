"""What a guidance strategy is: hard cases in, candidate images out, a check in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bench.contracts import Images, Probabilities, Threshold
from bench.lab import Fitted, Lab

Check = Callable[[Images], NDArray[np.bool_]]
Folds = Iterable[tuple[NDArray[np.bool_], Fitted]]


@dataclass(frozen=True)
class Guidance:
    """What a strategy is given in one round.

    generator, classifier  the fitted generator and the newest classifier
    judge                  an independently seeded classifier
    hard                   the hard cases, hardest first
    pool                   the images they were chosen from: train, or its mining split
    probabilities          of ``pool``, float32 [N, K], by classifiers that did not see the image; those of a mining
                           split saw what was made from it in earlier rounds
    threshold              cut on the positive score, fitted on val_thresh
    per_case               images wanted for each hard case
    check                  Images [n] -> bool [n]: does the judge accept the label
    stream                 name of the random stream of this round
    folds                  gives the classifiers that judged ``pool`` out of fold, each after the images bool [N] that
                           it never saw; None with a mining split
    """

    generator: Fitted
    classifier: Fitted
    judge: Fitted
    hard: Images
    pool: Images
    probabilities: Probabilities
    threshold: Threshold
    per_case: int
    check: Check
    stream: str
    folds: Callable[[], Folds] | None = None

    def wanted(self) -> Images:
        """The hard cases, each ``per_case`` times: what is to be answered by synthetic images."""
        return self.hard.take(np.repeat(np.arange(len(self.hard)), self.per_case))


@dataclass(frozen=True)
class Answer:
    """Candidates and which of them passed: ``made`` [n], ``accepted`` bool [n], ``reasons`` for the ledger."""

    made: Images
    accepted: NDArray[np.bool_]
    reasons: dict[str, int]


class Strategy(Protocol):
    """A way to turn hard cases into new images.

    ``needs``: the capability the generator must have, or None for any. ``from_images``: whether real images are the
    starting point, so that variations of random cases are the fair control (arm C3). A strategy that asks how hard
    every image of train is says so by ``bins_train = True``: it cannot be used with a mining split.
    """

    version: ClassVar[str]
    Config: ClassVar[type[BaseModel]]
    needs: ClassVar[type | None]
    from_images: ClassVar[bool]

    def __init__(self, config: Any) -> None: ...

    def answer(self, lab: Lab, guidance: Guidance) -> Answer:
        """Candidates for the hard cases, checked."""
