"""Features of the images of a folder (or zip, or tar), made once: hashed, decoded and extracted in one pass.

The store keeps them under the sha256 of every file, the extractor with its weights, and the preprocessing, so that one
changed pixel, weight or resize makes new features, and moving or renaming a folder makes none.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Strings
from bench.data.decode import BadImage, Recipe, open_rgb
from bench.data.sources import IMAGE_SUFFIXES, Source, open_source
from bench.errors import DataError
from bench.extractors import Extractor
from bench.keys import digest, stage_key
from bench.metrics.arrays import Float32
from bench.metrics.features import thumbnails
from bench.pixels import UInt8
from bench.store import Store

BLOCK = 128  # images decoded and extracted at once
SIDE = 16  # of the thumbnails by which copies are looked for
ARRAYS = ("features", "thumbnails")
VERSION = "1"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Listing:
    """The images of one place: names (sorted), their sha256, class ("" without subfolders), and size (W, H)."""

    source: Source
    names: list[str]
    hashes: list[str]
    sizes: list[tuple[int, int]]

    @property
    def classes(self) -> Strings:
        """First folder of each name, "" where images lie in no folder."""
        return np.array([PurePosixPath(n).parts[0] if "/" in n else "" for n in self.names], dtype=np.str_)


@dataclass(frozen=True)
class FeatureSet:
    """features float32 [N, D], thumbnails float32 [N, 16, 16, 3], names and classes str [N] of the images of a place.

    ``extractor`` and ``resize`` say how they were made: sets that differ in one of them are never compared.
    """

    place: str
    features: Float32
    thumbnails: Float32
    names: Strings
    classes: Strings
    extractor: str
    resize: str

    def __len__(self) -> int:
        return len(self.names)

    def turned(self) -> NDArray[np.float32]:
        """Thumbnails in all eight flips and rotations, float32 [8, N, 768]; the first as they are."""
        mirrored = self.thumbnails, np.flip(self.thumbnails, axis=2)
        turns = [np.rot90(side, turn, axes=(1, 2)) for side in mirrored for turn in range(4)]
        return np.stack([np.ascontiguousarray(t).reshape(len(self), -1) for t in turns])


def comparable(*sets: FeatureSet) -> None:
    """Raise :class:`DataError` unless all sets were made by one extractor after one preprocessing."""
    for name, values in (("extractors", {s.extractor for s in sets}), ("resize policies", {s.resize for s in sets})):
        if len(values) > 1:
            said = "; ".join(f"{s.place}: {s.extractor}, {s.resize}" for s in sets)
            raise DataError(f"features of different {name} cannot be compared: {said}")


def list_images(place: Path) -> Listing:
    """Names, hashes and sizes of all images below ``place``, read once; no image is decoded yet.

    Raises :class:`DataError` that names the files which are no images, or a place without any.
    """
    source = open_source(place.expanduser())
    names = [n for n in source.names() if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES]
    with ThreadPoolExecutor(_threads()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(pool.map(lambda name: _header(source, name), names))
    bad = [f"{name}: {what}" for name, what in zip(names, found, strict=True) if isinstance(what, BadImage)]
    if bad:
        raise _unusable(source, bad)
    good = [(name, *what) for name, what in zip(names, found, strict=True) if not isinstance(what, BadImage)]
    if not good:
        raise DataError(f"{place}: no image here ({', '.join(IMAGE_SUFFIXES)})")
    kept, hashes, sizes = (list(column) for column in zip(*good, strict=True))
    return Listing(source, kept, hashes, sizes)


def _header(source: Source, name: str) -> tuple[str, tuple[int, int]] | BadImage:
    """(sha256, (width, height)) of one file."""
    from PIL import Image

    try:
        data = source.read(name)
        if not data:
            raise BadImage("empty file (0 bytes)")
        with Image.open(io.BytesIO(data)) as picture:
            return hashlib.sha256(data).hexdigest(), picture.size
    except BadImage as reason:
        return reason
    except Exception as error:  # Pillow's readers raise many kinds
        return BadImage(f"not an image that Pillow reads ({type(error).__name__})")


def recipe_for(listings: Sequence[Listing], resolution: int | None) -> Recipe | None:
    """The preprocessing of all ``listings``: to ``resolution``, or none (None) where all images are of one size.

    Raises :class:`DataError` that names two files of different size where no resolution is given.
    """
    if resolution is not None:
        return Recipe(resolution)
    first = listings[0]
    width, height = first.sizes[0]
    for listing in listings:
        for name, size in zip(listing.names, listing.sizes, strict=True):
            if size != (width, height):
                raise DataError(
                    f"{listing.source.path / name} is {size[0]} x {size[1]} px, {first.source.path / first.names[0]} "
                    f"{width} x {height}: a difference in size is a difference in blur, which the numbers would show; "
                    "give --resolution N to bring all to N x N by one centre crop and Lanczos resize"
                )
    return None


def resize_name(recipe: Recipe | None, listing: Listing) -> str:
    """What stands in every result: the recipe's name, or the size of images that are taken as they are."""
    return recipe.name if recipe is not None else "{}x{}px as they are".format(*listing.sizes[0])


