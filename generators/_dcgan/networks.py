"""Generator and discriminator of the DCGAN (Radford et al. 2016, arXiv:1511.06434, section 3 and figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

SMALLEST = 4  # side of the first feature map


class Generator(nn.Module):
    """(z [B, L], y [B]) -> images [B, 3, S, S] in (-1, 1), S = 4 * 2^len(widths).

    ``widths``: channels at 4, 8, ... S/2 pixels. Every layer doubles the side by a transposed convolution of stride 2;
    batch norm and ReLU after all but the last, tanh after that. With ``classes`` > 0 an embedding of the label, as
    long as z, is joined to z (Mirza & Osindero 2014, arXiv:1411.1784).
    """

    def __init__(self, latent: int, widths: Sequence[int], kernel: int, classes: int) -> None:
        super().__init__()
        inputs = 2 * latent if classes else latent
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, widths[0], SMALLEST, bias=False), *_normed(widths[0])]
        for before, after in pairwise(widths):
            layers += [_doubling(before, after, kernel, bias=False), *_normed(after)]
        layers += [_doubling(widths[-1], 3, kernel, bias=True), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)
        self.embedding = nn.Embedding(classes, latent) if classes else None

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(y)], dim=1)
        x: Tensor = self.layers(z[:, :, None, None])
        return x


class Discriminator(nn.Module):
    """(images [B, 3, S, S], y [B]) -> logits [B] that they are real; the generator's mirror image.

    Strided convolutions, batch norm after all but the first and last, leaky ReLU of slope 0.2. With ``classes`` > 0
    the last features are compared with an embedding of the label (projection; Miyato & Koyama 2018, arXiv:1802.05637).
    """

    def __init__(self, widths: Sequence[int], kernel: int, classes: int) -> None:
        super().__init__()
        mirrored = list(reversed(widths))
        layers: list[nn.Module] = [_halving(3, mirrored[0], kernel, bias=True), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(mirrored):
            layers += [_halving(before, after, kernel, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.score = nn.Conv2d(mirrored[-1], 1, SMALLEST)
        self.embedding = nn.Embedding(classes, mirrored[-1]) if classes else None
        self.apply(initialise)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)
        logits: Tensor = self.score(h).flatten()
        if self.embedding is not None:
            logits = logits + (self.embedding(y) * h.mean(dim=(2, 3))).sum(dim=1)
        return logits


class PerClass(nn.ModuleList):
    """Generators of one class each, as one network: all rows of a call must be of one class.

    ``seen``: the class of each (Frid-Adar et al. 2018, arXiv:1803.01229, train a DCGAN for every class of lesion).
    """

    def __init__(self, generators: Sequence[nn.Module], seen: Sequence[int]) -> None:
        super().__init__(generators)
        self.position = {label: k for k, label in enumerate(seen)}

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x: Tensor = self[self.position[int(y[0])]](z, y)
        return x


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), batch norm scales N(1, 0.02) (section 4), biases 0; embeddings stay N(0, 1)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def _normed(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def _doubling(fan_in: int, fan_out: int, kernel: int, bias: bool) -> nn.Module:
    """A kernel of 4 overlaps itself evenly at stride 2; one of 5 does not, which is where checkerboards come from."""
    odd = kernel % 2
    return nn.ConvTranspose2d(fan_in, fan_out, kernel, 2, (kernel - 1) // 2, output_padding=odd, bias=bias)


def _halving(fan_in: int, fan_out: int, kernel: int, bias: bool) -> nn.Module:
    return nn.Conv2d(fan_in, fan_out, kernel, 2, (kernel - 1) // 2, bias=bias)
