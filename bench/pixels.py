"""Pixel arrays that need not be in memory: a view on memory-mapped parts, indexed like an array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]


@runtime_checkable
class PixelArray(Protocol):
    """uint8 [N, H, W, C] that answers to an index, a slice or an index array with an ndarray in memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...


class PixelView:
    """Rows of several pixel arrays in a given order, read only when indexed.

    ``parts``: arrays of uint8 [n_i, H, W, C] with equal H, W, C. ``rows``: int64 [N], positions in the
    concatenation of the parts. Indexing with an int gives [H, W, C], with a slice or an integer array [n, H, W, C].
    """

    def __init__(self, parts: Sequence[PixelArray], rows: NDArray[np.int64] | None = None) -> None:
        if not parts:
            raise ValueError("PixelView needs at least one part")
        shapes = {tuple(p.shape[1:]) for p in parts}
        if len(shapes) != 1:
            raise ValueError(f"image sizes differ between parts: {sorted(shapes)}")
        self.parts = list(parts)
        self.starts = np.cumsum([0, *(len(p) for p in parts)])
        self.rows = np.arange(self.starts[-1]) if rows is None else np.asarray(rows, dtype=np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> UInt8:
        if isinstance(index, tuple):
            return self[index[0]][(slice(None), *index[1:])] if not np.isscalar(index[0]) else self[index[0]][index[1:]]
        if isinstance(index, (int, np.integer)):
            return self._gather(self.rows[int(index)][None])[0]  # type: ignore[no-any-return]
        return self._gather(self.rows[index])

    def _gather(self, rows: NDArray[np.int64]) -> UInt8:
        out = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        part_of = np.searchsorted(self.starts, rows, side="right") - 1
        for p in np.unique(part_of):
            here = np.flatnonzero(part_of == p)
            local = rows[here] - self.starts[p]
            order = np.argsort(local, kind="stable")  # sequential reads of a memory map
            out[here[order]] = self.parts[p][local[order]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        full = self[:]
        return full if dtype is None else full.astype(dtype)

    def take(self, index: NDArray[np.int64]) -> PixelView:
        """The same parts with rows ``index`` [n] of this view."""
        return PixelView(self.parts, self.rows[index])


def take_rows(pixels: PixelArray, index: NDArray[np.int64]) -> PixelArray:
    """Rows ``index`` [n] of ``pixels``: a lazy view for memory maps and views, a copy for arrays in memory."""
    if isinstance(pixels, PixelView):
        return pixels.take(index)
    if isinstance(pixels, np.memmap):
        return PixelView([pixels], index)
    return np.asarray(pixels)[index]


def join_rows(parts: Sequence[PixelArray]) -> PixelArray:
    """Concatenation of ``parts`` along N without copying; one part is returned as it is."""
    return parts[0] if len(parts) == 1 else PixelView(parts)


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices that cover range(n) in steps of ``size``."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
