"""``ldm``: class-conditional latent diffusion (Rombach et al. 2022, arXiv:2112.10752), both networks trained here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contracts import Context, Cost, Images
from bench.pixels import UInt8
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.plugin import DiffusionGenerator

if TYPE_CHECKING:
    from generators._diffusion.codecs import LatentCodec
    from generators._diffusion.model import DiffusionModel


class LatentDiffusion(DiffusionGenerator):
    """An autoencoder, then a diffusion model of its latents. What the autoencoder blurs, no sample can show."""

    version: ClassVar[str] = "3"
    Config = LatentOptions
    config: LatentOptions
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {
            "steps": 30,
            "batch": 16,
            "channels": (16, 32),
            "layers": 1,
            "warmup": 5,
            "ae_steps": 30,
            "ae_batch": 16,
            "ae_channels": (16, 32),
            "sampling_steps": 5,
            "sampling_batch": 16,
            "loss_timesteps": 4,
            "finetune_steps": 5,
            "token_steps": 5,
        },
        "cpu": {},
        "gpu": {
            "steps": 60_000,
            "batch": 256,
            "lr": 3e-4,
            "warmup": 1000,
            "ema": 0.9995,
            "channels": (128, 256, 384),
            "attention": 2,
            "dropout": 0.1,
            "ae_steps": 30_000,
            "ae_lr": 3e-4,
            "ae_ema": 0.999,
            "ae_channels": (128, 256),
            "ae_layers": 2,
            "sampling_steps": 25,
            "sampling_batch": 256,
        },
        "paper": {
            "steps": 300_000,
            "batch": 256,
            "lr": 1e-4,
            "warmup": 5000,
            "ema": 0.9999,
            "channels": (192, 384, 576),
            "attention": 2,
            "dropout": 0.1,
            "ae_steps": 150_000,
            "ae_batch": 16,
            "ae_lr": 1e-4,
            "ae_ema": 0.9995,
            "ae_channels": (128, 256, 512),
            "ae_layers": 2,
            "ae_attention": True,
            "patch": 2,
            "sampling_steps": 50,
            "sampling_batch": 64,
        },
    }

    def fit(self, train: Images, ctx: Context) -> None:
        """Train the autoencoder, then the UNet on its latents; resumes in the phase a killed fit had reached."""
        import shutil

        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.phases import Phase
        from generators._diffusion.training import train_denoiser

        found, total = ctx.latest(), self.config.ae_steps + self.config.steps
        finished = ctx.workdir / "autoencoder"
        codec = self._fit_codec(train, Phase(ctx, "autoencoder", 0, total, found), finished)
        unet = train_denoiser(self.config, train, codec, Phase(ctx, "unet", self.config.ae_steps, total, found))
        codec.to("cpu")
        self._model = DiffusionModel(self.config, codec, unet, train.size, train.num_classes)
        shutil.rmtree(finished, ignore_errors=True)

    def reconstruct(self, images: Images, ctx: Context) -> UInt8:
        """The autoencoder's own reconstructions, uint8 [N, H, W, 3]: the bound of what samples can look like."""
        return self.model.reconstruct(images, ctx)

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels, whatever their number ``n``."""
        from generators._diffusion.cost import latent_cost

        return latent_cost(self.config, size)

    def _fit_codec(self, train: Images, ctx: Context, finished: Path) -> LatentCodec:
        from generators._diffusion.autoencoder import measured_codec, train_autoencoder
        from generators._diffusion.codecs import Bands, PixelCodec
        from generators._diffusion.phases import kept
        from generators._diffusion.training import evenly_spaced

        x = evenly_spaced(train)
        pixels = PixelCodec.measured(x, self.config.patch, self.config.stride * self.config.reduction)
        bands = Bands.measured(pixels, self.config.factor, x)

        def make() -> dict[str, Any]:
            autoencoder = train_autoencoder(self.config, train, bands, ctx)
            return measured_codec(autoencoder, bands, x, ctx).state()

        return self._codec(kept(finished, make))

    def _codec(self, state: dict[str, Any]) -> LatentCodec:
        from generators._diffusion.autoencoder import build
        from generators._diffusion.codecs import LatentCodec

        autoencoder = build(self.config)
        autoencoder.load_state_dict(state["autoencoder"])
        return LatentCodec.from_state(state, autoencoder)

    def _rebuild(self, state: dict[str, Any]) -> DiffusionModel:
        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.networks import build_unet

        codec, size = self._codec(state["codec"]), (state["size"][0], state["size"][1])
        unet = build_unet(self.config, codec.code_shape(size), state["num_classes"])
        unet.load_state_dict(state["unet"])
        return DiffusionModel(self.config, codec, unet, size, state["num_classes"])
