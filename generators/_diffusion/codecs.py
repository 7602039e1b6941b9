"""Between images and the codes that a diffusion model works on: standardised unshuffled pixels, or latents.

Images are float32 [B, 3, H, W] in [-1, 1]; codes are float32 [B, C, h, w] with about zero mean and unit variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.loop import placed


class Codec(Protocol):
    """An invertible (or nearly so) map between images and codes."""

    def code_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """(C, h, w) of the code of an image of ``size`` (H, W)."""

    def encode(self, x: Tensor) -> Tensor:
        """Codes of images."""

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        """Images [B, 3, *size] of codes, not clipped."""

    def to(self, device: str) -> None:
        """Move to ``device``."""

    def state(self) -> dict[str, Any]:
        """Tree of tensors and numbers that ``from_state`` reads."""


def to_float(x_u8: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] to float32 in [-1, 1]."""
    return x_u8.float() / 127.5 - 1.0


def to_uint8(x: Tensor) -> Tensor:
    """Float images in [-1, 1] to uint8, clipped, rounded once and half to even."""
    return ((x.float() + 1.0) * 127.5).clamp(0.0, 255.0).round().to(torch.uint8)


class PixelCodec:
    """Pixels standardised per colour, then unshuffled: ``patch`` x ``patch`` pixels become channels (space-to-depth).

    A UNet on unshuffled pixels works at h = H / patch, which costs about patch^2 times less a channel. Sides that are
    no multiple of ``patch * stride`` are padded by repeating the border, and cropped again by ``decode``.
    ``mean``, ``std``: float32 [3], of the training images in [-1, 1].
    """

    def __init__(self, mean: Tensor, std: Tensor, patch: int, stride: int) -> None:
        self.mean, self.std = mean.view(1, 3, 1, 1), std.view(1, 3, 1, 1)
        self.patch, self.stride = patch, stride

    @classmethod
    def measured(cls, x: Tensor, patch: int, stride: int) -> PixelCodec:
        """Codec with the colour statistics of images ``x`` [N, 3, H, W]; a constant colour keeps its scale."""
        std = x.std(dim=(0, 2, 3)) if x.numel() > 3 else torch.zeros(3)
        return cls(x.mean(dim=(0, 2, 3)), torch.where(std > 1e-3, std, torch.ones_like(std)), patch, stride)

    def code_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        unit = self.patch * self.stride
        h, w = (-(-side // unit) * self.stride for side in size)
        return 3 * self.patch**2, h, w

    def encode(self, x: Tensor) -> Tensor:
        _, h, w = self.code_shape((x.shape[2], x.shape[3]))
        below, right = h * self.patch - x.shape[2], w * self.patch - x.shape[3]
        padded = F.pad((x - self.mean) / self.std, (0, right, 0, below), mode="replicate")
        return F.pixel_unshuffle(padded, self.patch)

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        x = F.pixel_shuffle(z, self.patch) * self.std + self.mean
        return x[:, :, : size[0], : size[1]]

    def to(self, device: str) -> None:
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean.flatten(), "std": self.std.flatten(), "patch": self.patch, "stride": self.stride}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PixelCodec:
        return cls(state["mean"], state["std"], state["patch"], state["stride"])


class Bands:
    """An image as its coarse colours and the detail around them; both together are the image, exactly.

    Coarse colours are the means of ``factor`` x ``factor`` blocks of standardised pixels, float32 [B, 3, h, w]. Detail
    is what their bilinear enlargement leaves, divided by its SD ``scale`` and unshuffled, [B, 3 patch^2, H', W'].
    One level of a Laplacian pyramid (Burt & Adelson 1983). An autoencoder of pixels that is trained for minutes loses
    hue first, as its normalisation layers hide the mean; here it is not asked to learn it. Hue tells melanoma from
    other lesions.
    """

    def __init__(self, pixels: PixelCodec, factor: int, scale: float) -> None:
        self.pixels, self.factor, self.scale = pixels, factor, scale

    @classmethod
    def measured(cls, pixels: PixelCodec, factor: int, x: Tensor) -> Bands:
        """Bands whose detail has SD 1 over the images ``x`` [N, 3, H, W]; images without detail keep its scale."""
        std = float(cls(pixels, factor, 1.0).split(x)[1].std())
        return cls(pixels, factor, std if std > 1e-6 else 1.0)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(coarse colours, detail) of images ``x``."""
        patch = self.pixels.patch
        s = F.pixel_shuffle(self.pixels.encode(x), patch)
        coarse = F.avg_pool2d(s, self.factor)
        return coarse, F.pixel_unshuffle((s - self._enlarged(coarse)) / self.scale, patch)

    def join(self, coarse: Tensor, detail: Tensor, size: tuple[int, int]) -> Tensor:
        """Images [B, 3, *size], not clipped."""
        patch = self.pixels.patch
        s = self._enlarged(coarse) + self.scale * F.pixel_shuffle(detail, patch)
        return self.pixels.decode(F.pixel_unshuffle(s, patch), size)

    def _enlarged(self, coarse: Tensor) -> Tensor:
        return F.interpolate(coarse, scale_factor=self.factor, mode="bilinear", align_corners=False)


class BandCodec:
    """Coarse colours and detail of ``bands``, whitened together: an exact and linear code of pixels.

    Pixels of a lesion are nearly equal to their neighbours, so that white noise hides their differences long before
    their mean: at 32 px the mean colour of an image is settled in the first tenth of the way back from noise, a step
    or two of a short sampler, and samples come out alike in colour. After whitening all directions are settled
    together (Hoogeboom et al. 2023, arXiv:2301.11093, shift the noise schedule to the same end), the small
    differences of hue, which in R, G, B drown in those of brightness, among them; and what errors are left in the
    coarse colours has no block edges.
    ``mean`` float32 [C] and ``whitening`` float32 [C, C], C = 3 + channels of the detail: code = whitening (z - mean).
    """

    def __init__(self, bands: Bands, mean: Tensor, whitening: Tensor) -> None:
        self.bands, self.mean, self.whitening = bands, mean.view(1, -1, 1, 1), whitening
        self.inverse = torch.linalg.inv(whitening.double()).float()

    @classmethod
    def measured(cls, bands: Bands, x: Tensor) -> BandCodec:
        """Codec whose codes of images ``x`` [N, 3, H, W] have mean 0 and, where they vary, the identity covariance."""
        return cls(bands, *whitening_of(torch.cat(bands.split(x), dim=1)))

    def code_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        _, h, w = self.bands.pixels.code_shape(size)
        reduction = self.bands.factor // self.bands.pixels.patch
        return self.mean.shape[1], h // reduction, w // reduction

    def encode(self, x: Tensor) -> Tensor:
        coarse, detail = self.bands.split(x)
        return mixed(self.whitening, torch.cat([coarse, self.compress(detail)], dim=1) - self.mean)

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        plain = mixed(self.inverse, z) + self.mean
        return self.bands.join(plain[:, :3], self.expand(plain[:, 3:]), size)

    def compress(self, detail: Tensor) -> Tensor:
        """What stands for the detail in the code."""
        return detail

    def expand(self, code: Tensor) -> Tensor:
        """Detail of what ``compress`` made of it."""
        return code

    def to(self, device: str) -> None:
        self.bands.pixels.to(device)
        self.mean, self.whitening, self.inverse = (t.to(device) for t in (self.mean, self.whitening, self.inverse))

    def state(self) -> dict[str, Any]:
        return {
            "pixels": self.bands.pixels.state(),
            "factor": self.bands.factor,
            "scale": self.bands.scale,
            "mean": self.mean.flatten(),
            "whitening": self.whitening,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *parts: Any) -> Self:
        """The codec whose ``state`` this is; ``parts`` are what a subclass is made of beside it."""
        bands = Bands(PixelCodec.from_state(state["pixels"]), state["factor"], state["scale"])
        return cls(bands, state["mean"], state["whitening"], *parts)


class LatentCodec(BandCodec):
    """Coarse colours and latents of an autoencoder of the detail, whitened together.

    Rombach et al. (2022, arXiv:2112.10752), section 4.3.2, divide latents by their SD, so that the noise schedule
    means the same whatever scale the autoencoder chose; whitening goes one step further.
    """

    def __init__(self, bands: Bands, mean: Tensor, whitening: Tensor, autoencoder: Any) -> None:
        super().__init__(bands, mean, whitening)
        self.autoencoder = autoencoder.eval().requires_grad_(False)

    def compress(self, detail: Tensor) -> Tensor:
        latents: Tensor = self.autoencoder.encode(detail).latent_dist.mode().float()
        return latents

    def expand(self, code: Tensor) -> Tensor:
        detail: Tensor = self.autoencoder.decode(code).sample.float()
        return detail

    def to(self, device: str) -> None:
        super().to(device)
        placed(self.autoencoder, device)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "autoencoder": self.autoencoder.state_dict()}


def whitening_of(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean float32 [C] and symmetric whitening matrix float32 [C, C] of codes ``z`` [N, C, h, w].

    Cov^(-1/2), which changes the channels least (Kessy, Lewin & Strimmer 2018, arXiv:1512.00809: ZCA). Directions with
    less than 1e-4 of the largest variance are scaled as if they had that much, lest rounding be taken for content.
    """
    rows = z.double().permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    variance, axes = torch.linalg.eigh(torch.cov(rows.T, correction=0))
    largest = float(variance[-1])
    scale = variance.clamp(min=1e-4 * largest) ** -0.5 if largest > 0 else torch.ones_like(variance)
    return rows.mean(dim=0).float(), (axes @ torch.diag(scale) @ axes.T).float()


def mixed(matrix: Tensor, z: Tensor) -> Tensor:
    """``matrix`` [C, C] applied to the channels of ``z`` [B, C, h, w], in float32 under any autocast."""
    with torch.autocast(z.device.type, enabled=False):
        return torch.einsum("ij,bjhw->bihw", matrix, z.float())
