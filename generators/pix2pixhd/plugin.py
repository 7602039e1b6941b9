"""``pix2pixhd`` as a plugin. No torch at import: the command line loads the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contracts import Context, Cost, Images, Labels
from bench.pixels import UInt8
from generators._fitted import FittedGenerator
from generators.pix2pixhd.options import Pix2PixHDOptions

if TYPE_CHECKING:
    from generators.pix2pixhd.model import Pix2PixHDModel


class Pix2PixHD(FittedGenerator["Pix2PixHDModel"]):
    """Lesions painted over semantic maps (Wang et al. 2018, arXiv:1711.11585; Bissoto et al. 2018, arXiv:1902.03253).

    The network is deterministic: an image follows from its map, with ``styles`` a description of how skin, border and
    lesion look, and with ``label`` its class. All diversity comes from these. ``sample`` takes the mask of a training
    image of the class, flips, turns and deforms it, with ``instances`` "slic" also that image's superpixels, which lay
    out the texture; and draws a style of the class from a smoothed bootstrap, independent of the map.
    """

    version: ClassVar[str] = "3"
    Config: ClassVar[type[Pix2PixHDOptions]] = Pix2PixHDOptions
    config: Pix2PixHDOptions
    trains_together: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {
            "steps": 20,
            "batch": 4,
            "widths": (8, 16, 16),
            "blocks": 1,
            "critic_widths": (8, 16),
            "superpixels": 12,
            "sampling_batch": 8,
        },
        "cpu": {},
        "gpu": {
            "steps": 40_000,
            "batch": 16,
            "lr": 2e-4,
            "ema": 0.999,
            "widths": (64, 128, 256, 512),
            "blocks": 9,
            "critic_widths": (64, 128, 256, 512),
            "superpixels": 200,
            "maps": 1000,
            "sampling_batch": 64,
        },
        "paper": {
            "steps": 600_000,
            "batch": 1,
            "lr": 2e-4,
            "ema": 0.0,
            "widths": (64, 128, 256, 512, 1024),
            "blocks": 9,
            "enhancer": True,
            "critic_widths": (64, 128, 256, 512),
            "scales": 3,
            "styles": 0,
            "label": True,
            "superpixels": 400,
            "maps": 500,
            "augment": "flips",
            "sampling_batch": 8,
        },
    }

    @classmethod
    def inputs(cls, config: Pix2PixHDOptions) -> Mapping[str, Any]:
        """The weights behind the perceptual loss, where it is used; raises ConfigError if they are not at hand."""
        if not config.perceptual:
            return {}
        from bench.weights import verify

        return {"lpips-vgg": verify("lpips-vgg")}

    def fit(self, train: Images, ctx: Context) -> None:
        """Train on the images of ``train`` that have a lesion mask; resumes from the context's checkpoint.

        Raises DataError where there are no masks.
        """
        from generators.pix2pixhd.model import Pix2PixHDModel

        self._model = Pix2PixHDModel.fitted(self.config, train, ctx)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M] over a new map of its class, uint8 [M, H, W, 3].

        Raises DataError for labels that are no class, or without a training image that has a mask. ``hints`` are not
        used (see :meth:`paint`).
        """
        return self.model.sample(labels, ctx)

    def paint(self, masks: UInt8, labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [M, H, W, 3] with the regions of ``masks`` uint8 [M, H, W, C], inside where > 127.

        C, H and W as in training. Styles (and superpixels) are drawn as by :meth:`sample`. Raises DataError for masks
        of another shape and for labels as :meth:`sample` does.
        """
        return self.model.paint(masks, labels, ctx)

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        """Options of ``steps`` steps of all networks at full resolution, on ``batch`` images each."""
        return {"steps": steps, "batch": batch, "global_share": 0.0}

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels with a lesion mask, whatever their number ``n``."""
        from generators.pix2pixhd.cost import training_cost

        return training_cost(self.config, size)

    def _rebuild(self, state: dict[str, Any]) -> Pix2PixHDModel:
        from generators.pix2pixhd.model import Pix2PixHDModel

        return Pix2PixHDModel.from_state(self.config, state)
