"""Is there a lesion? A classical segmentation of dermoscopy images, and the share of images where it finds too little.

Lesions are darker than skin, and illumination varies slowly. An image is projected on the colour axis along which its
pixels vary most (Karhunen-Loeve; Silveira et al. 2009, doi:10.1109/JSTSP.2008.2011119, compare such thresholding),
freed of a slow trend, smoothed, and cut at Otsu's threshold (Otsu 1979, doi:10.1109/TSMC.1979.4310076). Of the dark
regions that with most area near the centre is kept, and its holes are filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.contracts import Estimate
from bench.errors import DataError, UndefinedMetric
from bench.metrics.arrays import Bool, Float, Share
from bench.metrics.estimates import of_share
from bench.metrics.features import blocks
from bench.pixels import PixelArray, UInt8

LEAST = 100  # reals: the 1 % quantile of fewer is the smallest of them
NULL = 0.01
BINS = 128
SMOOTHING = 1 / 25  # SD of the blur, of the side
# Dermoscopy images are taken of a lesion, so it lies about the centre, and corners are dark for other reasons.
CENTRE = 0.12  # SD of the weight of a pixel when regions are compared, of the side
GENEROSITY = 0.4  # the cut lies this share of the way from Otsu's threshold to skin, as people draw borders


@dataclass(frozen=True)
class Salience:
    """How much the lesions of N images stand out.

    area      float64 [N], share of the image
    contrast  float64 [N], mean of skin minus mean of lesion on the colour axis, in grey levels
    """

    area: Float
    contrast: Float

    @property
    def salience(self) -> Float:
        """contrast * sqrt(area) [N]: how far a disc of this size and depth stands out of even noise, up to a factor."""
        return self.contrast * np.sqrt(self.area)


@dataclass(frozen=True)
class Lesions(Salience):
    """Segmented lesions of N images: their ``masks`` bool [N, H, W] too."""

    masks: Bool


def segment_lesions(pixels: PixelArray) -> Lesions:
    """The lesion in each of ``pixels`` uint8 [N, H, W, 3], as well as a threshold can tell; never empty-handed.

    An image without any lesion gets the darkest region about its centre, which has little contrast.
    """
    found = [_segment(block) for block in blocks(pixels)]
    if not found:
        return Lesions(np.zeros(0), np.zeros(0), np.zeros((0, *pixels.shape[1:3]), dtype=bool))
    masks, area, contrast = (np.concatenate(column) for column in zip(*found, strict=True))
    return Lesions(area, contrast, masks)


def dice(a: Bool, b: Bool) -> Float:
    """Dice coefficient float64 [N] of masks bool [N, H, W]: 2 |A and B| / (|A| + |B|), 1 where both are empty."""
    if a.shape != b.shape:
        raise DataError(f"masks of shapes {a.shape} and {b.shape} cannot be compared")
    both, either = (a & b).sum(axis=(1, 2)), a.sum(axis=(1, 2)) + b.sum(axis=(1, 2))
    return np.asarray(np.divide(2.0 * both, either, out=np.ones(len(a)), where=either > 0))


def no_lesion_rate(held_out: PixelArray, synthetic: PixelArray) -> Estimate:
    """Share of ``synthetic`` uint8 [M, H, W, 3] whose lesion stands out less than in 99 % of ``held_out`` [N, H, W, 3].

    Standing out is ``salience``: contrast times the square root of the area. Reals score 0.01 by construction, images
    of bare skin about 1. ``extra``: the threshold, and the shares that fall below the reals' 1 % quantile of area and
    of contrast alone. Raises :class:`UndefinedMetric` with fewer than 100 reals or without synthetic images.
    """
    _enough(len(held_out))
    if tuple(held_out.shape[1:3]) != tuple(synthetic.shape[1:3]):
        raise DataError(f"real images are {held_out.shape[1:3]} pixels, synthetic ones {synthetic.shape[1:3]}")
    return no_lesion_rate_of(segment_lesions(held_out), segment_lesions(synthetic))


def no_lesion_rate_of(reals: Salience, drawn: Salience) -> Estimate:
    """:func:`no_lesion_rate` from what was segmented in N held-out and M synthetic images."""
    _enough(len(reals.area))
    threshold = float(np.quantile(reals.salience, NULL, method="lower"))
    share = Share(int((drawn.salience < threshold).sum()), len(drawn.area))
    method = "segmented lesion's contrast x sqrt(area) below the 1 % quantile of held-out reals"
    estimate = of_share(share, "lower", method)
    extra = {
        "threshold": threshold,
        "null": NULL,
        "share_small": float((drawn.area < np.quantile(reals.area, NULL, method="lower")).mean()),
        "share_faint": float((drawn.contrast < np.quantile(reals.contrast, NULL, method="lower")).mean()),
        "median_area": float(np.median(drawn.area)),
        "median_area_real": float(np.median(reals.area)),
    }
    return Estimate(**{**vars(estimate), "extra": {**estimate.extra, **extra}})


def _enough(held_out: int) -> None:
    if held_out < LEAST:
        raise UndefinedMetric(f"undefined, because there are {held_out} held-out images and {LEAST} are needed")


def _segment(block: UInt8) -> tuple[Bool, Float, Float]:
    """(masks [n, H, W], area [n], contrast [n]) of uint8 [n, H, W, 3]."""
    from scipy.ndimage import gaussian_filter

    side = min(block.shape[1:3])
    dark = _darkness(block.astype(np.float64))
    smooth = gaussian_filter(dark, (0, SMOOTHING * side, SMOOTHING * side), mode="nearest")
    trend = _trend(smooth)
    flat = smooth - trend
    cuts = otsu(flat) * (1.0 - GENEROSITY)  # skin is at 0: the trend is that of the border
    masks = np.stack([_central(image > cut) for image, cut in zip(flat, cuts, strict=True)])
    area = masks.mean(axis=(1, 2))
    dark -= trend
    inside = (dark * masks).sum(axis=(1, 2)) / np.maximum(masks.sum(axis=(1, 2)), 1)
    outside = (dark * ~masks).sum(axis=(1, 2)) / np.maximum((~masks).sum(axis=(1, 2)), 1)
    return masks, area, np.where((area > 0) & (area < 1), inside - outside, 0.0)


def _darkness(x: Float) -> Float:
    """The projection [n, H, W] of colours [n, H, W, 3] on their first principal axis, larger where it is darker."""
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    covariance = np.einsum("nhwa,nhwb->nab", centred, centred)
    axis = np.linalg.eigh(covariance)[1][..., -1]
    axis = axis * np.where(axis.sum(axis=1, keepdims=True) > 0, -1.0, 1.0)
    return np.asarray(np.einsum("nhwc,nc->nhw", centred, axis))


def _trend(x: Float) -> Float:
    """Plane [n, H, W] through the border of each image, where skin is seen: the slope of the illumination."""
    v, u = np.mgrid[-1 : 1 : x.shape[1] * 1j, -1 : 1 : x.shape[2] * 1j]
    terms = np.stack([np.ones_like(v), v, u], axis=-1)
    border = np.maximum(np.abs(v), np.abs(u)) > 0.85
    fit = np.linalg.pinv(terms[border]) @ x[:, border].T
    return np.asarray(np.einsum("hwk,kn->nhw", terms, fit))


def otsu(x: Float) -> Float:
    """Otsu's threshold [n] of the values of each of ``x`` [n, H, W], from a histogram of 128 bins.

    An image of one value has that value as its threshold.
    """
    rows = x.reshape(len(x), -1)
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    width = np.where(high > low, high - low, 1.0)
    codes = np.minimum(((rows - low) / width * BINS).astype(np.int64), BINS - 1)
    counts = np.stack([np.bincount(c, minlength=BINS) for c in codes]).astype(np.float64)
    centres = np.arange(BINS) + 0.5
    below, mass = np.cumsum(counts, axis=1), np.cumsum(counts * centres, axis=1)
    above = below[:, -1:] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (mass / below - (mass[:, -1:] - mass) / above) ** 2
    best = np.nan_to_num(between).argmax(axis=1)[:, None]
    return np.asarray((low + np.where(high > low, (best + 1) / BINS, 0.0) * width)[:, 0])


def _central(dark: Bool) -> Bool:
    """The region of ``dark`` bool [H, W] with most area about the centre, its holes filled."""
    from scipy.ndimage import binary_fill_holes, label

    regions, n = label(dark, structure=np.ones((3, 3)))
    if n == 0:
        return dark
    mass = np.bincount(regions.ravel(), _about_centre(*dark.shape).ravel())
    mass[0] = 0.0
    return np.asarray(binary_fill_holes(regions == mass.argmax()), dtype=bool)


@lru_cache(maxsize=16)
def _about_centre(height: int, width: int) -> Float:
    """Gaussian weights [H, W] about the middle."""
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j] / 2
    return np.asarray(np.exp(-(v**2 + u**2) / (2 * CENTRE**2)))
