"""Generator and discriminator of the DCGAN (Radford et al. 2016, arXiv:1511.06434, section 3 and figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4  # side of the first feature map


class Generator(nn.Module):
    """(z [B, L], y [B]) -> images [B, 3, S, S] in (-1, 1), S = 4 * 2^len(widths).

    ``widths``: channels at 4, 8, ... S/2 pixels. Every layer doubles the side by a transposed convolution of stride 2;
    batch norm and ReLU after all but the last, tanh after that. With ``classes`` > 0 the label sets gain and shift of
    every norm (:class:`ClassNorm`): an embedding joined to z was ignored, and the images collapsed.
    """

    def __init__(self, latent: int, widths: Sequence[int], kernel: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, widths[0], SMALLEST, bias=False)]
        layers += _normed(widths[0], classes)
        for before, after in pairwise(widths):
            layers += [_doubling(before, after, kernel, bias=False), *_normed(after, classes)]
        layers += [_doubling(widths[-1], 3, kernel, bias=True), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = z[:, :, None, None]
        for layer in self.layers:
            x = layer(x, y) if isinstance(layer, ClassNorm) else layer(x)
        return x


class Discriminator(nn.Module):
    """(images [B, 3, S, S], y [B]) -> logits [B] that they are real; the generator's mirror image.

    Strided convolutions, batch norm after all but the first and last, leaky ReLU of slope 0.2. With ``classes`` > 0
    the label is joined to the image as maps, 1 everywhere in that of the class and 0 in the others (Mirza & Osindero
    2014). A projection (Miyato & Koyama 2018, arXiv:1802.05637) in its place outvoted the image, and the generator
    collapsed.
    """

    def __init__(self, widths: Sequence[int], kernel: int, classes: int) -> None:
        super().__init__()
        mirrored = list(reversed(widths))
        self.classes = classes
        layers: list[nn.Module] = [_halving(3 + classes, mirrored[0], kernel, bias=True)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for before, after in pairwise(mirrored):
            layers += [_halving(before, after, kernel, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.score = nn.Conv2d(mirrored[-1], 1, SMALLEST)
        self.apply(initialise)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if self.classes:
            maps = F.one_hot(y, self.classes).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, maps.expand(-1, -1, *x.shape[2:])], dim=1)
        logits: Tensor = self.score(self.features(x)).flatten()
        return logits


class ClassNorm(nn.BatchNorm2d):
    """Batch norm (x [B, C, H, W], y [B]) with a gain and a shift for each class.

    Of class and channel alone (de Vries et al. 2017, arXiv:1707.00683, for questions in the place of classes).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, affine=False)
        self.gain, self.shift = nn.Embedding(classes, width), nn.Embedding(classes, width)
        nn.init.normal_(self.gain.weight, 1.0, 0.02)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) * self.gain(y)[:, :, None, None] + self.shift(y)[:, :, None, None]


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
    """Weights N(0, 0.02), batch norm scales N(1, 0.02) (section 4), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(bias)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)


def _normed(width: int, classes: int) -> list[nn.Module]:
    return [ClassNorm(width, classes) if classes else nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def _doubling(fan_in: int, fan_out: int, kernel: int, bias: bool) -> nn.Module:
    """A kernel of 4 overlaps itself evenly at stride 2; one of 5 does not, which is where checkerboards come from."""
    odd = kernel % 2
    return nn.ConvTranspose2d(fan_in, fan_out, kernel, 2, (kernel - 1) // 2, output_padding=odd, bias=bias)


def _halving(fan_in: int, fan_out: int, kernel: int, bias: bool) -> nn.Module:
    return nn.Conv2d(fan_in, fan_out, kernel, 2, (kernel - 1) // 2, bias=bias)
