"""A claim of the falsification list, how it is checked, and what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.errors import UndefinedMetric
from bench.selfcheck.ground import Ground

Values = dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """What one check saw. ``passed`` None: it could not be decided, and ``observed`` says why.

    values  the numbers behind the words
    note    what a reader must know beside them
    blamed  the metrics that said something else than the claim; empty: all that the claim speaks of
    """

    passed: bool | None
    observed: str
    expected: str
    values: dict[str, float] = field(default_factory=dict)
    note: str = ""
    blamed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.passed is not None:  # numpy's booleans are not True and False, nor JSON
            object.__setattr__(self, "passed", bool(self.passed))
        object.__setattr__(self, "values", {name: float(value) for name, value in self.values.items()})


def all_of(
    clauses: Mapping[str, bool], observed: str, expected: str, values: dict[str, float], note: str = ""
) -> Verdict:
    """The verdict on a claim of several clauses, metric -> whether it said what it must; false ones are blamed."""
    blamed = tuple(name for name, held in clauses.items() if not held)
    return Verdict(not blamed, observed, expected, values, note, blamed)


@dataclass(frozen=True)
class Finding:
    """A :class:`Verdict` with the claim it is about; ``of`` names the metrics whose trust rests on it."""

    number: int
    claim: str
    of: tuple[str, ...]
    verdict: Verdict
    seconds: float

    @property
    def passed(self) -> bool | None:
        """Whether the claim holds here; None if that could not be decided."""
        return self.verdict.passed

    @property
    def blamed(self) -> tuple[str, ...]:
        """The metrics that this finding speaks against."""
        return (self.verdict.blamed or self.of) if self.passed is False else ()

    def plain(self) -> dict[str, Any]:
        """JSON of it."""
        rest = {"number": self.number, "claim": self.claim, "of": list(self.of), "seconds": round(self.seconds, 3)}
        return rest | asdict(self.verdict)


@dataclass(frozen=True)
class Check:
    """One number of the list; called with a :class:`Ground` it gives a :class:`Finding`."""

    number: int
    claim: str
    of: tuple[str, ...]
    look: Callable[[Ground], Verdict]

    def __call__(self, ground: Ground) -> Finding:
        start = time.perf_counter()
        try:
            verdict = self.look(ground)
        except UndefinedMetric as reason:
            verdict = Verdict(None, str(reason), "a defined value")
        return Finding(self.number, self.claim, self.of, verdict, time.perf_counter() - start)


def claim(number: int, text: str, *of: str) -> Callable[[Callable[[Ground], Verdict]], Check]:
    """Make a :class:`Check` of a function: ``text`` is the claim, ``of`` the metrics that it speaks of."""

    def made(look: Callable[[Ground], Verdict]) -> Check:
        return Check(number, text, of, look)

    return made
