"""The memorization gate: are synthetic images surely nearer to training images than held-out real ones are?

A row is refused by the chance of its count under no copying (:mod:`bench.metrics.copy_chance`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.metrics.copy_chance import ALPHA, COPY_LIMIT, chance_of_count
from bench.record import FidelityRecord, RoundRecord

__all__ = ["ALPHA", "COPY_LIMIT", "COPY_RATE", "copies", "copies_in_rounds", "p_innocent"]

COPY_RATE = "copy_rate"


def copies(fidelity: Sequence[FidelityRecord]) -> bool:
    """Whether more near-copies were counted than chance gives; ``fidelity``: a row's synthetic sets, one a seed.

    Of several seeds, which share their held-out images, twice the median p counts: valid under any dependence
    (Rüschendorf 1982, Advances in Applied Probability 14:623).
    """
    return _refused([p for record in fidelity if (p := p_innocent(record)) is not None])


def copies_in_rounds(rounds: Sequence[RoundRecord]) -> bool:
    """The same of the images that rounds accepted.

    All rounds of a seed are judged by one distance to the same held-out images: their counts add up to one count.
    """
    by_seed: dict[int, list[RoundRecord]] = {}
    for row in rounds:
        by_seed.setdefault(row.seed, []).append(row)
    return _refused([p for of_seed in by_seed.values() if (p := _p_of_rounds(of_seed)) is not None])


def _p_of_rounds(rounds: Sequence[RoundRecord]) -> float | None:
    known = [e for row in rounds if (e := row.metrics.get(COPY_RATE)) and e.value is not None and e.n]
    count = sum(round((e.value or 0.0) * e.n) for e in known)
    return chance_of_count(count, sum(e.n for e in known), rounds[0].n_reference) if known else None


def _refused(found: Sequence[float]) -> bool:
    return bool(found) and statistics.median(found) * (2 if len(found) > 1 else 1) <= ALPHA


def p_innocent(fidelity: FidelityRecord) -> float | None:
    """Chance of as many near-copies as were counted, or more, without copying; None where no rate is recorded."""
    estimate = fidelity.metrics.get(COPY_RATE)
    if estimate is None or estimate.value is None or not estimate.n or not fidelity.n_reference:
        return None
    return chance_of_count(round(estimate.value * estimate.n), estimate.n, fidelity.n_reference)
