"""Images beside images: samples with their nearest training images, and the closest pairs of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images
from bench.figures.canvas import DPI, INK, MUTED, figure
from bench.pixels import UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 96  # images are enlarged to at least this many pixels by a whole factor, so every source pixel stays a square
GAP = 4
COLUMNS = ("real", "synthetic", "nearest train")


@dataclass
class Sheet:
    """A white page in pixels, origin top left, on which tiles and words are placed."""

    width: int
    height: int

    def __post_init__(self) -> None:
        self.pixels = np.full((self.height, self.width, 3), 255, dtype=np.uint8)
        self.words: list[tuple[float, float, str, dict[str, Any]]] = []

    def paste(self, x: int, y: int, tile: UInt8) -> None:
        """Put ``tile`` uint8 [H, W, 3] with its top left corner at (x, y)."""
        self.pixels[y : y + tile.shape[0], x : x + tile.shape[1]] = tile

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """Put ``text`` with the middle of its top at (x, y)."""
        defaults: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 8, "color": INK}
        self.words.append((x, y, text, {**defaults, **style}))

    def save(self, path: Path) -> None:
        """Write the page as PNG, one sheet pixel a file pixel."""
        with figure(path, self.width / DPI, self.height / DPI) as fig:
            self._draw(fig)

    def _draw(self, fig: Figure) -> None:
        fig.figimage(self.pixels, origin="upper")
        for x, y, text, style in self.words:
            fig.text(x / self.width, 1 - y / self.height, text, **style)


def enlarge(image: UInt8, side: int = TILE) -> UInt8:
    """``image`` uint8 [H, W, 3] repeated by the smallest whole factor that makes its longer side >= ``side``."""
    factor = max(1, -(-side // max(image.shape[:2])))
    return np.asarray(image).repeat(factor, axis=0).repeat(factor, axis=1)


def sample_grid(
    path: Path,
    real: Images,
    synthetic: Images,
    nearest: NDArray[np.int64],
    train: Images,
    seed: int,
    per_class: int = 6,
) -> None:
    """For each class, ``per_class`` rows of: a real image | a synthetic one | the training image nearest to it.

    ``nearest`` int64 [M] is the row of ``train`` nearest to each of the M synthetic images (any class: a synthetic
    melanoma whose neighbour is a nevus is worth seeing). Which images are shown is drawn by ``seed``; a class that
    has too few shows empty cells. Raises ValueError if ``nearest`` does not fit ``synthetic`` and ``train``.
    """
    nearest = np.asarray(nearest, dtype=np.int64)
    if nearest.shape != (len(synthetic),):
        raise ValueError(f"nearest has shape {nearest.shape}, expected ({len(synthetic)},): one row of train an image")
    if len(nearest) and not (nearest.min() >= 0 and nearest.max() < len(train)):
        raise ValueError(f"nearest must lie in 0..{len(train) - 1}")
    rng = np.random.default_rng(seed)
    size = enlarge(np.asarray(real.pixels[0] if len(real) else train.pixels[0])).shape[0]
    block, header = 3 * (size + GAP) + 20, 46
    across = min(len(synthetic.class_names), 4)
    down = -(-len(synthetic.class_names) // across)
    depth = header + per_class * (size + GAP) + 10
    sheet = Sheet(20 + across * block, 16 + down * depth)
    for k in range(len(synthetic.class_names)):
        x, y = 20 + (k % across) * block, 8 + (k // across) * depth
        _class_block(sheet, (x, y + header), size, k, per_class, (real, synthetic, train), nearest, rng)
    sheet.save(path)


def _class_block(
    sheet: Sheet,
    corner: tuple[int, int],
    size: int,
    k: int,
    rows: int,
    sets: tuple[Images, Images, Images],
    nearest: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    real, synthetic, train = sets
    x, y = corner
    sheet.write(x, y - 44, _short(synthetic.class_names[k], 40), ha="left", fontsize=10, fontweight="bold")
    for column, title in enumerate(COLUMNS):
        sheet.write(x + column * (size + GAP) + size / 2, y - 18, title, color=MUTED)
    real_rows, synthetic_rows = _draw(real, k, rows, rng), _draw(synthetic, k, rows, rng)
    for row in range(rows):
        top = y + row * (size + GAP)
        if row < len(real_rows):
            sheet.paste(x, top, enlarge(np.asarray(real.pixels[int(real_rows[row])])))
        if row < len(synthetic_rows):
            m = int(synthetic_rows[row])
            sheet.paste(x + size + GAP, top, enlarge(np.asarray(synthetic.pixels[m])))
            sheet.paste(x + 2 * (size + GAP), top, enlarge(np.asarray(train.pixels[int(nearest[m])])))
    if not len(synthetic_rows):
        sheet.write(x + size + GAP + size / 2, y + 8, "none made", color=MUTED)


def _draw(images: Images, k: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most ``n`` positions of class ``k`` without repetition."""
    of_class = np.flatnonzero(images.labels == k)
    return np.sort(rng.permutation(of_class)[:n])


def closest_pairs(
    path: Path,
    synthetic: Images,
    train: Images,
    pairs: NDArray[np.int64],
    distances: Sequence[float] | NDArray[np.floating],
    show: int = 20,
) -> None:
    """The ``show`` closest pairs, each a synthetic image beside the training image it is nearest to.

    ``pairs`` int64 [P, 2] holds (row of ``synthetic``, row of ``train``), ``distances`` float [P] belongs to it; they
    are sorted here, ties in the given order. Raises ValueError on shapes that do not fit.
    """
    pairs, distance = np.asarray(pairs, dtype=np.int64), np.asarray(distances, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or distance.shape != (len(pairs),):
        raise ValueError(f"pairs must be [P, 2] with P distances, got {pairs.shape} and {distance.shape}")
    if not len(pairs):
        raise ValueError("no pairs to show")
    order = np.argsort(distance, kind="stable")[:show]
    size = enlarge(np.asarray(train.pixels[0])).shape[0]
    block, depth, header = 2 * size + GAP + 22, size + 38, 34
    across = min(5, len(order))
    sheet = Sheet(22 + max(across, 2) * block, header + -(-len(order) // across) * depth)
    sheet.write(22, 8, "closest pairs: synthetic (left), training image (right)", ha="left", fontsize=9)
    for place, p in enumerate(order):
        x, y = 22 + (place % across) * block, header + (place // across) * depth
        m, t = (int(i) for i in pairs[p])
        sheet.paste(x, y, enlarge(np.asarray(synthetic.pixels[m])))
        sheet.paste(x + size + GAP, y, enlarge(np.asarray(train.pixels[t])))
        middle = x + size + GAP / 2
        sheet.write(middle, y + size + 4, f"{place + 1}.  d = {distance[p]:#.4g}")
        sheet.write(middle, y + size + 18, _short(str(train.ids[t]), 26), fontsize=6.5, color=MUTED)
    sheet.save(path)


def _short(text: str, n: int) -> str:
    return text if len(text) <= n else f"{text[: n - 1]}…"
