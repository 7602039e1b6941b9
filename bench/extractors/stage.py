"""Features of a set of images as a stage of a run: computed once, and gone on with where they were killed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.context import StageContext
from bench.contracts import Images
from bench.errors import StageError
from bench.extractors import Extractor
from bench.extractors.images import ImageRows
from bench.extractors.network import BATCH, NetworkExtractor
from bench.workbench import Workbench

Float32 = NDArray[np.float32]
ROWS = "features.f32"


def features_stage(bench: Workbench, extractor: Extractor, images: Images, title: str) -> Float32:
    """Features float32 [N, D] of ``images`` as a memory map; the key is made of pixels, weights and identity.

    Rows are appended to a file of the stage's scratch folder, batch by batch, and never all in memory.
    """

    def make(ctx: StageContext) -> tuple[Float32, Mapping[str, Any]]:
        if isinstance(extractor, NetworkExtractor):
            extractor.device = ctx.device
            return append_rows(extractor, images.pixels, ctx), {"n": len(images)}
        return np.asarray(extractor(images.pixels), dtype=np.float32), {"n": len(images)}

    config = {"extractor": extractor.identity, "weights_sha256": extractor.weights_sha256}
    name = f"features: {title or len(images)}, {extractor.identity.partition('@')[0]}"
    return bench.array_stage("features", name, type(extractor), config, {"images": images.key}, make)[0]


def append_rows(extractor: NetworkExtractor, pixels: ImageRows, ctx: StageContext) -> Float32:
    """Features float32 [N, D] as a memory map of a file in ``ctx.workdir``; rows that lie there are kept.

    The file may end in the midst of a batch if its process was killed: it is cut back to whole batches.
    """
    n, path = len(pixels), ctx.workdir / ROWS
    width_file = path.with_suffix(".width")
    row_bytes = 4 * int(width_file.read_text()) if width_file.exists() else 0
    done = min(path.stat().st_size // row_bytes, n) // BATCH * BATCH if row_bytes and path.exists() else 0
    with path.open("r+b" if done else "wb") as file:
        file.truncate(done * row_bytes)
        file.seek(0, 2)
        for block in extractor.blocks(pixels, start=done):
            if not row_bytes:
                row_bytes = 4 * block.shape[1]
                width_file.write_text(str(block.shape[1]))
            _check(block, done, extractor)
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
            file.flush()
            done += len(block)
            ctx.log(done, n)
    if not done:
        raise StageError(f"{extractor.identity}: no images to extract features from")
    return _mapped(path, done, row_bytes // 4)


def _mapped(path: Path, rows: int, width: int) -> Float32:
    return np.memmap(path, dtype="<f4", mode="r", shape=(rows, width))


def _check(block: Float32, first: int, extractor: NetworkExtractor) -> None:
    bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(bad):
        raise StageError(
            f"{extractor.identity}: the features of image {first + bad[0]} are not finite; "
            f"try precision fp32, and verify the weights with `bench weights verify`"
        )
