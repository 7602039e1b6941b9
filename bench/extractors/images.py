"""Images as extractors take them: rows of an array in memory or on disk, or files that are decoded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from bench.errors import DataError
from bench.keys import digest
from bench.pixels import UInt8


class ImageRows(Protocol):
    """N images: row i is uint8 [H, W, 3]. Arrays [N, H, W, 3], :class:`bench.pixels.PixelView` and files are such."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...


class ImageFiles:
    """Image files as rows uint8 [H, W, 3], each at its own size, decoded when indexed and not kept.

    Distances that are to be compared with published ones take the files as they are: an image that was brought to
    another size before is another image.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [Path(p) for p in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[UInt8]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> UInt8:
        """Row ``index`` as upright 8-bit RGB; raises :class:`DataError` that names a file which is no image."""
        import numpy as np

        from bench.data.decode import BadImage, open_rgb

        path = self.paths[index]
        try:
            return np.asarray(open_rgb(path.read_bytes())[0])
        except FileNotFoundError:
            raise DataError(f"{path}: no such image") from None
        except BadImage as error:
            raise DataError(f"{path}: {error}; remove the file or repair it") from None

    @cached_property
    def key(self) -> str:
        """Content key: sha256 over the sha256 of the files in their order. One changed byte changes it."""
        return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in self.paths])