def feature_set(
    listing: Listing, extractor: Extractor, recipe: Recipe | None, store: Store, say: Say = lambda text: None
) -> FeatureSet:
    """Features of the images of ``listing``, from the store or made now; a killed pass goes on at its last block.

    Raises :class:`DataError` that names damaged files and features that are not finite or not [N, D].
    """
    resize = resize_name(recipe, listing)
    inputs = {"files": digest(listing.hashes), "extractor": extractor.identity, "thumbnails": SIDE}
    inputs["weights"] = getattr(extractor, "weights_sha256", "")
    key = stage_key("folder-features", f"bench.metrics.folders@{VERSION}", {"resize": resize}, inputs, None)
    work = _Pass(listing, extractor, recipe, say)
    describe: dict[str, Any] = {"extractor": extractor.identity, "resize": resize, "n": len(listing.names)}
    stored = store.once("folder-features", key, work.make, **describe).folder
    features, small = (np.load(stored / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS)
    names = np.array(listing.names, dtype=np.str_)
    return FeatureSet(str(listing.source.path), features, small, names, listing.classes, extractor.identity, resize)


@dataclass
class _Pass:
    """One pass over the files of a listing, block by block."""

    listing: Listing
    extractor: Extractor
    recipe: Recipe | None
    say: Say
    bad: list[str] = field(default_factory=list)

    def make(self, out: Path, scratch: Path) -> None:
        blocks = [self._block(start, scratch) for start in range(0, len(self.listing.names), BLOCK)]
        if self.bad:
            raise _unusable(self.listing.source, self.bad)
        for name in ARRAYS:
            np.save(out / f"{name}.npy", np.concatenate([block[name] for block in blocks]), allow_pickle=False)

    def _block(self, start: int, scratch: Path) -> dict[str, Float32]:
        """Features and thumbnails of one block of images, kept in ``scratch`` until all are there.

        After a file that cannot be decoded, later blocks are only decoded, to find all such files.
        """
        path = scratch / f"{start:08d}.npz"
        if not path.exists():
            pixels = self._decoded(self.listing.names[start : start + BLOCK])
            if self.bad:
                return {}
            features = _checked(self.extractor(pixels), self.listing, start, len(pixels))
            temporary = path.with_suffix(".part")
            with temporary.open("wb") as file:
                np.savez(file, features=features, thumbnails=thumbnails(_square(pixels), SIDE))
            os.replace(temporary, path)
            self.say(f"{self.listing.source.path}: {start + len(pixels):,} of {len(self.listing.names):,} images")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def _decoded(self, names: Sequence[str]) -> UInt8:
        """uint8 [b, H, W, 3] of the files that can be decoded; the others go to ``bad`` with their reasons."""
        with ThreadPoolExecutor(_threads()) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = list(pool.map(self._image, names))
        self.bad += [f"{name}: {what}" for name, what in zip(names, found, strict=True) if isinstance(what, BadImage)]
        good = [what for what in found if not isinstance(what, BadImage)]
        return np.stack(good) if good else np.empty((0, SIDE, SIDE, 3), dtype=np.uint8)

    def _image(self, name: str) -> UInt8 | BadImage:
        try:
            data = self.listing.source.read(name)
            if self.recipe is not None:
                return self.recipe.image(data)[0]
            image = np.asarray(open_rgb(data)[0])
        except BadImage as reason:
            return reason
        width, height = self.listing.sizes[0]
        if image.shape[:2] != (height, width):
            return BadImage(f"is {image.shape[1]} x {image.shape[0]} px once it is upright; give --resolution N")
        return image


def _square(pixels: UInt8) -> UInt8:
    """The centre squares of uint8 [b, H, W, 3]: only these can be turned."""
    height, width = pixels.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _checked(features: Any, listing: Listing, start: int, n: int) -> Float32:
    array = np.asarray(features, dtype=np.float32)
    if array.ndim != 2 or len(array) != n:
        raise DataError(f"the extractor gave shape {array.shape} for {n} images, expected [{n}, D]")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise DataError(f"{listing.source.path / listing.names[start + int(bad[0])]}: its features are not finite")
    return array


def _unusable(source: Source, bad: Sequence[str]) -> DataError:
    more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
    images = "image" if len(bad) == 1 else "images"
    return DataError(
        f"{source.path}: {len(bad)} unusable {images}: {'; '.join(bad[:10])}{more}. Replace or remove them"
    )


def _threads() -> int:
    return max(1, min(16, os.cpu_count() or 1))
