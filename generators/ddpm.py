"""``ddpm``: a class-conditional diffusion model of pixels (Ho et al. 2020, arXiv:2006.11239)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from bench.contracts import Context, Cost, Images
from generators._diffusion.options import DiffusionOptions, Width
from generators._diffusion.plugin import DiffusionGenerator

if TYPE_CHECKING:
    from generators._diffusion.model import DiffusionModel


class PixelOptions(DiffusionOptions):
    """``DiffusionOptions``, by default the ``cpu`` preset for 32 px, and

    patch  side of the pixel blocks that become channels before the UNet (1 for none): the network then works at
           1/patch of the resolution, at about 1/patch^2 of the cost
    whiten noise is white in the principal directions of such blocks, scaled to equal variance, not in the pixels
    """

    steps: PositiveInt = 1500
    layers: PositiveInt = 1
    channels: tuple[Width, ...] = Field((96, 128), min_length=1)
    patch: PositiveInt = 4
    whiten: bool = True


class DDPM(DiffusionGenerator):
    """Pixel diffusion with a UNet, EMA, classifier-free guidance, DDIM or DPM-Solver++ sampling, and SDEdit."""

    version: ClassVar[str] = "3"
    Config = PixelOptions
    config: PixelOptions
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {
            "steps": 30,
            "batch": 16,
            "channels": (16, 32),
            "layers": 1,
            "warmup": 5,
            "sampling_steps": 5,
            "sampling_batch": 16,
        },
        "cpu": {},
        "gpu": {
            "steps": 60_000,
            "batch": 128,
            "lr": 3e-4,
            "warmup": 1000,
            "ema": 0.9995,
            "channels": (128, 256, 384),
            "layers": 2,
            "dropout": 0.1,
            "patch": 2,
            "sampling_steps": 25,
            "sampling_batch": 256,
        },
        "paper": {
            "steps": 300_000,
            "batch": 64,
            "lr": 1e-4,
            "warmup": 5000,
            "ema": 0.9999,
            "channels": (128, 256, 384, 512),
            "layers": 2,
            "attention": 2,
            "dropout": 0.1,
            "patch": 4,
            "sampling_steps": 50,
            "sampling_batch": 128,
        },
    }

    def fit(self, train: Images, ctx: Context) -> None:
        """Train the UNet on ``train``; resumes from the context's checkpoint."""
        from generators._diffusion.codecs import PixelCodec, WhitePixelCodec
        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.training import evenly_spaced, train_denoiser

        x = evenly_spaced(train)
        pixels = PixelCodec.measured(x, self.config.patch, self.config.stride)
        codec = WhitePixelCodec.measured(pixels, x) if self.config.whiten else pixels
        unet = train_denoiser(self.config, train, codec, ctx)
        codec.to("cpu")
        self._model = DiffusionModel(self.config, codec, unet, train.size, train.num_classes)

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels, whatever their number ``n``."""
        from generators._diffusion.cost import denoiser_cost

        unit = self.config.patch * self.config.stride
        side = -(-size // unit) * self.config.stride
        return denoiser_cost(self.config, 3 * self.config.patch**2, side)

    def _rebuild(self, state: dict[str, Any]) -> DiffusionModel:
        from generators._diffusion.codecs import PixelCodec, WhitePixelCodec
        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.networks import build_unet

        kind = WhitePixelCodec if self.config.whiten else PixelCodec
        codec, size = kind.from_state(state["codec"]), (state["size"][0], state["size"][1])
        unet = build_unet(self.config, codec.code_shape(size), state["num_classes"])
        unet.load_state_dict(state["unet"])
        return DiffusionModel(self.config, codec, unet, size, state["num_classes"])
