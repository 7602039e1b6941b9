"""Curves over amounts: ratio sweep, size sweep and learning curve of a run, and the differences from C0 below them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.amounts import (
    REAL_ALONE,
    REPEATED,
    Curve,
    Sweep,
    differences,
    record_curves,
    saturation_events,
    saturation_limits,
    saturation_words,
)
from bench.figures.canvas import MUTED, figure, line_style
from bench.record import ArmRecord, EstimateRecord, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

Arms = list[ArmRecord]
Point = tuple[float, float, float, float]  # amount, value, lower and upper limit
WIDTH, PANELS = 6.0, 6.2  # inches: of the figure, and the height of its two panels with their axes
LETTERS, LINE = 104, 0.14  # letters in a line of words, and its height in inches
APART = 5.0  # points between intervals at one amount


def has_amounts(record: Record) -> bool:
    """Whether some arms of ``record`` differ by one amount alone: then :func:`amounts_plot` has something to draw."""
    return bool(record_curves(record))


def amounts_plot(path: Path, record: Record) -> None:
    """For each sweep of ``record`` the AUC over the amount, and below it the paired difference from C0.

    Upper: lines are means over seeds, small dots the seeds, bars and the band of C0 the recorded 95 % intervals over
    test images (their mean over seeds). Lower: the recorded intervals over seeds and test images together. Below:
    where the record says that more images are no longer seen to help. Raises ValueError if there is no sweep.
    """
    found = record_curves(record)
    if not found:
        raise ValueError("no amounts to draw: no two arms of this record differ by an amount alone")
    of_sweep: dict[Sweep, list[Curve[Arms]]] = {}
    for curve in found:
        of_sweep.setdefault(curve.sweep, []).append(curve)
    words = {sweep: _words(record, of) for sweep, of in of_sweep.items()}
    heights = [PANELS + LINE * len(lines) for lines in words.values()]
    with figure(path, WIDTH, sum(heights)) as fig:
        parts = fig.subfigures(len(of_sweep), height_ratios=heights, squeeze=False)[:, 0]
        for part, height, (sweep, of) in zip(parts, heights, of_sweep.items(), strict=True):
            top, below = part.subplots(2, 1, height_ratios=(3, 2), sharex=True)
            aside = [_moved(fig, (i - (len(of) - 1) / 2) * APART) for i in range(len(of))]
            _aucs(top, sweep, of, record, aside)
            _differences(below, of, record, aside)
            _amounts(top, below, sweep, of)
            foot = (0.6 + LINE * len(words[sweep])) / height
            part.subplots_adjust(left=0.13, right=0.97, top=1 - 0.35 / height, bottom=foot, hspace=0.1)
            part.align_ylabels()
            part.text(0.02, 0.08 / height, "\n".join(words[sweep]), fontsize=7.5, color=MUTED, va="bottom")


def _moved(fig: Figure, points: float) -> Transform:
    """Some points to the right: bars of several curves at one amount do not hide each other."""
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(points / 72, 0, fig.dpi_scale_trans)


def _aucs(axes: Axes, sweep: Sweep, of: Sequence[Curve[Arms]], record: Record, aside: Sequence[Transform]) -> None:
    reference = of[0].reference
    if reference is not None and (mean := _mean(reference)) is not None:
        value, low, high = mean
        axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 4)), label=f"C0, {REAL_ALONE}")
        axes.axhspan(low, high, color=MUTED, alpha=0.13, linewidth=0)
    for i, curve in enumerate(of):
        points = [(amount, *mean) for amount, arms in curve.points if (mean := _mean(arms)) is not None]
        _line(axes, i, points, _name(curve, record), aside[i])
        seeds = [(x, e.value or 0.0) for x, arms in curve.points if len(arms) > 1 for e in _known(arms)]
        place, colour = axes.transData + aside[i], line_style(i)["color"]
        for x, y in seeds:
            axes.plot(x, y, ".", markersize=4, color=colour, alpha=0.5, transform=place)
    axes.set(title=sweep.title, ylabel="AUC")
    axes.legend(fontsize=8, handlelength=3)


def _line(axes: Axes, i: int, points: Sequence[Point], name: str, aside: Transform) -> None:
    if not points:
        return
    x, y, low, high = zip(*points, strict=True)
    errors = [[a - b for a, b in zip(y, low, strict=True)], [b - a for a, b in zip(y, high, strict=True)]]
    axes.errorbar(
        x, y, yerr=errors, label=name, marker="o", markersize=3.5, elinewidth=0.9, capsize=2, linewidth=1.4,
        transform=axes.transData + aside, **line_style(i),
    )  # fmt: skip
    axes.update_datalim([(amount, limit) for amount, *limits in points for limit in limits])
    axes.autoscale_view()


def _name(curve: Curve[Arms], record: Record) -> str:
    generator = record.generator.name if record.generator else ""
    return REPEATED if curve.repeated else "real images" if curve.sweep.real == 1 else generator or "synthetic images"


def _known(arms: Arms) -> list[EstimateRecord]:
    found = (arm.metrics.get("auc") for arm in arms)
    return [e for e in found if e is not None and e.value is not None]


def _mean(arms: Arms) -> tuple[float, float, float] | None:
    """AUC and its limits, each the mean over the seeds that have it; a value without limits is its own."""
    known = [(e.value or 0.0, e.low, e.high) for e in _known(arms)]
    if not known:
        return None
    value, low, high = zip(*[(v, v if a is None else a, v if b is None else b) for v, a, b in known], strict=True)
    return sum(value) / len(known), sum(low) / len(known), sum(high) / len(known)


def _differences(axes: Axes, of: Sequence[Curve[Arms]], record: Record, aside: Sequence[Transform]) -> None:
    axes.axhline(0.0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 4)))
    for i, curve in enumerate(of):
        rows = [(amount, row.estimate) for amount, row in differences(record, curve)]
        points = [(x, e.value or 0.0, e.low, e.high) for x, e in rows if e.low is not None and e.high is not None]
        _line(axes, i, points, _name(curve, record), aside[i])
    axes.set(ylabel="AUC − AUC of C0")


def _amounts(top: Axes, below: Axes, sweep: Sweep, of: Sequence[Curve[Arms]]) -> None:
    """Amounts, and no others, at the axis that both panels share."""
    amounts = sorted({amount for curve in of for amount, _ in curve.points})
    if sweep.scale == "log":
        below.set_xscale("log")
    below.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
    below.set_xticks([], minor=True)
    below.set(xlabel=sweep.unit)
    for axes in (top, below):
        axes.grid(color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)


def _words(record: Record, of: Sequence[Curve[Arms]]) -> list[str]:
    """What the bars are, and what the record says of saturation, in lines."""
    several = any(len(arms) > 1 for curve in of for _, arms in curve.points)
    over = "over test images, mean of those of the seeds (dots)" if several else "over test images"
    words = f"Bars above: 95 % intervals {over}; below: of the paired differences, over seeds and test images."
    events = [event for curve in of for event in saturation_events(record.ledger, curve)]
    if events:
        words += f" Saturation: {saturation_words(events, of[0].sweep)}. {saturation_limits(events)}"
    return textwrap.wrap(words, LETTERS)
