"""Checkerboards, near-duplicates and missing lesions among the images of two folders, at a bounded cost.

The detectors are those of a run (:func:`bench.metrics.measure_failures`). What they read from an image is kept in the
store as features are, so that each image is decoded and segmented once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
from pydantic import BaseModel

from bench.contracts import Estimate, Options
from bench.errors import UndefinedMetric
from bench.extractors.images import ImageRows
from bench.metrics.arrays import Float32
from bench.metrics.checkerboard import checkerboard_of, peak_excess
from bench.metrics.duplicates import duplicate_rate_of
from bench.metrics.estimates import PREFIX, defined
from bench.metrics.folders import FeatureSet, Listing
from bench.metrics.lesion import Salience, no_lesion_rate_of, segment_lesions

INSPECTED = 500  # images a side: at 256 px a spectrum and a segmentation take longer than many a network


class Looks:
    """What the detectors read from single images, in the shape of an extractor.

    float32 [N, 2 + G]: share of the image and contrast of its segmented lesion, then the excess of power at each grid
    frequency; [N, 2] where images are too small or not square, and no grid can be looked for.
    """

    version: ClassVar[str] = "1"
    Config: ClassVar[type[BaseModel]] = Options
    identity, weights_sha256 = "failures@1", ""

    def __call__(self, pixels: ImageRows) -> Float32:
        """float32 [N, 2 + G] of uint8 [N, H, W, 3]."""
        images = np.asarray(pixels)
        lesions = segment_lesions(images)
        columns = [lesions.area[:, None], lesions.contrast[:, None]]
        if not _why_no_grid(int(images.shape[1]), int(images.shape[2])):
            columns.append(peak_excess(images))
        return np.concatenate(columns, axis=1).astype(np.float32)


def inspected(listing: Listing) -> Listing:
    """At most 500 images of ``listing``, those whose sha256 comes first, in that order: names decide nothing."""
    first = sorted(range(len(listing.hashes)), key=lambda i: listing.hashes[i])[:INSPECTED]
    names, hashes = ([column[i] for i in first] for column in (listing.names, listing.hashes))
    return Listing(listing.source, names, hashes, [listing.sizes[i] for i in first])


def folder_failures(real: FeatureSet, synthetic: FeatureSet, size: tuple[int, int], seed: int) -> dict[str, Estimate]:
    """Estimates "checkerboard", "duplicate_rate" and "no_lesion_rate" from the :class:`Looks` at both sides.

    ``size``: (height, width) of the images. What has no value keeps its reason.
    """
    x, y, n = real.features, synthetic.features, len(synthetic)

    def grids() -> Estimate:
        if why := _why_no_grid(*size):
            raise UndefinedMetric(why)
        found = checkerboard_of(x[:, 2:].astype(np.float64), y[:, 2:].astype(np.float64), seed)
        return replace(found, extra={**found.extra, "null": 1.0})

    def lesions() -> Estimate:
        sides = (Salience(s[:, 0].astype(np.float64), s[:, 1].astype(np.float64)) for s in (x, y))
        return no_lesion_rate_of(*sides)

    return {
        "checkerboard": defined(grids, n, "lower"),
        "duplicate_rate": defined(partial(duplicate_rate_of, real.turned(), synthetic.turned(), seed), n, "lower"),
        "no_lesion_rate": defined(lesions, n, "lower"),
    }


def _why_no_grid(height: int, width: int) -> str:
    """Why no checkerboard can be looked for in images of this size, "" where it can."""
    try:
        peak_excess(np.empty((0, height, width, 3), dtype=np.uint8))
    except UndefinedMetric as error:
        return str(error).removeprefix(PREFIX)
    return ""
