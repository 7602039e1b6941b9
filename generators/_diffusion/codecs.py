"""Between images and the codes that a diffusion model works on: standardised unshuffled pixels, or latents.

Images are float32 [B, 3, H, W] in [-1, 1]; codes are float32 [B, C, h, w] with about zero mean and unit variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from generators._diffusion.networks import placed


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


class LatentCodec:
    """Latents of an autoencoder on unshuffled pixels, standardised per channel by their measured mean and SD.

    Rombach et al. (2022, arXiv:2112.10752), section 4.3.2: latents are divided by their SD, so that the noise
    schedule means the same whatever scale the autoencoder chose. ``mean``, ``std``: float32 [C].
    """

    def __init__(self, pixels: PixelCodec, autoencoder: Any, mean: Tensor, std: Tensor) -> None:
        self.pixels, self.autoencoder = pixels, autoencoder.eval().requires_grad_(False)
        self.mean, self.std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
        self.factor = int(2 ** (len(autoencoder.config["block_out_channels"]) - 1))

    def code_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        _, h, w = self.pixels.code_shape(size)
        return int(self.autoencoder.config["latent_channels"]), h // self.factor, w // self.factor

    def encode(self, x: Tensor) -> Tensor:
        posterior = self.autoencoder.encode(self.pixels.encode(x)).latent_dist
        z: Tensor = posterior.mode().float()
        return (z - self.mean) / self.std

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        return self.pixels.decode(self.autoencoder.decode(z * self.std + self.mean).sample.float(), size)

    def to(self, device: str) -> None:
        self.pixels.to(device)
        placed(self.autoencoder, device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def state(self) -> dict[str, Any]:
        return {
            "pixels": self.pixels.state(),
            "autoencoder": self.autoencoder.state_dict(),
            "mean": self.mean.flatten(),
            "std": self.std.flatten(),
        }
