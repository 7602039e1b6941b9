"""Chance of as many near-copies as were counted, if a generator copies nothing.

The copy rate counts synthetic images nearer to train than the 1 % quantile of held-out images: the j-th nearest of H,
j = ceil(H / 100). That quantile is itself drawn: for a generator that copies nothing, synthetic and held-out images are
exchangeable, and the count among M has the beta-binomial distribution with parameters M, j, H - j + 1 (order
statistics: David & Nagaraja 2003, Order Statistics, section 2.4). The binomial limits of the rate, which take the
quantile as known, would refuse 8 to 19 % of innocent generators at H = M = 100 to 2,000.
"""

from __future__ import annotations

import math

COPY_LIMIT = 0.01  # the rate is set to 1 % on held-out real images
ALPHA = 0.025  # of innocent sets that are taken for copies: one side of 5 %


def chance_of_count(near: int, synthetic: int, held_out: int) -> float:
    """P(at least ``near`` of ``synthetic`` images are nearer to train than the 1 % quantile of ``held_out`` ones)."""
    rank = math.ceil(COPY_LIMIT * held_out)
    return at_least(near, synthetic, rank, held_out - rank + 1)


def at_least(k: int, n: int, a: float, b: float) -> float:
    """P(K >= k) of the beta-binomial distribution with ``n`` trials and parameters ``a``, ``b``."""

    def mass(i: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        return math.exp(ways + _log_beta(i + a, n - i + b) - _log_beta(a, b))

    below = math.fsum(mass(i) for i in range(min(k, n + 1)))
    return min(1.0, max(0.0, 1.0 - below))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
