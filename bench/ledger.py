"""The ledger of a round, image by image: hard cases, what was made for them, and how hard each is before and after.

Difficulty is told by p(true), the probability that a classifier gives to the label an image carries: the lower, the
harder. A hard case is judged out of fold, by a classifier that never saw its lesion; an image made for it is judged by
the newest classifier before the round and by the one retrained with the accepted images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images

Chances = NDArray[np.float32]
EVENT = "difficulty"
DIGITS = 4


@dataclass(frozen=True)
class Lineage:
    """One round: n hard cases and the m images made for them, their children.

    cases         real images [n]; ``case_before`` float32 [n] p(true) out of fold when they were mined, ``case_after``
                  the same by classifiers retrained with the accepted images, None where no later fold looked
    children      synthetic images [m]; ``case_of`` int64 [m]: the row of the case that each answers
    answers       "case": made from that case; "class": made for its class and handed to the cases of the class
    accepted      bool [m]; ``reasons`` [m] why not, "" where accepted
    child_before  float32 [m] p(true) by the classifier before the round, ``child_after`` by the retrained one, which
                  was trained on the accepted children, ``child_judge`` by the independent label check
    """

    round: int
    cases: Images
    children: Images
    case_of: NDArray[np.int64]
    answers: Literal["case", "class"]
    accepted: NDArray[np.bool_]
    reasons: Sequence[str]
    case_before: Chances
    case_after: Chances | None
    child_before: Chances
    child_after: Chances
    child_judge: Chances

    def entry(self) -> dict[str, Any]:
        """What the record keeps of it: quartiles of p(true) of cases, accepted and rejected children."""
        out: dict[str, Any] = {"event": EVENT, "round": self.round, "of": "p(true)", "answers": self.answers}
        out["cases"] = {"before": quartiles(self.case_before), "after": quartiles(self.case_after)}
        for name, which in (("accepted", self.accepted), ("rejected", ~self.accepted)):
            sides = ("before", self.child_before), ("after", self.child_after)
            out[name] = {side: quartiles(values[which]) for side, values in sides}
        return out

    def families(self) -> list[dict[str, Any]]:
        """Each hard case with its children, hardest case first, as JSON."""
        of_case: list[list[dict[str, Any]]] = [[] for _ in range(len(self.cases))]
        for i, case in enumerate(self.case_of.tolist()):
            of_case[case].append(self._child(i))
        return [
            {
                "id": str(self.cases.ids[i]), "class": self.cases.class_names[self.cases.labels[i]],
                "before": _rounded(self.case_before, i), "after": _rounded(self.case_after, i), "children": of_case[i],
            }
            for i in np.argsort(self.case_before, kind="stable").tolist()
        ]  # fmt: skip

    def _child(self, i: int) -> dict[str, Any]:
        values = {"before": self.child_before, "after": self.child_after, "judge": self.child_judge}
        chances = {name: _rounded(of, i) for name, of in values.items()}
        return {"id": str(self.children.ids[i]), "accepted": bool(self.accepted[i]), **chances, **self._reason(i)}

    def _reason(self, i: int) -> dict[str, str]:
        return {} if self.accepted[i] else {"reason": self.reasons[i]}


def quartiles(values: Chances | None) -> dict[str, float] | None:
    """Count, lower quartile, median and upper quartile; None where there is nothing."""
    if values is None or not len(values):
        return None
    low, middle, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75)).round(DIGITS).tolist()
    return {"n": len(values), "q25": low, "median": middle, "q75": high}


def _rounded(values: Chances | None, i: int) -> float | None:
    return None if values is None else round(float(values[i]), DIGITS)


def families_title(seed: int) -> str:
    """What the record calls the file of :func:`write_families`."""
    return f"children of hard cases, seed {seed}"


def write_families(path: Path, seed: int, rounds: Iterable[Lineage]) -> None:
    """Write every case and child of one seed as JSON: ``{"seed", "of", "rounds": [{"round", "answers", "cases"}]}``."""
    found = [{"round": r.round, "answers": r.answers, "cases": r.families()} for r in rounds]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": seed, "of": "p(true)", "rounds": found}, separators=(",", ":")) + "\n")


@dataclass(frozen=True)
class RoundRow:
    """One round of one seed, as tables show it; ``chosen``: the guided arm reports this round.

    ``rejected``: reason -> images (an image may fail by several); quartiles of p(true) as :func:`quartiles` gives them,
    None where they were not noted.
    """

    seed: int
    round: int
    mined: int
    made: int
    accepted: int
    rejected: Mapping[str, int]
    val_select_auc: float
    chosen: bool
    cases_before: Mapping[str, float] | None
    cases_after: Mapping[str, float] | None
    accepted_before: Mapping[str, float] | None
    accepted_after: Mapping[str, float] | None
    rejected_before: Mapping[str, float] | None
    answers: str | None


def round_rows(ledger: Iterable[Mapping[str, Any]]) -> list[RoundRow]:
    """The rounds that a record's ledger tells of, in order; none for protocols without rounds."""
    events = [event for event in ledger if isinstance(event.get("seed"), int)]
    chosen = {
        e["seed"]: e.get("round") for e in events if e.get("event") == "chosen round" and e.get("arm") == "guided"
    }
    noted = {(e["seed"], e.get("round")): e for e in events if e.get("event") == EVENT}
    rounds = [e for e in events if e.get("event") == "round" and isinstance(e.get("mined"), int)]
    return [_row(e, noted.get((e["seed"], e["round"]), {}), chosen.get(e["seed"])) for e in rounds]


def _row(event: Mapping[str, Any], noted: Mapping[str, Any], chosen: Any) -> RoundRow:
    def side(of: str, when: str) -> Mapping[str, float] | None:
        return (noted.get(of) or {}).get(when)

    return RoundRow(
        event["seed"], event["round"], event["mined"], event["made"], event["accepted"], event["rejected"],
        event["val_select_auc"], event["round"] == chosen, side("cases", "before"), side("cases", "after"),
        side("accepted", "before"), side("accepted", "after"), side("rejected", "before"), noted.get("answers"),
    )  # fmt: skip


def reasons_text(rejected: Mapping[str, int]) -> str:
    """ "label check 11, lost by blur 3"; reasons that no image failed by are left out."""
    return ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in rejected.items() if n)


def quartiles_text(of: Mapping[str, float] | None) -> str:
    """ "0.41 (0.22–0.60)": median and quartiles; "" where there are none."""
    return "" if of is None else f"{of['median']:.2f} ({of['q25']:.2f}–{of['q75']:.2f})"
