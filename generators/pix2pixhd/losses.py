"""Losses of Wang et al. (2018, arXiv:1711.11585), section 3.3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

Found = list[list[Tensor]]
"""What each discriminator found: feature maps of its layers, the logits last."""


def discriminator_loss(real: Found, fake: Found) -> Tensor:
    """LSGAN (Mao et al. 2017, arXiv:1611.04076), eq. 9 with labels 1 and 0, summed over scales."""
    terms = [(r[-1] - 1.0).square().mean() + f[-1].square().mean() for r, f in zip(real, fake, strict=True)]
    return 0.5 * _total(terms)


def adversarial_loss(fake: Found) -> Tensor:
    """The generator's side: (D - 1)^2, summed over scales."""
    return _total([(f[-1].float() - 1.0).square().mean() for f in fake])


def feature_matching_loss(real: Found, fake: Found) -> Tensor:
    """Eq. 4: L1 between the feature maps of real and fake, a mean over each layer, summed over layers and scales."""
    pairs = [(r, f) for one, other in zip(real, fake, strict=True) for r, f in zip(one[:-1], other[:-1], strict=True)]
    return _total([F.l1_loss(f.float(), r.detach().float()) for r, f in pairs])


def perceptual_loss(device: str) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS (VGG16) between images [B, 3, H, W] in [-1, 1], a mean; raises ConfigError where VGG16 is not at hand."""
    from bench.metrics.perceptual import lpips_distance

    model: Any = lpips_distance(net="vgg", device=device).model.requires_grad_(False)
    return lambda x, y: model(x, y).mean()


def _total(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
