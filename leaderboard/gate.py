"""The memorization gate: are synthetic images surely nearer to training images than held-out real ones are?

The copy rate counts synthetic images nearer to train than the 1 % quantile of held-out images: the j-th nearest of H,
j = ceil(H / 100). That quantile is itself drawn: for a generator that copies nothing, synthetic and held-out images are
exchangeable, and the count among M has the beta-binomial distribution with parameters M, j, H - j + 1 (order
statistics: David & Nagaraja 2003, Order Statistics, section 2.4). The binomial limits of the rate, which take the
quantile as known, would refuse 8 to 19 % of innocent generators at H = M = 100 to 2,000.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bench.record import FidelityRecord

COPY_RATE = "copy_rate"
COPY_LIMIT = 0.01  # the rate is set to 1 % on held-out real images
ALPHA = 0.025  # of innocent rows that lose their rank: one side of 5 %


def copies(fidelity: Sequence[FidelityRecord]) -> bool:
    """Whether more near-copies were counted than chance gives; ``fidelity``: a row's synthetic sets, one a seed.

    Of several seeds, which share their held-out images, twice the median p counts: valid under any dependence
    (Rüschendorf 1982, Advances in Applied Probability 14:623).
    """
    found = [p for record in fidelity if (p := p_innocent(record)) is not None]
    return bool(found) and statistics.median(found) * (2 if len(found) > 1 else 1) <= ALPHA


def p_innocent(fidelity: FidelityRecord) -> float | None:
    """Chance of as many near-copies as were counted, or more, without copying; None where no rate is recorded."""
    estimate = fidelity.metrics.get(COPY_RATE)
    if estimate is None or estimate.value is None or not estimate.n or not fidelity.n_reference:
        return None
    rank = math.ceil(COPY_LIMIT * fidelity.n_reference)
    return at_least(round(estimate.value * estimate.n), estimate.n, rank, fidelity.n_reference - rank + 1)


def at_least(k: int, n: int, a: float, b: float) -> float:
    """P(K >= k) of the beta-binomial distribution with ``n`` trials and parameters ``a``, ``b``."""

    def mass(i: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        return math.exp(ways + _log_beta(i + a, n - i + b) - _log_beta(a, b))

    below = math.fsum(mass(i) for i in range(min(k, n + 1)))
    return min(1.0, max(0.0, 1.0 - below))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
