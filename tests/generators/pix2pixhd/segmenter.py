"""A classical segmenter that knows nothing of the masks: distance to the colour of the rim, cut by Otsu's method."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def segment(image: NDArray[np.uint8]) -> Mask:
    """The lesion in ``image`` uint8 [H, W, 3], bool [H, W]: the largest region unlike the skin, its holes filled."""
    from scipy.ndimage import binary_fill_holes, gaussian_filter, label

    pixels, rim = image.astype(np.float64), max(1, image.shape[0] // 16)
    frame = np.ones(image.shape[:2], dtype=bool)
    frame[rim:-rim, rim:-rim] = False
    distance = np.linalg.norm(pixels - np.median(pixels[frame], axis=0), axis=-1)
    distance = gaussian_filter(distance, image.shape[0] / 64)
    pieces, n = label(distance > otsu(distance))
    if n == 0:
        return np.zeros_like(frame)
    return np.asarray(binary_fill_holes(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])))


def otsu(values: NDArray[np.float64]) -> float:
    """Cut that maximises the variance between the two sides (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, 64)
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts)[:-1], counts.sum()
    moment = np.cumsum(counts * centres)[:-1]
    mean = (counts * centres).sum() / total
    between = (mean * below - moment) ** 2 / np.maximum(below * (total - below), 1)
    return float(edges[1 + int(np.argmax(between))])


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two masks; 1 if both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def obedience(images: NDArray[np.uint8], masks: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean IoU of the segmented lesions of ``images`` with their ``masks`` [N, H, W, C], and with their neighbours'."""
    inside = masks[..., 0] > 127
    found = [segment(image) for image in images]
    own = np.mean([overlap(f, m) for f, m in zip(found, inside, strict=True)])
    other = np.mean([overlap(f, m) for f, m in zip(found, np.roll(inside, 1, axis=0), strict=True)])
    return float(own), float(other)
