"""The known failures of generators, each as a number with an interval: checkerboards, duplicates, no lesion."""

from __future__ import annotations

from functools import partial

from bench.contracts import Estimate, Strings
from bench.metrics.checkerboard import checkerboard
from bench.metrics.duplicates import duplicate_rate
from bench.metrics.estimates import defined
from bench.metrics.lesion import no_lesion_rate
from bench.pixels import PixelArray


def measure_failures(
    held_out: PixelArray,
    synthetic: PixelArray,
    groups: Strings | None = None,
    seed: int = 0,
    replicates: int = 1_000,
) -> dict[str, Estimate]:
    """Estimates "checkerboard", "duplicate_rate" and "no_lesion_rate" of ``synthetic`` uint8 [M, S, S, 3].

    ``held_out`` uint8 [N, S, S, 3]: reals that the generator never saw, ``groups`` str [N] their lesions or patients.
    What has no value keeps its reason. Raises :class:`bench.errors.DataError` for images of unequal or odd sizes.
    """
    n = len(synthetic)
    return {
        "checkerboard": defined(partial(checkerboard, held_out, synthetic, seed, replicates), n, "lower"),
        "duplicate_rate": defined(partial(duplicate_rate, held_out, synthetic, groups, seed), n, "lower"),
        "no_lesion_rate": defined(partial(no_lesion_rate, held_out, synthetic), n, "lower"),
    }
