"""Real images that no generator sees: for the oracle generator and the oracle arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.contracts import Images, Labels
from bench.data.base import CanDraw, Dataset
from bench.errors import StageError
from bench.keys import digest
from bench.pixels import UInt8
from bench.workbench import Workbench

POOL_SEED = 104_729


class HeldOut:
    """Fresh draws of a simulated data set, or the oracle half of the reserve of a real one."""

    def __init__(self, bench: Workbench, dataset: Dataset, fingerprint: str, oracle_half: Images) -> None:
        self.bench, self.dataset, self.fingerprint, self.half = bench, dataset, fingerprint, oracle_half

    def pool(self, train: Images) -> Images:
        """What the oracle generator may draw from: as many fresh images as train has, or the oracle half."""
        return self._fresh(train.labels, POOL_SEED) if isinstance(self.dataset, CanDraw) else self.half

    def draw(self, labels: Labels, seed: int) -> Images:
        """One held-out image for each of ``labels`` [M]; real ones repeat only when a class is exhausted."""
        if isinstance(self.dataset, CanDraw):
            return self._fresh(labels, seed)
        rng = np.random.default_rng(seed)
        rows = np.empty(len(labels), dtype=np.int64)
        for k in np.unique(labels):
            members = np.flatnonzero(self.half.labels == k)
            if not len(members):
                raise StageError(f"the oracle half of the reserve has no image of class {self.half.class_names[k]!r}")
            wanted = np.flatnonzero(labels == k)
            rounds = [rng.permutation(members) for _ in range(-(-len(wanted) // len(members)))]
            rows[wanted] = np.concatenate(rounds)[: len(wanted)]
        return self.half.take(rows)

    def _fresh(self, labels: Labels, seed: int) -> Images:
        drawn: list[Images] = []

        def make(ctx: Any) -> tuple[UInt8, Mapping[str, Any]]:
            drawn.append(self.dataset.draw(labels, seed))  # type: ignore[attr-defined]
            return np.asarray(drawn[0].pixels[:]), {"n": len(labels)}

        inputs = {"data": self.fingerprint, "labels": digest(labels.tolist()), "draw_seed": seed}
        pixels, stored = self.bench.array_stage(
            "held-out", f"draw {len(labels)} held-out images", type(self.dataset), {}, inputs, make
        )
        ids = np.array([f"fresh-{stored.key[:12]}-{i:06d}" for i in range(len(labels))], dtype=np.str_)
        return Images(pixels, labels, ids, ids, self.half.class_names, "real", key=stored.key)
