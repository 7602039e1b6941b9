"""What all pictures share: colours that colour-blind readers can tell apart, one look, reproducible bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
INK = "#222222"
MUTED = "#6b6b6b"

# Okabe & Ito, "Color Universal Design" (2008), without yellow (unreadable on white) and with black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))


def line_style(i: int) -> dict[str, Any]:
    """Colour and dash pattern of the i-th arm: told apart by both, so a grey print is readable too."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A blank figure of ``width`` x ``height`` inches that is written to ``path`` when the block ends.

    Nothing is written if the block raises. The file holds no date and no software version.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 9,
                "font.family": "DejaVu Sans",
                "text.color": INK,
                "text.parse_math": False,  # a class or generator name with $ is a name, not a formula
                "axes.edgecolor": MUTED,
                "axes.labelcolor": INK,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "xtick.color": MUTED,
                "ytick.color": MUTED,
                "legend.frameon": False,
            }
        )
        fig = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(fig)
        yield fig
        _write(fig, path)


def _write(fig: Figure, path: Path) -> None:
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fig.savefig(temp, format="png", dpi=DPI, metadata={"Software": None})
        os.replace(temp, path)
    finally:
        temp.unlink(missing_ok=True)
