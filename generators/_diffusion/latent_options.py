"""Options of latent diffusion: those of the diffusion model and those of its autoencoder. No torch here."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from generators._diffusion.options import DiffusionOptions, Share, Width


class LatentOptions(DiffusionOptions):
    """``DiffusionOptions`` of the latent UNet, and of the autoencoder trained before it; ``cpu`` by default:

    ae_steps, ae_batch, ae_lr, ae_ema  its training, with the warm-up of the UNet
    ae_channels       width at each resolution; the code is 2 ** (levels - 1) times smaller than the unshuffled image
    ae_layers, ae_attention  residual blocks a level; self-attention at the deepest one
    patch             side of the pixel blocks that become channels before the first convolution; latents are
                      patch * 2 ** (levels - 1) times smaller than the image, and at least 2 times
    latent_channels   numbers a latent position for the detail; three more hold the coarse colour
    edge_weight       weight of the error of pixel differences beside that of pixels
    kl_weight         weight of the KL divergence of the latents from a standard normal (Rombach et al. 2022: 1e-6)
    perceptual_weight, perceptual_net  weight of LPIPS beside the error of pixels, 0 for none; its network: vgg (from
                      16 px) or alex (from 32 px), whose weights `bench weights fetch lpips-vgg` gets
    adversarial_weight  weight of a discriminator of patches, beside what balances its gradient with that of the errors
                      (Esser et al. 2021, eq. 7), 0 for none
    disc_channels, disc_layers, disc_start  its width and halvings; autoencoder steps before it joins
    autoencoder       a trained AutoencoderKL in place of one trained here: folder or hub id (safetensors); it sees the
                      images in [-1, 1] themselves, and its latents are whitened as ours are
    autoencoder_revision, download  of a hub id; a download needs the full commit
    """

    steps: PositiveInt = 1000
    guidance: float = Field(1.0, ge=0.0)
    ae_steps: PositiveInt = 400
    ae_batch: PositiveInt = 64
    ae_lr: PositiveFloat = 2e-3
    ae_ema: Share = 0.99
    ae_channels: tuple[Width, ...] = Field((64, 96), min_length=1)
    ae_layers: PositiveInt = 1
    ae_attention: bool = False
    patch: PositiveInt = 2
    latent_channels: PositiveInt = 4
    edge_weight: float = Field(1.0, ge=0.0)
    kl_weight: float = Field(1e-6, ge=0.0)
    perceptual_weight: float = Field(0.0, ge=0.0)
    perceptual_net: Literal["vgg", "alex"] = "vgg"
    adversarial_weight: float = Field(0.0, ge=0.0)
    disc_channels: PositiveInt = 64
    disc_layers: PositiveInt = 3
    disc_start: int = Field(0, ge=0)
    autoencoder: str | None = None
    autoencoder_revision: str | None = None
    download: bool = False

    @property
    def reduction(self) -> int:
        """Unshuffled image side over latent side."""
        return int(2 ** (len(self.ae_channels) - 1))

    @property
    def factor(self) -> int:
        """Image side over latent side."""
        return self.patch * self.reduction

    @property
    def code_channels(self) -> int:
        """Numbers at each position of what the UNet works on: coarse colours and latents."""
        return 3 + self.latent_channels

    @model_validator(mode="after")
    def _reduces(self) -> Self:
        if self.factor < 2:
            raise ValueError("patch 1 with one level of ae_channels reduces nothing: use ddpm, or patch 2")
        return self
