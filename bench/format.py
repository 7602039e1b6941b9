"""Numbers as people read them: as many digits as they carry, the interval beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from bench.record import EstimateRecord, Record

NOTHING = "–"
LEAST_DIFFERENCE = 0.01  # of differences smaller than this nobody needs more digits


def number(value: float, scale: float | None = None, *, signed: bool = False) -> str:
    """``value`` with the decimals that fit a number of size ``scale`` (default: its own).

    What rounds to zero is zero, whichever side it came from: "0.000", signed "+0.000", never "-0.000".
    """
    sign = "+" if signed else ""
    decimals = _decimals(abs(value if scale is None else scale))
    return f"{round(value, decimals) + 0.0:{sign},.{decimals}f}"  # adding zero turns -0.0 into 0.0


def _decimals(scale: float) -> int:
    if scale > 1:
        return 0 if scale >= 100 else 1 if scale >= 10 else 2
    if scale >= 0.02 or scale == 0 or not math.isfinite(scale):
        return 3
    return min(6, 1 - math.floor(math.log10(scale)))


def interval(estimate: EstimateRecord, *, signed: bool = False, stacked: bool = False) -> str:
    """ "0.887 [0.861, 0.909]", or 0.861–0.909 on a second line if ``stacked``; "undefined" without a value."""
    if estimate.value is None:
        return "undefined"
    known = [v for v in (estimate.value, estimate.low, estimate.high) if v is not None]
    scale = max([abs(v) for v in known] + [LEAST_DIFFERENCE] * signed)
    text = number(estimate.value, scale, signed=signed)
    if estimate.low is None or estimate.high is None:
        return text
    low, high = (number(v, scale, signed=signed) for v in (estimate.low, estimate.high))
    dash = "–" if not signed and estimate.low >= 0 else " to "
    return f"{text}\n{low}{dash}{high}" if stacked else f"{text} [{low}, {high}]"


def over_seeds(estimates: Sequence[EstimateRecord], *, stacked: bool = False) -> str:
    """One estimate with its interval; of several the mean and, in round brackets, the range over the seeds.

    Seeds that read alike are "all" of that value: "0.978 (all)".
    """
    if len(estimates) == 1:
        return interval(estimates[0], stacked=stacked)
    values = [e.value for e in estimates if e.value is not None]
    if not values:
        return "undefined" if estimates else NOTHING
    scale = max(abs(v) for v in values)
    low, high = number(min(values), scale), number(max(values), scale)
    missing = f", {len(estimates) - len(values)} undefined" if len(values) < len(estimates) else ""
    dash = "–" if min(values) >= 0 else " to "
    spread = "all" if low == high else f"{low}{dash}{high}"
    return f"{number(sum(values) / len(values), scale)}{chr(10) if stacked else ' '}({spread}{missing})"


def counts(values: Iterable[int]) -> str:
    """ "7,012", or over seeds that differ "766–1,574"."""
    least, most = min(found := list(values)), max(found)
    return f"{least:,}" if least == most else f"{least:,}–{most:,}"


def words_over_seeds(descriptions: Iterable[str]) -> str:
    """What all seeds are said to be; without its counts where only these differ."""
    first, *rest = dict.fromkeys(descriptions)
    return re.sub(r"\b\d[\d,]* ", "", first) if rest else first


def p_value(p: float | None) -> str:
    """ "0.034", "< 0.001"."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def megabytes(value: float | None) -> str:
    """ "820 MB", "1.4 GB"."""
    if value is None:
        return NOTHING
    return f"{value / 1024:.1f} GB" if value >= 1000 else f"{value:.0f} MB"


def detectable(mdd: float | None) -> str:
    """ "± 0.012", the smallest difference that could have been shown; "none" from 1 on, which no difference exceeds."""
    if mdd is None:
        return NOTHING
    return "none" if mdd >= 1.0 else f"± {number(mdd, max(mdd, LEAST_DIFFERENCE))}"


def seeds_text(record: Record) -> str:
    """ "1 of 2 seeds finished"; "" where all are."""
    finished = {arm.seed for arm in record.arms} - {failure.seed for failure in record.failures}
    asked = len(record.seeds)
    return "" if len(finished) >= asked else f"{len(finished)} of {asked} seed{'s' * (asked != 1)} finished"


def throughput_note(precisions: Iterable[str]) -> str:
    """What the numbers of a table of images per second leave out, and what its precision means."""
    mixed = "; bf16: what the run lets autocast use, predictions and some networks compute in float32 all the same"
    return "warm-up left out" + (mixed if "bf16" in set(precisions) else "")
