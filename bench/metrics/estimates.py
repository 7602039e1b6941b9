"""From numbers to estimates: what has no value keeps its reason."""

from __future__ import annotations

from collections.abc import Callable

from bench.contracts import Direction, Estimate
from bench.errors import UndefinedMetric
from bench.metrics.arrays import Share

PREFIX = "undefined, because "


def defined(make: Callable[[], Estimate], n: int, direction: Direction) -> Estimate:
    """``make()``, or the undefined estimate with the reason of its :class:`UndefinedMetric`."""
    try:
        return make()
    except UndefinedMetric as error:
        return Estimate.undefined(str(error).removeprefix(PREFIX), n=n, direction=direction)


def of_share(share: Share, direction: Direction, method: str = "") -> Estimate:
    """A share with its binomial interval."""
    kind = "Clopper-Pearson" if share.k in (0, share.n) else "Wilson"
    how = f"{kind}; {method}" if method else kind
    return Estimate(float(share), share.low, share.high, share.n, "", direction, how, extra={"k": share.k})
