"""Losses and regularisers of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.stylegan2_ada.ops import widened


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss, -log sigmoid(D(G(z))), mean over [B, 1] (Goodfellow et al. 2014)."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))), means over [B, 1]."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(logits: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Batch mean of the squared gradient of ``logits`` in ``images`` [B, C, H, W], to be weighted by gamma / 2.

    Mescheder et al. (2018, arXiv:1801.04406), eq. 9.
    """
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(logits(images).sum(), images, create_graph=True)
    return widened(gradient).square().sum((1, 2, 3)).mean()


class PathLength:
    """Penalty on how far the length of J_w^T y is from its running mean a, y ~ N(0, I): section 3.2, eq. 4.

    ``decay``: share of the new mean in a each time.
    """

    def __init__(self, decay: float = 0.01) -> None:
        self.decay, self.mean = decay, 0.0
        self.last = 0.0

    def penalty(self, images: Tensor, ws: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """E (|J_w^T y| - a)^2 of ``images`` [B, C, H, W] made from ``ws`` [B, L, D], ``y`` as images; and E |J_w^T y|.

        a is what it will be once these lengths are observed. Where a batch comes in parts each sees the a of its own.
        """
        lengths = path_lengths(images, ws, y)
        seen = lengths.detach().mean()
        return (lengths - self._moved(float(seen))).square().mean(), seen

    def observe(self, length: float) -> None:
        """Move a toward the mean ``length`` of a batch."""
        self.last, self.mean = length, self._moved(length)

    def _moved(self, length: float) -> float:
        return self.mean + self.decay * (length - self.mean)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean = float(state["mean"])


def path_lengths(images: Tensor, ws: Tensor, y: Tensor) -> Tensor:
    """|J_w^T y| / sqrt(H W), [B], differentiable; root mean square over the L places where w enters."""
    y = y / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    return widened(gradient).square().sum(2).mean(1).sqrt()
