"""Work of a network counted layer by layer from its shapes, without building it or importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

BACKWARD = 3.0  # a training step costs a forward pass and a backward pass of twice its work


@dataclass
class Tally:
    """Multiply-adds of one image's forward pass, parameters, and numbers that its backward pass needs.

    ``maps_kept``: maps that a convolution keeps for the backward pass, here of the norm, the activation and itself.
    """

    maps_kept: ClassVar[int] = 3

    macs: float = 0.0
    parameters: float = 0.0
    kept: float = 0.0

    def conv(self, fan_in: int, fan_out: int, side: int, kernel: int = 3) -> None:
        """A convolution with ``side`` x ``side`` outputs (or inputs, where it is transposed)."""
        weights = kernel * kernel * fan_in * fan_out
        self.macs += weights * side * side
        self.parameters += weights + fan_out
        self.kept += self.maps_kept * fan_out * side * side

    def residual(self, fan_in: int, fan_out: int, side: int, embedding: int = 0) -> None:
        """Two convolutions, a projection where the width changes, and that of the time embedding."""
        self.conv(fan_in, fan_out, side)
        self.conv(fan_out, fan_out, side)
        if fan_in != fan_out:
            self.conv(fan_in, fan_out, side, kernel=1)
        if embedding:
            self.conv(embedding, fan_out, 1, kernel=1)

    def attention(self, width: int, side: int) -> None:
        """Query, key, value and output projections, and two products of side^2 x side^2."""
        for _ in range(4):
            self.conv(width, width, side, kernel=1)
        self.macs += 2.0 * width * side**4
