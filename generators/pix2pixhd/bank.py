"""The maps and looks of training images that new images are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels
from bench.errors import DataError
from bench.pixels import UInt8
from generators._diffusion.options import Augment
from generators.pix2pixhd.deform import moved_ids, moved_masks, random_field, turned

Ids = NDArray[np.uint16]


def spread(labels: Labels, most: int) -> NDArray[np.int64]:
    """Rows of ``labels`` [N], at even distances, at most ``most`` a class."""
    chosen = []
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        even = np.linspace(0, len(members) - 1, min(most, len(members)))
        chosen.append(members[np.rint(even).astype(np.int64)])
    return np.sort(np.concatenate(chosen))


@dataclass
class MapBank:
    """Masks uint8 [N, H, W, C] of 0 and 255 with labels int64 [N], and superpixels uint16 [N, H, W] or None."""

    labels: Labels
    masks: UInt8
    ids: Ids | None
    augment: Augment
    deform: float

    def draw(self, label: int, rng: np.random.Generator) -> tuple[UInt8, Ids | None]:
        """A deformed map of a training image of class ``label``: masks [H, W, C] and superpixels [H, W] or None.

        A deformation that moves the lesion out of the image is left away.
        """
        row = rng.choice(self._members(label))
        stack, ids = self._turned(row, rng)
        field = random_field((stack.shape[0], stack.shape[1]), self.deform, rng)
        moved = moved_masks(stack, field) if self.deform else stack
        if not moved[..., 0].any():
            return stack, ids
        return moved, ids if ids is None or not self.deform else moved_ids(ids, field)

    def layout(self, label: int, rng: np.random.Generator) -> Ids | None:
        """Superpixels [H, W] of a training image of class ``label``, turned at random; None if there are none."""
        return self._turned(rng.choice(self._members(label)), rng)[1]

    def _turned(self, row: int, rng: np.random.Generator) -> tuple[UInt8, Ids | None]:
        state = rng.bit_generator.state
        stack = turned(self.masks[row], self.augment, rng)
        if self.ids is None:
            return stack, None
        rng.bit_generator.state = state  # masks and superpixels turn alike
        return stack, turned(self.ids[row][..., None], self.augment, rng)[..., 0]

    def _members(self, label: int) -> NDArray[np.int64]:
        members = np.flatnonzero(self.labels == label)
        if not len(members):
            raise DataError(
                f"no training image of class {label} has a lesion mask, so there is no map to paint: "
                "give masks of that class, or paint your own with a class that was trained"
            )
        return members

    def state(self) -> dict[str, Any]:
        """Tree of arrays, masks as bits."""
        found = {"labels": self.labels, "shape": list(self.masks.shape), "bits": np.packbits(self.masks > 127)}
        return found if self.ids is None else {**found, "ids": self.ids}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], augment: Augment, deform: float) -> Self:
        """The bank whose ``state`` this is."""
        shape = tuple(state["shape"])
        inside = np.unpackbits(np.asarray(state["bits"]), count=int(np.prod(shape))).reshape(shape)
        ids = np.asarray(state["ids"]) if "ids" in state else None
        return cls(np.asarray(state["labels"]), inside * np.uint8(255), ids, augment, deform)


@dataclass
class StyleBank:
    """Styles float32 [N, D] of training images with labels int64 [N]; new ones by a smoothed bootstrap.

    The paper draws K-means centres a region (section 3.4). Here the looks of all regions of an image are one vector,
    so that lesion and skin fit together: a training image's own, moved toward the mean of its class and widened by
    normal noise of the class covariance, so that mean and covariance stay (Silverman & Young 1987,
    doi:10.1093/biomet/74.3.469), with bandwidth h = n^(-1 / (d + 4)) (Scott 1992). Styles of one image are much alike,
    so d is the number of dimensions that they fill, (tr C)^2 / tr C^2 of their covariance C, and not D: of HAM10000's
    5,000 images of other lesions noise is then a tenth of the variance that is drawn, with D = 24 a third.
    """

    labels: Labels
    styles: NDArray[np.float32]
    _filled: dict[int, float] = field(default_factory=dict, repr=False)

    def draw(self, label: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """A style float32 [D] for class ``label``, independent of any map."""
        own = self.styles[self.labels == label]
        n, size = own.shape
        if not size:
            return np.zeros(0, dtype=np.float32)
        if not n:
            raise DataError(f"no training image of class {label} has a lesion mask, so its looks are not known")
        mean, h = own.mean(axis=0), n ** (-1.0 / (self._dimensions(label) + 4))
        noise = rng.standard_normal(n) @ (own - mean) / np.sqrt(max(1, n - 1))
        drawn = mean + (own[rng.integers(n)] - mean + h * noise) / np.sqrt(1 + h * h)
        return np.asarray(drawn, dtype=np.float32)

    def _dimensions(self, label: int) -> float:
        """(tr C)^2 / tr C^2 of the styles of class ``label``: how many dimensions they fill, 1 to D."""
        if label not in self._filled:
            own = self.styles[self.labels == label].astype(np.float64)
            c = np.atleast_2d(np.cov(own.T, bias=True))
            square = float((c * c).sum())
            self._filled[label] = float(np.trace(c)) ** 2 / square if square > 0 else 1.0
        return self._filled[label]
