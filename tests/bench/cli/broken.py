"""A generator whose training fails."""

from __future__ import annotations

from typing import Any

from bench.contracts import GeneratorBase, Images, Labels
from bench.errors import StageError
from bench.pixels import UInt8


class Breaks(GeneratorBase):
    """Fails after its first step."""

    def fit(self, train: Images, ctx: Any) -> None:
        ctx.log(1, 10, loss=float(len(train)))
        raise StageError("the loss is gone")

    def sample(self, labels: Labels, ctx: Any, hints: Images | None = None) -> UInt8:
        raise AssertionError("never fitted")
