"""Pictures of a run: sample grids, closest pairs, hard cases with their children, ROC, reliability, amounts.

Every function writes one PNG atomically; equal input gives equal bytes. Matplotlib is imported when a picture is
drawn and not before, and its global state (``pyplot``, ``rcParams``) is left as it was found.
"""

from bench.figures.amounts import amounts_plot, has_amounts
from bench.figures.curves import reliability_plot, roc_plot
from bench.figures.families import families_picture
from bench.figures.grids import closest_pairs, sample_grid

__all__ = [
    "amounts_plot",
    "closest_pairs",
    "families_picture",
    "has_amounts",
    "reliability_plot",
    "roc_plot",
    "sample_grid",
]
