"""When the networks grow, and by how much the newest layers count. No torch: the cost of a fit follows from it."""

from __future__ import annotations

from typing import NamedTuple

SMALLEST = 4  # side at which training begins


class Stage(NamedTuple):
    """``level`` 0 is 4 x 4 pixels, each one more doubles the side; ``alpha`` in (0, 1] is the share of its layers."""

    level: int
    alpha: float

    @property
    def side(self) -> int:
        """Pixels."""
        return SMALLEST << self.level


class Growth:
    """The course of training up to ``side`` pixels (Karras et al. 2018, arXiv:1710.10196, section 2 and figure 2).

    The first level is trained for ``stable`` steps; every further one is faded in over ``fade`` steps and then trained
    for ``stable`` steps as it is.
    """

    def __init__(self, side: int, fade: int, stable: int) -> None:
        self.levels = (side // SMALLEST).bit_length()
        self.fade, self.stable = fade, stable

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.stable + (self.levels - 1) * (self.fade + self.stable)

    def at(self, step: int) -> Stage:
        """The stage of ``step``, which counts from 0."""
        if step < self.stable:
            return Stage(0, 1.0)
        level, within = divmod(step - self.stable, self.fade + self.stable)
        return Stage(level + 1, min(1.0, (within + 1) / max(1, self.fade)))

    def within(self, step: int) -> int:
        """How many steps of its level went before ``step``."""
        return step if step < self.stable else (step - self.stable) % (self.fade + self.stable)

    def steps_at(self, level: int) -> int:
        """Steps spent at ``level``."""
        return self.stable + (self.fade if level else 0)
