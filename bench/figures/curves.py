"""ROC and reliability curves of the arms of a run, with what is uncertain about them drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.figures.canvas import MUTED, figure, line_style
from bench.stats import auc, expected_calibration_error, proportion_interval, roc_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Seeds = Sequence[tuple[NDArray[Any], NDArray[Any]]]  # for each seed: y {0, 1} [N], score of the positive class [N]
GRID = np.linspace(0, 1, 201)
LINE = 0.18  # height of a legend line in inches


def roc_plot(path: Path, curves: Mapping[str, Seeds], positive: str = "positive", seed: int = 0) -> None:
    """One mean curve an arm; thin lines are its seeds, or with a single seed a 95 % bootstrap band over images.

    The mean is vertical (mean sensitivity at equal false positive rate; Fawcett 2006, algorithm 3), and the legend
    gives the mean AUC and the range over seeds. The band is pointwise, 500 replicates stratified by class, by
    ``seed``. An arm without both classes is named in the legend as undefined. Raises ValueError if there is no arm.
    """
    if not curves:
        raise ValueError("no curves to draw")
    with figure(path, 6.0, 5.8 + LINE * len(curves)) as fig:
        axes = fig.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=":")
        for i, (arm, seeds) in enumerate(curves.items()):
            _roc_arm(axes, i, arm, seeds, np.random.default_rng([seed, i]))
        axes.set(xlim=(-0.005, 1), ylim=(0, 1.005), aspect="equal")
        axes.set(xlabel="1 − specificity", ylabel=f"sensitivity ({positive})")
        axes.grid(color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
        _legend(axes)
        fig.tight_layout()


def _legend(axes: Axes) -> None:
    """Above the plot: inside it some arm's curve always runs through the legend."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0, fontsize=8, handlelength=3)


def _roc_arm(axes: Axes, i: int, arm: str, seeds: Seeds, rng: np.random.Generator) -> None:
    defined = [(y, s) for y, s in seeds if 0 < np.sum(y) < len(y)]
    style = line_style(i)
    if not defined:
        axes.plot([], [], label=f"{arm}: undefined, one class only", **style)
        return
    lines = [_sensitivity(y, s) for y, s in defined]
    areas = [auc(y, s) for y, s in defined]
    if len(lines) > 1:
        for line in lines:
            axes.plot(GRID, line, color=style["color"], linewidth=0.6, alpha=0.45)
        label = f"{arm}: AUC {np.mean(areas):.3f} ({min(areas):.3f}–{max(areas):.3f}, {len(areas)} seeds)"
    else:
        low, high = _band(*defined[0], rng)
        axes.fill_between(GRID, low, high, color=style["color"], alpha=0.15, linewidth=0)
        label = f"{arm}: AUC {areas[0]:.3f} (1 seed; band: 95 % over images)"
    mean = np.append(0.0, np.mean(lines, axis=0))
    axes.plot(np.append(0.0, GRID), mean, linewidth=1.8, label=label, **style)


def _sensitivity(y: NDArray[Any], score: NDArray[Any]) -> Array:
    """Sensitivity at each false positive rate of GRID: the highest where the curve rises straight up."""
    curve = roc_curve(y, score)
    last = np.append(np.flatnonzero(np.diff(curve.fpr)), len(curve.fpr) - 1)
    return np.asarray(np.interp(GRID, curve.fpr[last], curve.tpr[last]))


def _band(y: NDArray[Any], score: NDArray[Any], rng: np.random.Generator, replicates: int = 500) -> tuple[Array, Array]:
    """Pointwise 2.5 and 97.5 % limits of sensitivity on GRID, images resampled within their class."""
    y = np.asarray(y).astype(bool)
    parts = np.flatnonzero(y), np.flatnonzero(~y)
    lines = np.empty((replicates, len(GRID)))
    for b in range(replicates):
        rows = np.concatenate([rng.choice(part, len(part)) for part in parts])
        lines[b] = _sensitivity(y[rows], np.asarray(score)[rows])
    low, high = np.quantile(lines, (0.025, 0.975), axis=0)
    return low, high


def reliability_plot(path: Path, curves: Mapping[str, Seeds], positive: str = "positive", bins: int = 10) -> None:
    """Observed against predicted probability of the positive class, and below it where the predictions lie.

    Bins hold equally many images (ties stay together), since a rare class leaves equal-width bins empty; bars are
    Wilson 95 % intervals of the observed share at one seed's image count: seeds share their test images, so pooling
    them narrows no bar. Each arm pools its seeds. Raises ValueError if there is no arm.
    """
    if not curves:
        raise ValueError("no curves to draw")
    with figure(path, 6.0, 6.6 + LINE * len(curves)) as fig:
        top, below = fig.subplots(2, 1, height_ratios=(4, 1), sharex=True)
        top.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=":")
        for i, (arm, seeds) in enumerate(curves.items()):
            _reliability_arm(top, i, arm, seeds, bins)
            below.hist(
                np.concatenate([p for _, p in seeds]),
                bins=50,
                range=(0, 1),
                histtype="step",
                linewidth=1.2,
                **line_style(i),
            )
        top.set(ylim=(-0.01, 1.01), ylabel=f"observed share of {positive}")
        top.grid(color="#e8e8e8", linewidth=0.6)
        _legend(top)
        below.set(xlim=(0, 1), xlabel=f"predicted probability of {positive}", ylabel="images", yscale="log")
        below.yaxis.set_major_formatter("{x:g}")
        fig.align_ylabels()
        fig.tight_layout()


def _reliability_arm(axes: Axes, i: int, arm: str, seeds: Seeds, bins: int) -> None:
    y = np.concatenate([np.asarray(pair[0]).astype(np.float64) for pair in seeds])
    p = np.concatenate([np.asarray(pair[1], dtype=np.float64) for pair in seeds])
    mean_p, share, n = calibration_bins(y, p, bins)
    low, high = _wilson(share, n / len(seeds))
    error = np.mean([expected_calibration_error(*pair) for pair in seeds])
    note = f" (mean of {len(seeds)} seeds)" if len(seeds) > 1 else ""
    axes.errorbar(
        mean_p, share, yerr=np.maximum(np.stack([share - low, high - share]), 0), label=f"{arm}: ECE {error:.3f}{note}",
        marker="o", markersize=3.5, elinewidth=0.8, capsize=1.5, linewidth=1.4, **line_style(i),
    )  # fmt: skip


def calibration_bins(y: Array, p: Array, bins: int) -> tuple[Array, Array, Array]:
    """Mean prediction, observed share and count of each non-empty bin of about equally many of ``p`` float [N]."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(edges, p, side="left")
    n = np.bincount(index, minlength=len(edges) + 1).astype(np.float64)
    used = n > 0
    sums = [np.bincount(index, weights=w, minlength=len(n))[used] for w in (p, y)]
    return sums[0] / n[used], sums[1] / n[used], n[used]


def _wilson(share: Array, n: Array) -> tuple[Array, Array]:
    """Wilson limits of shares of about ``n`` cases each."""
    cases = [max(1, round(c)) for c in n]
    limits = [proportion_interval(min(c, round(s * c)), c) for s, c in zip(share, cases, strict=True)]
    low, high = np.array(limits).T
    return low, high
