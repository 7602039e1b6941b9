"""Guard against invisible attacks: an image that is hard only for one network, or only pixel by pixel, teaches nothing.

The loss that guidance bought must survive a blur of 1 pixel and a JPEG of quality 90, and an independently seeded
classifier must see some of it too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images
from bench.keys import digest
from bench.lab import Fitted, Lab
from bench.pixels import PixelArray, UInt8
from protocols.difficulty import cross_entropy

BLUR_SIGMA, JPEG_QUALITY = 1.0, 90


@dataclass(frozen=True)
class Guarded:
    """Which images passed, bool [n], and how many failed by each reason (an image may fail by several)."""

    passed: NDArray[np.bool_]
    reasons: dict[str, int]


def attack_guard(lab: Lab, images: Images, classifier: Fitted, judge: Fitted, keep: float) -> Guarded:
    """Images [n] whose loss under ``classifier`` keeps the share ``keep`` when blurred, as JPEG, and under ``judge``.

    Easy images, with a loss below log 2, have nothing to lose and pass.
    """
    loss = _loss(lab, classifier, images, "guard: as made")
    others = {
        "lost_by_blur": _loss(lab, classifier, altered(images, "blur", blurred), "guard: blurred"),
        "lost_by_jpeg": _loss(lab, classifier, altered(images, "jpeg", as_jpeg), "guard: JPEG"),
        "not_transferred": _loss(lab, judge, images, "guard: independent classifier"),
    }
    hard = loss >= np.log(2)
    failed = {reason: hard & (other < keep * loss) for reason, other in others.items()}
    passed = ~np.any(list(failed.values()), axis=0)
    return Guarded(passed, {reason: int(which.sum()) for reason, which in failed.items()})


def altered(images: Images, name: str, alter: Callable[[PixelArray], UInt8]) -> Images:
    """``images`` with other pixels, known as such: they are looked at and never trained on."""
    return replace(images, pixels=alter(images.pixels), key=digest([images.key, name]))


def blurred(pixels: PixelArray) -> UInt8:
    """uint8 [n, H, W, 3] after a Gaussian blur with a standard deviation of 1 pixel."""
    from scipy.ndimage import gaussian_filter

    values = np.asarray(pixels[:]).astype(np.float32)
    return np.rint(gaussian_filter(values, (0, BLUR_SIGMA, BLUR_SIGMA, 0))).astype(np.uint8)


def as_jpeg(pixels: PixelArray) -> UInt8:
    """uint8 [n, H, W, 3] after JPEG of quality 90, colours at full resolution."""
    from PIL import Image

    out = np.empty(pixels.shape, dtype=np.uint8)
    for i in range(len(pixels)):
        file = io.BytesIO()
        Image.fromarray(np.asarray(pixels[i])).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        out[i] = np.asarray(Image.open(file))
    return out


def _loss(lab: Lab, classifier: Fitted, images: Images, title: str) -> NDArray[np.float64]:
    return cross_entropy(lab.predict(classifier, images, title=title), images.labels)
