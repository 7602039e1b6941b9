"""``ldm``: class-conditional latent diffusion (Rombach et al. 2022, arXiv:2112.10752), both networks trained here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contracts import Context, Cost, Images
from bench.pixels import UInt8
from generators._diffusion.latent_options import LatentOptions
from generators._diffusion.plugin import DiffusionGenerator

if TYPE_CHECKING:
    from generators._diffusion.model import DiffusionModel


class LatentDiffusion(DiffusionGenerator):
    """An autoencoder, then a diffusion model of its latents. What the autoencoder blurs, no sample can show."""

    version: ClassVar[str] = "3"
    Config = LatentOptions
    config: LatentOptions
    trains_together: ClassVar[bool] = True
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
            "perceptual_weight": 1.0,
            "adversarial_weight": 0.5,
            "disc_start": 10_000,
            "guidance": 1.0,
            "sampling_levels": None,
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
            "perceptual_weight": 1.0,
            "adversarial_weight": 0.5,
            "disc_start": 50_000,
            "patch": 2,
            "guidance": 1.0,
            "sampling_levels": None,
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

        first = 0 if self.config.autoencoder else self.config.ae_steps
        found, total = ctx.latest(), first + self.config.steps
        finished = ctx.workdir / "autoencoder"
        codec = self._fit_codec(train, Phase(ctx, "autoencoder", 0, total, found), finished)
        unet = train_denoiser(self.config, train, codec, Phase(ctx, "unet", first, total, found))
        codec.to("cpu")
        self._model = DiffusionModel(self.config, codec, unet, train.size, train.num_classes)
        shutil.rmtree(finished, ignore_errors=True)

    def reconstruct(self, images: Images, ctx: Context) -> UInt8:
        """The autoencoder's own reconstructions, uint8 [N, H, W, 3]: the bound of what samples can look like."""
        return self.model.reconstruct(images, ctx)

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        """Options of one step of the autoencoder and ``steps`` of the UNet on ``batch`` images each."""
        return {"ae_steps": 1, "steps": steps, "batch": batch}

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels, whatever their number ``n``.

        A pretrained autoencoder is taken for one of 4 channels at an eighth of the resolution, and what it costs is
        left out.
        """
        from generators._diffusion.cost import denoiser_cost, latent_cost

        if self.config.autoencoder is None:
            return latent_cost(self.config, size)
        side = -(-size // (8 * self.config.stride)) * self.config.stride
        return denoiser_cost(self.config, 4, side)

    @classmethod
    def inputs(cls, config: LatentOptions) -> Mapping[str, Any]:
        """Beside pretrained networks, which LPIPS weights the autoencoder is trained with; ConfigError without them."""
        from bench.weights import locate, sha256_of
        from generators._pretrained.place import fingerprint

        read = dict(super().inputs(config))
        if config.autoencoder is not None:
            read["autoencoder"] = fingerprint(config.autoencoder, config.autoencoder_revision, config.download)
        elif config.perceptual_weight:
            read["lpips"] = sha256_of(locate(f"lpips-{config.perceptual_net}"))
        return read

    def _fit_codec(self, train: Images, ctx: Context, finished: Path) -> Any:
        from functools import partial

        from bench.training import processes
        from generators._diffusion.autoencoder import measured_codec, train_autoencoder
        from generators._diffusion.codecs import Bands, PixelCodec
        from generators._diffusion.phases import kept
        from generators._diffusion.training import evenly_spaced

        x = evenly_spaced(train)
        if self.config.autoencoder is not None:
            from generators._diffusion.pretrained import pretrained_codec

            return pretrained_codec(self.config, x, ctx)
        pixels = PixelCodec.measured(x, self.config.patch, self.config.stride * self.config.reduction)
        bands = Bands.measured(pixels, self.config.factor, x)

        def make() -> dict[str, Any]:
            autoencoder = train_autoencoder(self.config, train, bands, ctx)
            return measured_codec(autoencoder, bands, x, ctx).state()

        whole = bool(self.config.adversarial_weight)  # a batch that processes cannot share
        return self._codec(kept(finished, partial(processes.by_first_alone, make) if whole else make))

    def _codec(self, state: dict[str, Any]) -> Any:
        from generators._diffusion.autoencoder import build
        from generators._diffusion.codecs import LatentCodec
        from generators._diffusion.pretrained import PretrainedCodec

        if "autoencoder_config" in state:
            return PretrainedCodec.from_state(state)
        autoencoder = build(self.config)
        autoencoder.load_state_dict(state["autoencoder"])
        return LatentCodec.from_state(state, autoencoder)

    def _rebuild(self, state: dict[str, Any]) -> DiffusionModel:
        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.pretrained import rebuilt_unet

        codec, size = self._codec(state["codec"]), (state["size"][0], state["size"][1])
        unet = rebuilt_unet(state, self.config, codec.code_shape(size))
        return DiffusionModel(self.config, codec, unet, size, state["num_classes"])
