"""``ddpm``: a class-conditional diffusion model of pixels (Ho et al. 2020, arXiv:2006.11239)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PositiveInt, model_validator

from bench.contracts import Context, Cost, Images
from generators._diffusion.options import DiffusionOptions, Width
from generators._diffusion.plugin import DiffusionGenerator

if TYPE_CHECKING:
    from generators._diffusion.model import DiffusionModel


class PixelOptions(DiffusionOptions):
    """``DiffusionOptions``, by default the ``cpu`` preset for 32 px, and

    patch  side of the pixel blocks that become channels before the UNet (1 for none): the network then works at
           1/patch of the resolution, at about 1/patch^2 of the cost
    bands  noise is white in whitened coarse colours (means of such blocks) and detail, instead of in the pixels
    """

    steps: PositiveInt = 1500
    layers: PositiveInt = 1
    channels: tuple[Width, ...] = Field((96, 128), min_length=1)
    patch: PositiveInt = 4
    bands: bool = True

    @model_validator(mode="after")
    def _has_detail(self) -> Self:
        if self.bands and self.patch == 1:
            raise ValueError("blocks of patch = 1 have no detail: set patch to 2 or more, or bands to false")
        return self

    @property
    def code_channels(self) -> int:
        """Numbers at each position of what the UNet works on."""
        return 3 * self.patch**2 + (3 if self.bands else 0)


class DDPM(DiffusionGenerator):
    """Pixel diffusion with a UNet, EMA, classifier-free guidance, DDIM or DPM-Solver++ sampling, and SDEdit."""

    version: ClassVar[str] = "4"
    Config = PixelOptions
    config: PixelOptions
    trains_together: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {
            "steps": 30,
            "batch": 16,
            "channels": (16, 32),
            "layers": 1,
            "warmup": 5,
            "sampling_steps": 5,
            "sampling_batch": 16,
            "loss_timesteps": 4,
            "finetune_steps": 5,
            "token_steps": 5,
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
            "guidance": 1.0,
            "sampling_levels": None,
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
            "guidance": 1.0,
            "sampling_levels": None,
            "sampling_steps": 50,
            "sampling_batch": 128,
        },
    }

    def fit(self, train: Images, ctx: Context) -> None:
        """Train the UNet on ``train``; resumes from the context's checkpoint."""
        from generators._diffusion.codecs import BandCodec, Bands, PixelCodec
        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.training import evenly_spaced, train_denoiser

        x = evenly_spaced(train)
        pixels = PixelCodec.measured(x, self.config.patch, self.config.stride)
        codec: Any = pixels
        if self.config.bands:
            codec = BandCodec.measured(Bands.measured(pixels, self.config.patch, x), x)
        unet = train_denoiser(self.config, train, codec, ctx)
        codec.to("cpu")
        self._model = DiffusionModel(self.config, codec, unet, train.size, train.num_classes)

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels, whatever their number ``n``."""
        from generators._diffusion.cost import denoiser_cost

        unit = self.config.patch * self.config.stride
        side = -(-size // unit) * self.config.stride
        return denoiser_cost(self.config, self.config.code_channels, side)

    def _rebuild(self, state: dict[str, Any]) -> DiffusionModel:
        from generators._diffusion.codecs import BandCodec, PixelCodec
        from generators._diffusion.model import DiffusionModel
        from generators._diffusion.pretrained import rebuilt_unet

        kind: Any = BandCodec if self.config.bands else PixelCodec
        codec, size = kind.from_state(state["codec"]), (state["size"][0], state["size"][1])
        unet = rebuilt_unet(state, self.config, codec.code_shape(size))
        return DiffusionModel(self.config, codec, unet, size, state["num_classes"])
