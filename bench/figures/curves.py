"""ROC and reliability curves of the arms of a run, with what is uncertain about them drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.figures.canvas import MUTED, figure, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Seeds = Sequence[tuple[NDArray[Any], NDArray[Any]]]  # for each seed: y {0, 1} [N], score of the positive class [N]
GRID = np.linspace(0, 1, 201)
LINE = 0.18  # height of a legend line in inches


def roc_points(y: NDArray[Any], score: NDArray[Any]) -> tuple[Array, Array]:
    """False and true positive rates at every distinct cut, from (0, 0) to (1, 1).

    ``y`` {0, 1} [N], ``score`` float [N]; tied scores are one step (Fawcett 2006, algorithm 2). Raises ValueError
    unless both classes are present.
    """
    y, score = np.asarray(y).astype(bool), np.asarray(score, dtype=np.float64)
    if y.all() or not y.any():
        raise ValueError("an ROC curve needs images of both classes")
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    positives = np.cumsum(y[order])[last_of_tie]
    negatives = 1 + last_of_tie - positives
    return np.append(0.0, negatives / (~y).sum()), np.append(0.0, positives / y.sum())


def area(y: NDArray[Any], score: NDArray[Any]) -> float:
    """Area under :func:`roc_points`, by trapezoids: equal to the Mann-Whitney statistic, ties counted half."""
    false_rate, true_rate = roc_points(y, score)
    return float(np.trapezoid(true_rate, false_rate))


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
    lines = [np.interp(GRID, *_steps(*roc_points(y, s))) for y, s in defined]
    areas = [area(y, s) for y, s in defined]
    if len(lines) > 1:
        for line in lines:
            axes.plot(GRID, line, color=style["color"], linewidth=0.6, alpha=0.45)
        label = f"{arm}: AUC {np.mean(areas):.3f} ({min(areas):.3f}–{max(areas):.3f}, {len(areas)} seeds)"
    else:
        low, high = _band(*defined[0], rng)
        axes.fill_between(GRID, low, high, color=style["color"], alpha=0.15, linewidth=0)
        label = f"{arm}: AUC {areas[0]:.3f} (1 seed)"
    mean = np.append(0.0, np.mean(lines, axis=0))
    axes.plot(np.append(0.0, GRID), mean, linewidth=1.8, label=label, **style)


def _steps(false_rate: Array, true_rate: Array) -> tuple[Array, Array]:
    """The highest sensitivity at each false positive rate, so that the curve can be read as a function of it."""
    last = np.append(np.flatnonzero(np.diff(false_rate)), len(false_rate) - 1)
    return false_rate[last], true_rate[last]


def _band(y: NDArray[Any], score: NDArray[Any], rng: np.random.Generator, replicates: int = 500) -> tuple[Array, Array]:
    """Pointwise 2.5 and 97.5 % limits of sensitivity on GRID, images resampled within their class."""
    y = np.asarray(y).astype(bool)
    parts = np.flatnonzero(y), np.flatnonzero(~y)
    lines = np.empty((replicates, len(GRID)))
    for b in range(replicates):
        rows = np.concatenate([rng.choice(part, len(part)) for part in parts])
        lines[b] = np.interp(GRID, *_steps(*roc_points(y[rows], np.asarray(score)[rows])))
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
            y = np.concatenate([np.asarray(pair[0]).astype(np.float64) for pair in seeds])
            p = np.concatenate([np.asarray(pair[1], dtype=np.float64) for pair in seeds])
            _reliability_arm(top, i, arm, y, p, len(seeds), bins)
            below.hist(p, bins=50, range=(0, 1), histtype="step", linewidth=1.2, **line_style(i))
        top.set(ylim=(-0.01, 1.01), ylabel=f"observed share of {positive}")
        top.grid(color="#e8e8e8", linewidth=0.6)
        _legend(top)
        below.set(xlim=(0, 1), xlabel=f"predicted probability of {positive}", ylabel="images", yscale="log")
        below.yaxis.set_major_formatter("{x:g}")
        fig.align_ylabels()
        fig.tight_layout()


def _reliability_arm(axes: Axes, i: int, arm: str, y: Array, p: Array, seeds: int, bins: int) -> None:
    style = line_style(i)
    mean_p, share, n = calibration_bins(y, p, bins)
    low, high = _wilson(share, n / seeds)
    bars = np.maximum(np.stack([share - low, high - share]), 0)
    gap = float(np.sum(n * np.abs(share - mean_p)) / n.sum())
    note = f", {seeds} seeds pooled" if seeds > 1 else ""
    axes.errorbar(
        mean_p, share, yerr=bars, label=f"{arm}: mean gap {gap:.3f}{note}", marker="o", markersize=3.5, elinewidth=0.8,
        capsize=1.5, linewidth=1.4, **style,
    )  # fmt: skip


def calibration_bins(y: Array, p: Array, bins: int) -> tuple[Array, Array, Array]:
    """Mean prediction, observed share and count of each non-empty bin of about equally many of ``p`` float [N]."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(edges, p, side="left")
    n = np.bincount(index, minlength=len(edges) + 1).astype(np.float64)
    used = n > 0
    sums = [np.bincount(index, weights=w, minlength=len(n))[used] for w in (p, y)]
    return sums[0] / n[used], sums[1] / n[used], n[used]


def _wilson(share: Array, n: Array, z: float = 1.959964) -> tuple[Array, Array]:
    """Wilson (1927) score interval of a proportion ``share`` of ``n``."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half, centre + half
