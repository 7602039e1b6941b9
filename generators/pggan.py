"""``pggan``: progressive growing of adversarial networks (Karras et al. 2018, arXiv:1710.10196), told the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from bench.contracts import Context, Cost, Images
from generators._gan.plugin import LatentGenerator, LatentOptions, side_of
from generators._pggan.growth import Growth

if TYPE_CHECKING:
    from generators._gan.model import LatentModel

SMALLEST = 8  # px
# Rates and penalty of appendix A.1. Variety over 4 images, so that a batch can be divided.
PAPER = {"lr": 1e-3, "critic_lr": 1e-3, "rising": 0, "falling": 0, "penalty": 10.0, "group": 4}


class PGGANOptions(LatentOptions):
    """``LatentOptions``, and of networks and training, by default the ``cpu`` preset for 32 px:

    fade, stable   steps over which a doubled resolution is faded in, and for which it is then trained;
    final          for the full resolution in place of ``stable``: most of what is seen is learnt there
    batch, group   real images a step; over how many of them, at most, the critic looks at variety. The paper says over
                   all; such a batch cannot be divided where memory ends or among GPUs
    lr, critic_lr  of Adam with beta 0 and 0.99, for the generator and for the critic. In short training the critic
                   must learn faster (two time scales; Heusel et al. 2017, arXiv:1706.08500), or the generator moves
                   to and fro before it as one point
    rising         steps at the start of each level, at most ``stable`` and ``final``, over which both rates rise from
                   0: Adam has seen no gradient of the layers that are new
    falling        steps at the end, at most ``final``, over which both rates fall linearly to a tenth; 0: they stay
    penalty        weight of the gradient penalty (WGAN-GP; 10 in the papers, which slows the critic)
    drift          weight of the squared score of real images
    ema            decay of the averaged generator that is sampled from
    channels       width at the full resolution; it doubles with every halving,
    most_channels  up to this
    critic_steps   updates of the critic for one of the generator
    balanced       equal class prior in batches, whatever the class frequencies. Off: the critic then looks at the
                   variety of the large class as often as images of it are drawn
    """

    latent: PositiveInt = 128
    fade: int = Field(60, ge=0)
    stable: PositiveInt = 250
    final: PositiveInt = 1500
    batch: int = Field(32, ge=2)
    group: int = Field(32, ge=2)
    lr: PositiveFloat = 2e-3
    critic_lr: PositiveFloat = 6e-3
    rising: int = Field(60, ge=0)
    falling: int = Field(250, ge=0)
    penalty: PositiveFloat = 1.0
    drift: float = Field(0.001, ge=0.0)
    ema: float = Field(0.98, ge=0.0, lt=1.0)
    channels: PositiveInt = 16
    most_channels: PositiveInt = 128
    critic_steps: PositiveInt = 1
    balanced: bool = False

    def growth(self, side: int) -> Growth:
        """The course of training up to ``side`` pixels."""
        return Growth(side, self.fade, self.stable, self.final)

    def widths(self, side: int) -> list[int]:
        """Channels at 4, 8, ... ``side`` pixels."""
        levels = self.growth(side).levels
        return [min(self.most_channels, self.channels * 2 ** (levels - 1 - i)) for i in range(levels)]


class PGGAN(LatentGenerator):
    """Generator and critic that grow from 4 x 4 pixels, new layers faded in; WGAN-GP, pixel norm, equalised rates.

    Makes square images of 8, 16, ... 256 pixels of the class asked for. Training computes in float32 whatever the
    precision of the run, as second derivatives are taken.
    """

    version: ClassVar[str] = "6"
    Config = PGGANOptions
    config: PGGANOptions
    trains_together: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {
            "fade": 3,
            "stable": 4,
            "final": 4,
            "rising": 2,
            "batch": 8,
            "group": 4,
            "channels": 8,
            "most_channels": 16,
            "latent": 16,
            "ema": 0.9,
            "sampling_batch": 16,
        },
        "cpu": {},
        "gpu": {
            **PAPER,
            "fade": 8_000,
            "stable": 8_000,
            "final": 8_000,
            "batch": 64,
            "channels": 64,
            "most_channels": 256,
            "latent": 256,
            "ema": 0.999,
            "sampling_batch": 256,
        },
        # 512 latents and widths 512 to 64 (table 2), EMA 0.999. 600,000 images a fade and a phase, three
        # quarters of those that the paper gives its networks of 1,024 px (appendix A.1: 800,000).
        "paper": {
            **PAPER,
            "fade": 18_750,
            "stable": 18_750,
            "final": 18_750,
            "batch": 32,
            "channels": 64,
            "most_channels": 512,
            "latent": 512,
            "ema": 0.999,
            "sampling_batch": 64,
        },
    }

    def fit(self, train: Images, ctx: Context) -> None:
        """Train on ``train``; resumes from the context's checkpoint. Raises DataError for sizes it cannot make."""
        import numpy as np

        from generators._gan.model import LatentModel
        from generators._pggan.training import train_pggan

        side, o = side_of(train, "pggan", SMALLEST), self.config
        network = train_pggan(o, train, side, ctx)
        seen = np.unique(train.labels).tolist()
        self._model = LatentModel(network, side, o.latent, seen, o.sampling_batch, num_classes=train.num_classes)

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        """Options of ``steps`` steps on ``batch`` images a level: the last ones are at full size."""
        return {"fade": 0, "stable": steps, "final": steps, "falling": 0, "batch": batch}

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels (the next power of two), whatever ``n``."""
        from generators._pggan.cost import pggan_cost

        o, side = self.config, 2 ** max(3, (size - 1).bit_length())
        return pggan_cost(o.growth(side), o.widths(side), o.latent, o.batch, o.critic_steps)

    def _rebuild(self, state: dict[str, Any]) -> LatentModel:
        from generators._gan.model import LatentModel
        from generators._pggan.networks import Generator

        o, side, classes = self.config, state["side"], state["num_classes"]
        network = Generator(o.latent, o.widths(side), classes)
        network.load_state_dict(state["network"])
        return LatentModel(network, side, o.latent, state["seen"], o.sampling_batch, num_classes=classes)
