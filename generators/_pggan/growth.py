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
    as it is, for ``stable`` steps, and the last one for ``final``. ``side`` is 8 or more.
    """

    def __init__(self, side: int, fade: int, stable: int, final: int) -> None:
        self.levels = (side // SMALLEST).bit_length()
        self.fade, self.stable, self.final = fade, stable, final

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return sum(self.steps_at(level) for level in range(self.levels))

    def at(self, step: int) -> Stage:
        """The stage of ``step``, which counts from 0."""
        if step < self.stable:
            return Stage(0, 1.0)
        level = min(1 + (step - self.stable) // (self.fade + self.stable), self.levels - 1)
        return Stage(level, min(1.0, (step - self._first(level) + 1) / max(1, self.fade)))

    def within(self, step: int) -> int:
        """How many steps of its level went before ``step``."""
        return step - self._first(self.at(step).level)

    def steps_at(self, level: int) -> int:
        """Steps spent at ``level``."""
        return (self.fade if level else 0) + (self.final if level == self.levels - 1 else self.stable)

    def _first(self, level: int) -> int:
        """The step with which ``level`` begins."""
        return self.stable + (level - 1) * (self.fade + self.stable) if level else 0
