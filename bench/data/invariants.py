"""Hard invariants: what breaks them raises :class:`LeakError` that names the images, and is never only warned about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.contracts import Images, Strings
from bench.data.duplicates import (
    HASH_DISTANCE,
    SYMMETRIES,
    Matches,
    hash_of,
    hash_pairs,
    low_frequencies,
    matches,
    perceptual_hash,
)
from bench.errors import LeakError

SYNTHETIC_PREFIX = "syn-"
COPY_CORRELATION = 0.95
COPY_RMS = 5.0


def check_disjoint(a: Images, b: Images, what: str) -> None:
    """No image, no group and no near-duplicate is in both ``a`` and ``b``; ``what`` says which sets these are.

    As they are, pictures are near-duplicates by the rule that joins groups; mirrored or turned, by that of
    :func:`check_generator_output`: on HAM10000 at 32 px no pair of train and any other split is.
    """
    for kind, left, right in (("id", a.ids, b.ids), ("group", a.groups, b.groups)):
        shared = np.intersect1d(left, right)
        if len(shared):
            raise LeakError(f"{what}: {len(shared)} shared {kind}s: {_some(shared)}")
    candidates = hash_pairs(perceptual_hash(a.pixels), perceptual_hash(b.pixels), HASH_DISTANCE)
    found = matches(a.pixels, b.pixels, candidates)
    if len(found):
        raise LeakError(f"{what}: {len(found)} near-duplicate pairs: {_pairs(found, a, b)}")
    if len(found := near_copies(a, b)):
        pairs = _pairs(found, a, b)
        raise LeakError(
            f"{what}: {len(found)} near-duplicate pairs, mirrored or turned: {pairs}; leave one of each out"
        )


def check_no_synthetic(images: Images, where: str) -> None:
    """Every image of an evaluation set is real, by source and by id."""
    synthetic = images.ids[np.char.startswith(images.ids.astype(np.str_), SYNTHETIC_PREFIX)]
    if len(synthetic):
        raise LeakError(f"{where}: {len(synthetic)} synthetic images in an evaluation set: {_some(synthetic)}")
    if images.source != "real":
        raise LeakError(f"{where}: the source of an evaluation set is {images.source!r}, it must be 'real'")


def check_subset(ids: Sequence[str] | Strings, images: Images, what: str) -> None:
    """Every id is one of ``images``, e.g. mined ids of train."""
    stray = np.setdiff1d(np.asarray(ids, dtype=np.str_), images.ids)
    if len(stray):
        raise LeakError(f"{what}: {len(stray)} ids are not in the set they must come from: {_some(stray)}")


def check_generator_output(synthetic: Images, forbidden: Images, where: str = "evaluation") -> None:
    """A generator must not give back images that only evaluation may see; ``where`` names the split these are.

    A synthetic image is a copy of a forbidden one if, in any of the eight orientations, the 32-pixel thumbnails differ
    by an RMS of at most 5 of 255 or their fine detail correlates at least 0.95. Measured on HAM10000 at 32 px against
    2,500 forbidden images: none of 3,000 held-out reals, 6,000 PCA-Gaussian draws, 6,000 blurred reals (SD 1 and 2) and
    3,000 mixtures of two is taken for a copy (nearest: RMS 7.1, correlation 0.87); all of 1,500 copies with noise of
    SD 2 are found. Raises :class:`LeakError` that names the pairs and the split.
    """
    found = near_copies(synthetic, forbidden)
    if len(found):
        share = len(np.unique(found.pairs[:, 0])) / len(synthetic)
        raise LeakError(
            f"{synthetic.source}: {share:.1%} of {len(synthetic)} synthetic images are copies of held-out real images "
            f"({where}): {_pairs(found, synthetic, forbidden)}. The generator has seen what only evaluation may see"
        )


def near_copies(synthetic: Images, forbidden: Images) -> Matches:
    """Pairs (row of synthetic, row of forbidden) by the rule of :func:`check_generator_output`."""
    hashes, frequencies = perceptual_hash(synthetic.pixels), low_frequencies(forbidden.pixels)
    parts = []
    for symmetry in SYMMETRIES:
        candidates = hash_pairs(hashes, hash_of(frequencies, symmetry), HASH_DISTANCE)
        parts.append(
            matches(
                synthetic.pixels,
                forbidden.pixels,
                candidates,
                correlation=COPY_CORRELATION,
                rms=COPY_RMS,
                symmetry=symmetry,
            )
        )
    return Matches(
        np.concatenate([p.pairs for p in parts]),
        np.concatenate([p.correlation for p in parts]),
        np.concatenate([p.rms for p in parts]),
    )


def _pairs(found: Matches, a: Images, b: Images) -> str:
    closest = found.pairs[np.argsort(found.rms, kind="stable")]
    return _some([f"{a.ids[i]} = {b.ids[j]}" for i, j in closest])


def _some(names: Sequence[str] | Strings, most: int = 5) -> str:
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
