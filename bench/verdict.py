"""What a run found, in sentences: who beat whom by how much, and what the run could not have seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from bench.format import LEAST_DIFFERENCE, interval, number
from bench.record import ArmRecord, ComparisonRecord

LEVEL = 0.05
SEEDS_OF_A_CLAIM = 10


def verdict(rows: Iterable[ComparisonRecord], arms: Iterable[ArmRecord] = ()) -> str:
    """The primary comparisons in words; "" without any. ``arms`` tell what the rivals' names stand for.

    An arm is said to beat a rival where the corrected p is below .05. Of an arm with several rivals (guided images
    against random ones, repeated reals, variations of random cases) the claim is that it beats all of them.
    """
    primary = [row for row in rows if row.primary]
    if not primary:
        return ""
    called = {arm.name: f"{arm.name} {_short(arm.description)}".strip() for arm in arms}
    of_arm: dict[str, list[ComparisonRecord]] = {}
    for row in primary:
        of_arm.setdefault(row.arm, []).append(row)
    told = [sentence for arm, of in of_arm.items() for sentence in _sentences(arm, of, called)]
    seeds = primary[0].n_seeds
    words = f"Over {seeds} paired seed{'s' if seeds > 1 else ''}"
    words += f": fewer than the {SEEDS_OF_A_CLAIM} that a claim needs." if seeds < SEEDS_OF_A_CLAIM else "."
    return " ".join([*told, words])


def _sentences(arm: str, rows: Sequence[ComparisonRecord], called: Mapping[str, str]) -> list[str]:
    won, lost = ([r for r in rows if _certain(r) and _sign(r) == sign] for sign in (1, -1))
    alike = [r for r in rows if _alike(r)]
    open_ = [r for r in rows if r not in won and r not in lost and r not in alike]
    n, once = rows[0].estimate.n, rows[0].n_seeds == 1  # one training proves nothing about the next
    at = f" at n = {n:,} test images" if n else ""
    out = []
    for found, verb in (
        (won, "did better than" if once else "beats"),
        (lost, "did worse than" if once else "is worse than"),
    ):
        if found:
            listed = [f"{_name(r, called)} by {interval(r.estimate, signed=True)} AUC" for r in found]
            out.append(f"{arm} {verb} {_all(listed)}{at}.")
    if open_:
        listed = [f"{_name(r, called)} ({interval(r.estimate, signed=True)} AUC{_could(r)})" for r in open_]
        out.append(f"No evidence{at} that {arm} differs from {_all(listed)}.")
    if alike:
        listed = [_name(r, called) for r in alike]
        out.append(
            f"The interval of {arm} against {_all(listed)} is 0 alone: they rank the classes alike, as where none of "
            "them saw an image that the others did not, or none errs; what this run could have seen cannot be told."
        )
    if won and len(won) < len(rows):
        out.append(f"So {arm} is not shown to beat all that it is compared with.")
    return out


def _certain(row: ComparisonRecord) -> bool:
    return row.p_adjusted is not None and row.p_adjusted < LEVEL and row.estimate.value is not None


def _alike(row: ComparisonRecord) -> bool:
    """Whether difference and limits are exactly 0, where chance alone would have moved them: no error to speak of."""
    estimate = row.estimate
    return estimate.value == estimate.low == estimate.high == 0.0


def _sign(row: ComparisonRecord) -> int:
    return 1 if (row.estimate.value or 0.0) > 0 else -1


def _could(row: ComparisonRecord) -> str:
    mdd = row.minimum_detectable_difference
    if mdd is not None and mdd >= 1.0:
        return "; this run could have seen no difference"
    return "" if mdd is None else f"; this run could have seen Δ ≥ {number(mdd, max(mdd, LEAST_DIFFERENCE))}"


def _name(row: ComparisonRecord, called: Mapping[str, str]) -> str:
    return called.get(row.versus, row.versus)


def _short(description: str) -> str:
    """ "random synthetic" of "real + 1,574 random synthetic": what tells the arm from others, without counts."""
    return re.sub(r"\b\d[\d,]* ", "", description).removeprefix("real + ")


def _all(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
