"""``dcgan``: deep convolutional adversarial networks (Radford et al. 2016, arXiv:1511.06434), one a class or one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from bench.contracts import Context, Cost, Images
from generators._gan.plugin import LatentGenerator, LatentOptions, side_of

if TYPE_CHECKING:
    from generators._gan.model import LatentModel

SMALLEST = 16  # px


class DCGANOptions(LatentOptions):
    """``LatentOptions``, and of networks and training, by default the ``cpu`` preset for 32 px:

    classes         conditional (one pair of networks that is told the label), or separate (a pair for every class, as
                    Frid-Adar et al. 2018, arXiv:1803.01229: the ``paper`` preset)
    steps, batch    updates of each pair of networks, and real images an update
    lr, beta1       of Adam (section 4 of the DCGAN paper: 2e-4 and 0.5)
    channels        width at half the resolution; it doubles with every halving,
    most_channels   up to this
    kernel          side of the convolutions: 5 as in the paper, whose transposed form overlaps unevenly (Odena et al.
                    2016), or 4
    ema             decay of the averaged generator that is sampled from; 0 to sample from the last one, as the paper
    balanced        equal class prior in batches of a conditional pair
    """

    classes: Literal["separate", "conditional"] = "conditional"
    steps: PositiveInt = 2500
    batch: PositiveInt = 64
    lr: PositiveFloat = 2e-4
    beta1: float = Field(0.5, ge=0.0, lt=1.0)
    channels: PositiveInt = 32
    most_channels: PositiveInt = 1024
    kernel: Literal[4, 5] = 4
    ema: float = Field(0.995, ge=0.0, lt=1.0)
    balanced: bool = True

    def widths(self, side: int) -> list[int]:
        """Channels at 4, 8, ... ``side`` / 2 pixels; sides are rounded up to a power of two."""
        levels = max(2, (side - 1).bit_length() - 2)
        return [min(self.most_channels, self.channels * 2 ** (levels - 1 - i)) for i in range(levels)]


class DCGAN(LatentGenerator):
    """Transposed convolutions from a latent vector to pixels, against a convolutional discriminator.

    Makes square images of 16, 32, ... 256 pixels. Losses are those of Goodfellow et al. (2014), the generator's in the
    form that does not saturate. Once trained, batch norm uses statistics of its own latents, so that an image depends
    on its latent vector alone.
    """

    version: ClassVar[str] = "2"
    Config = DCGANOptions
    config: DCGANOptions
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {"steps": 20, "batch": 16, "channels": 8, "latent": 16, "ema": 0.9, "sampling_batch": 16},
        "cpu": {},
        "gpu": {"steps": 30_000, "batch": 128, "channels": 64, "ema": 0.999, "sampling_batch": 256},
        "paper": {
            "classes": "separate",
            "steps": 50_000,
            "batch": 128,
            "channels": 128,
            "kernel": 5,
            "ema": 0.0,
            "sampling_batch": 128,
        },
    }

    def fit(self, train: Images, ctx: Context) -> None:
        """Train on ``train``; resumes from the context's checkpoint. Raises DataError for sizes it cannot make."""
        import numpy as np

        from generators._dcgan.training import train_dcgan
        from generators._gan.model import LatentModel

        side, seen = side_of(train, "dcgan", SMALLEST), np.unique(train.labels).tolist()
        network = train_dcgan(self.config, train, side, ctx)
        o = self.config
        self._model = LatentModel(network, side, o.latent, seen, o.sampling_batch, num_classes=train.num_classes)

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` for two classes of images of ``size`` x ``size`` pixels, whatever their number ``n``."""
        from generators._dcgan.cost import dcgan_cost

        o, networks = self.config, 2 if self.config.classes == "separate" else 1
        return dcgan_cost(o.steps, o.batch, o.latent, o.widths(size), o.kernel, networks, averaged=o.ema > 0)

    def _rebuild(self, state: dict[str, Any]) -> LatentModel:
        from generators._dcgan.networks import Generator, PerClass
        from generators._gan.model import LatentModel

        o, side, seen = self.config, state["side"], state["seen"]
        widths = o.widths(side)
        network: Any
        if o.classes == "separate":
            network = PerClass([Generator(o.latent, widths, o.kernel, 0) for _ in seen], seen)
        else:
            network = Generator(o.latent, widths, o.kernel, state["num_classes"])
        network.load_state_dict(state["network"])
        return LatentModel(network, side, o.latent, seen, o.sampling_batch, num_classes=state["num_classes"])
