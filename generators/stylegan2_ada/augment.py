"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676): the pipeline, and what drives it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from generators.stylegan2_ada import matrices as m
from generators.stylegan2_ada.warp import blit, recolour, warp

# Standard deviations of appendix B; those of factors are of their logarithm.
SHIFT = 0.125  # of the image's side: bound of whole-pixel shifts, standard deviation of fractional ones
SCALE = 0.2 * math.log(2)
BRIGHTNESS = 0.2
CONTRAST = 0.5 * math.log(2)
SATURATION = math.log(2)

Moves = dict[str, Tensor]
"""Matrices of each group of augmentations, in the order in which they are applied."""
APPLY = {"blit": blit, "geometric": warp, "colour": recolour}


class Augmentation:
    """Random transformations of images [B, 3, R, R], each with probability ``p``, from groups that can be left out.

    blit       mirror image, quarter turns, shifts by whole pixels: pixels are moved, none is changed
    geometric  scaling, turning, stretching in any direction, shifts by fractions of a pixel
    colour     brightness, contrast, inverted luma, hue, saturation

    p = 0 returns the images themselves. All that is random comes from the ``rng`` given.
    """

    def __init__(self, groups: Collection[str]) -> None:
        self.groups = frozenset(groups)

    def __call__(self, x: Tensor, p: float, rng: torch.Generator) -> Tensor:
        return self.moved(x, self.drawn(len(x), x.shape[-1], p, rng))

    def drawn(self, n: int, side: int, p: float, rng: torch.Generator) -> Moves:
        """Matrices of ``n`` images of ``side`` pixels by group, each [n, k, k]; none at ``p`` = 0."""
        if p <= 0.0:
            return {}
        makers: dict[str, Callable[[], Tensor]] = {
            "blit": lambda: blit_matrices(n, p, side, rng),
            "geometric": lambda: geometric_matrices(n, p, side, rng),
            "colour": lambda: colour_matrices(n, p, rng),
        }
        return {group: make() for group, make in makers.items() if group in self.groups}

    def moved(self, x: Tensor, moves: Moves, rows: Any = slice(None)) -> Tensor:
        """Images [n, 3, R, R] under the matrices ``rows`` of ``moves``."""
        if not moves:
            return x
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            for group, matrices in moves.items():
                x = APPLY[group](x, matrices[rows].to(x.device))
        return x


def blit_matrices(n: int, p: float, side: int, rng: torch.Generator) -> Tensor:
    """float32 [n, 3, 3] from output to input pixels: flip, quarter turns, whole shifts; each at chance ``p``."""
    mirror = _where(_chance(n, p, rng), 1.0 - 2.0 * _integers(n, 2, rng), 1.0)
    turns = _where(_chance(n, p, rng), _integers(n, 4, rng), 0.0)
    shift = (_uniform(2 * n, rng) * 2 - 1).mul(SHIFT * side).round().view(2, n)
    x, y = _where(_chance(n, p, rng), shift, 0.0)
    flip = m.scaling2d(mirror, torch.ones(n))
    return flip @ m.rotation2d(turns * (math.pi / 2)) @ m.translation2d(x, y)


def geometric_matrices(n: int, p: float, side: int, rng: torch.Generator) -> Tensor:
    """float32 [n, 3, 3] from output to input positions in pixels from the centre.

    Scale, turn, stretch, turn, shift. A turn has chance 1 - sqrt(1 - p), so that one of the two happens at ``p``.
    """
    turn = 1.0 - math.sqrt(1.0 - min(p, 1.0))
    scale = _where(_chance(n, p, rng), (-SCALE * _normal(n, rng)).exp(), 1.0)
    before = _where(_chance(n, turn, rng), _angles(n, rng), 0.0)
    stretch = _where(_chance(n, p, rng), (SCALE * _normal(n, rng)).exp(), 1.0)
    after = _where(_chance(n, turn, rng), _angles(n, rng), 0.0)
    x, y = _where(_chance(n, p, rng), _normal(2 * n, rng).view(2, n) * SHIFT * side, 0.0)
    shape = m.scaling2d(scale, scale) @ m.rotation2d(before) @ m.scaling2d(1 / stretch, stretch)
    return shape @ m.rotation2d(after) @ m.translation2d(x, y)


def colour_matrices(n: int, p: float, rng: torch.Generator) -> Tensor:
    """float32 [n, 4, 4]: brightness first, then contrast, luma flip, hue, saturation; each at chance ``p``."""
    steps = [
        m.brightness(_where(_chance(n, p, rng), BRIGHTNESS * _normal(n, rng), 0.0)),
        m.contrast(_where(_chance(n, p, rng), (CONTRAST * _normal(n, rng)).exp(), 1.0)),
        m.luma_flip(_where(_chance(n, p, rng), _integers(n, 2, rng), 0.0)),
        m.hue(_where(_chance(n, p, rng), _angles(n, rng), 0.0)),
        m.saturation(_where(_chance(n, p, rng), (SATURATION * _normal(n, rng)).exp(), 1.0)),
    ]
    total = m.identity(n, 4)
    for step in steps:
        total = step @ total
    return total


class AdaptiveP:
    """The probability p, moved so that E[sign(D(real))] stays at ``target``: the heuristic r_t of section 3.1.

    batch, every  images a step; steps between two changes of p
    kimg          thousands of images in which p could go from 0 to 1
    target        None keeps p at ``start``
    """

    def __init__(self, *, start: float, target: float | None, kimg: float, batch: int, every: int) -> None:
        self.p, self.target, self.every = start, target, every
        self.change = batch * every / (1000.0 * kimg)
        self.signs: Tensor | None = None
        self.steps = 0
        self.overfitting = 0.0

    def observe(self, sign: Tensor) -> None:
        """Take the mean ``sign`` [] of the logits of one step's real images; p changes every so many steps."""
        mean = sign.double()
        self.signs = mean if self.signs is None else self.signs + mean
        self.steps += 1
        if self.steps < self.every:
            return
        self.overfitting = float(self.signs) / self.steps
        self.signs, self.steps = None, 0
        if self.target is not None:
            direction = math.copysign(1.0, self.overfitting - self.target) if self.overfitting != self.target else 0.0
            self.p = min(1.0, max(0.0, self.p + direction * self.change))

    def state_dict(self) -> dict[str, Any]:
        signs = None if self.signs is None else float(self.signs)
        return {"p": self.p, "signs": signs, "steps": self.steps, "overfitting": self.overfitting}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.p, self.steps, self.overfitting = float(state["p"]), int(state["steps"]), float(state["overfitting"])
        self.signs = None if state["signs"] is None else torch.tensor(state["signs"], dtype=torch.float64)


def mean_sign(logits: Tensor) -> Tensor:
    """Mean [] of the signs of ``logits`` [B, 1]."""
    return logits.detach().sign().float().mean()


def _chance(n: int, p: float, rng: torch.Generator) -> Tensor:
    return torch.rand(n, generator=rng) < p


def _where(on: Tensor, given: Tensor, neutral: float) -> Tensor:
    return torch.where(on, given, torch.tensor(neutral))


def _uniform(n: int, rng: torch.Generator) -> Tensor:
    return torch.rand(n, generator=rng)


def _normal(n: int, rng: torch.Generator) -> Tensor:
    return torch.randn(n, generator=rng)


def _integers(n: int, end: int, rng: torch.Generator) -> Tensor:
    return torch.randint(end, (n,), generator=rng).float()


def _angles(n: int, rng: torch.Generator) -> Tensor:
    return (_uniform(n, rng) * 2 - 1) * math.pi
