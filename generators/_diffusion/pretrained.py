"""Autoencoders and UNets that somebody else trained, in the place of those trained here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DModel
from torch import Tensor, nn

from bench.contracts import Context
from bench.errors import ConfigError
from bench.loop import placed
from generators._diffusion.autoencoder import ENCODING_BATCH
from generators._diffusion.codecs import mixed, whitening_of
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.networks import build_unet, plain_config
from generators._diffusion.options import DiffusionOptions
from generators._pretrained.place import loaded, loading


class PretrainedCodec:
    """Latents of a whole image under an AutoencoderKL that saw images in [-1, 1], whitened.

    ``mean`` float32 [C], ``whitening`` float32 [C, C]: code = whitening (latent mean - mean). Sides that are no
    multiple of ``stride`` latents are padded by repeating the border, and cropped again by ``decode``.
    """

    def __init__(self, autoencoder: Any, mean: Tensor, whitening: Tensor, stride: int) -> None:
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.mean, self.whitening, self.stride = mean.view(1, -1, 1, 1), whitening, stride
        self.inverse = torch.linalg.inv(whitening.double()).float()
        self.factor = 2 ** (len(autoencoder.config["block_out_channels"]) - 1)

    def code_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        unit = self.factor * self.stride
        h, w = (-(-side // unit) * self.stride for side in size)
        return self.mean.shape[1], h, w

    def encode(self, x: Tensor) -> Tensor:
        _, h, w = self.code_shape((x.shape[2], x.shape[3]))
        below, right = h * self.factor - x.shape[2], w * self.factor - x.shape[3]
        padded = F.pad(x, (0, right, 0, below), mode="replicate")
        latents = self.autoencoder.encode(padded).latent_dist.mode().float()
        return mixed(self.whitening, latents - self.mean)

    def decode(self, z: Tensor, size: tuple[int, int]) -> Tensor:
        latents = mixed(self.inverse, z) + self.mean
        x: Tensor = self.autoencoder.decode(latents).sample.float()
        return x[:, :, : size[0], : size[1]]

    def to(self, device: str) -> None:
        placed(self.autoencoder, device)
        self.mean, self.whitening, self.inverse = (t.to(device) for t in (self.mean, self.whitening, self.inverse))

    def state(self) -> dict[str, Any]:
        return {
            "autoencoder": self.autoencoder.state_dict(),
            "autoencoder_config": plain_config(self.autoencoder),
            "mean": self.mean.flatten(),
            "whitening": self.whitening,
            "stride": self.stride,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PretrainedCodec:
        autoencoder: Any = AutoencoderKL.from_config(state["autoencoder_config"])  # type: ignore[no-untyped-call]
        autoencoder.load_state_dict(state["autoencoder"])
        return cls(autoencoder, state["mean"], state["whitening"], state["stride"])


@torch.no_grad()
def pretrained_codec(options: LatentOptions, x: Tensor, ctx: Context) -> PretrainedCodec:
    """The autoencoder of ``options`` with codes of images ``x`` [N, 3, H, W] whitened.

    With a pretrained UNet, which knows latents times the autoencoder's own ``scaling_factor``, that in place of
    whitening. Raises ConfigError for what is no AutoencoderKL of three colours.
    """
    path = str(options.autoencoder)
    arguments = loading(options.autoencoder_revision, options.download)
    kind: Any = AutoencoderKL
    autoencoder = loaded("an AutoencoderKL", path, lambda: kind.from_pretrained(path, **arguments))
    channels = int(autoencoder.config["latent_channels"])
    if autoencoder.config["in_channels"] != 3:
        raise ConfigError(f"{path}: takes {autoencoder.config['in_channels']} channels, images have 3")
    plain = PretrainedCodec(autoencoder, torch.zeros(channels), torch.eye(channels), options.stride)
    plain.to(ctx.device)
    if options.unet is not None:
        shift, scale = autoencoder.config.get("shift_factor") or 0.0, autoencoder.config["scaling_factor"]
        mean, whitening = torch.full((channels,), float(shift)), torch.eye(channels) * float(scale)
    else:
        z = torch.cat([plain.encode(part.to(ctx.device)).cpu() for part in torch.split(x, ENCODING_BATCH)])
        mean, whitening = whitening_of(z)
    return PretrainedCodec(autoencoder, mean, whitening, options.stride)


def starting_unet(options: DiffusionOptions, code_shape: tuple[int, int, int], num_classes: int) -> Any:
    """The UNet that training begins with: that of ``options.unet``, with new class embeddings, or a fresh one."""
    if options.unet is None:
        return build_unet(options, code_shape, num_classes)
    path, arguments = options.unet, loading(options.unet_revision, options.unet_download)
    kind: Any = UNet2DModel
    found = loaded("a UNet2DModel", path, lambda: kind.from_pretrained(path, **arguments))
    if found.config["in_channels"] != code_shape[0]:
        raise ConfigError(
            f"{path}: works on {found.config['in_channels']} channels, the codes here have {code_shape[0]}: "
            "choose the autoencoder it was trained with (ldm), or patch and bands to match (ddpm: patch=1, bands=false)"
        )
    unet = unet_of_config({**plain_config(found), "num_class_embeds": num_classes + 1})
    kept = {k: v for k, v in found.state_dict().items() if not k.startswith("class_embedding")}
    unet.load_state_dict(kept, strict=False)
    return unet


def rebuilt_unet(state: Mapping[str, Any], options: DiffusionOptions, code_shape: tuple[int, int, int]) -> Any:
    """The UNet of a stored model's ``state``."""
    config = state.get("unet_config")
    unet = build_unet(options, code_shape, state["num_classes"]) if config is None else unet_of_config(config)
    unet.load_state_dict(state["unet"])
    return unet


def unet_of_config(config: Mapping[str, Any]) -> Any:
    """An untrained UNet2DModel; its new class embeddings start small, so that the network starts as it was."""
    unet: Any = UNet2DModel.from_config(dict(config))  # type: ignore[no-untyped-call]
    nn.init.normal_(unet.class_embedding.weight, std=0.02)
    return unet
