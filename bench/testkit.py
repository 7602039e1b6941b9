"""Tiny images and failing contexts: what contract tests run on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.context import StageContext
from bench.contracts import Images
from bench.pixels import PixelView

PICKLE_SUFFIXES = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin"}
PICKLE_START = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class KilledError(BaseException):
    """Ends a fit as a kill would: no handler of ordinary errors sees it."""


class RehearsalContext(StageContext):
    """A context that counts the checkpoints it is offered, and may die after storing the one numbered ``store_at``."""

    def __init__(self, folder: Path, seed: int = 0, store_at: int | None = None) -> None:
        super().__init__(seed, folder, checkpoint_seconds=float("inf"), name="check")
        self.offers, self.store_at = 0, store_at

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Store the chosen offer; die at the next one, so that work after the checkpoint is lost, as in life."""
        self.offers += 1
        if self.store_at is None:
            return
        if self.offers > self.store_at:
            raise KilledError
        self.checkpoint_seconds = -1.0 if self.offers == self.store_at else float("inf")
        super().checkpoint(step, state)


def on_disk(images: Images, folder: Path) -> Images:
    """The same images with pixels that are read from disk when indexed, as the harness gives them."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "pixels.npy", np.asarray(images.pixels), allow_pickle=False)
    mapped = PixelView([np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)])
    masks = None
    if images.masks is not None:
        np.save(folder / "masks.npy", np.asarray(images.masks), allow_pickle=False)
        masks = PixelView([np.load(folder / "masks.npy", mmap_mode="r", allow_pickle=False)])
    return replace(images, pixels=mapped, masks=masks)


def pickles(folder: Path) -> list[str]:
    """Files below ``folder`` that hold, or by their suffix may hold, a pickle."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return [str(p.relative_to(folder)) for p in files if p.suffix in PICKLE_SUFFIXES or _is_pickle(p)]


def _is_pickle(file: Path) -> bool:
    if file.suffix in (".npy", ".npz"):
        try:
            stored = np.load(file, allow_pickle=False)
            for name in getattr(stored, "files", []):
                stored[name]
        except ValueError:
            return True
        return False
    with file.open("rb") as stream:
        return stream.read(2) in PICKLE_START


def tiny_images(
    per_class: int | tuple[int, ...] = 12, size: int = 16, classes: int = 2, seed: int = 0, prefix: str = "tiny"
) -> Images:
    """Small drawings of moles: ``per_class`` of each class (or one number a class), uint8 [N, size, size, 3].

    A darker blurred ellipse on skin; its colour and elongation shift with the class, every image differs. The mask,
    uint8 [N, size, size, 1], is the ellipse. Groups hold two images each. Equal arguments give equal images.
    """
    counts = (per_class,) * classes if isinstance(per_class, int) else per_class
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    rng = np.random.default_rng([seed, size, len(counts)])
    moles = np.stack([_mole(int(k), size, rng) for k in labels]) if len(labels) else np.zeros((0, size, size, 4))
    names = np.array([f"{prefix}-{i:04d}" for i in range(len(labels))], dtype=np.str_)
    groups = np.array([f"{prefix}-g{i // 2:04d}" for i in range(len(labels))], dtype=np.str_)
    class_names = ("other", "melanoma", *(f"class{k}" for k in range(2, len(counts))))[: len(counts)]
    moles = moles.astype(np.uint8)
    return Images(moles[..., :3], labels, names, groups, class_names, masks=moles[..., 3:])


def _mole(k: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    v, u = np.mgrid[:size, :size] / (size - 1) - 0.5
    angle, elongation = rng.uniform(0, np.pi), 1 + 0.5 * k + rng.uniform(0, 0.3)
    a, b = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    radius = np.hypot(a - rng.uniform(-0.1, 0.1), elongation * (b - rng.uniform(-0.1, 0.1)))
    inside = 1 / (1 + np.exp((radius - rng.uniform(0.2, 0.35)) * 25))[..., None]
    skin = np.array([224, 180, 160]) + rng.normal(0, 8, 3)
    pigment = np.array([120, 80, 60]) - 25 * k * np.array([1, 0.6, -0.4]) + rng.normal(0, 8, 3)
    image = skin * (1 - inside) + pigment * inside + rng.normal(0, 4, (size, size, 3))
    return np.concatenate([np.rint(image.clip(0, 255)), 255 * (inside > 0.5)], axis=-1)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        yield Path(folder)


def same(expected: Any, found: Any, what: str) -> None:
    """Assert that two arrays are equal to the bit; ``what`` names the second."""
    expected, found = np.asarray(expected), np.asarray(found)
    assert expected.shape == found.shape, f"{what} differs in shape: {found.shape}, not {expected.shape}"
    differ = int((expected != found).reshape(len(expected), -1).any(axis=1).sum())
    assert not differ, f"{what} differs in {differ} of {len(expected)} rows"
