"""``small_cnn``: a residual network of about 0.7 M parameters that two CPU cores train in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.contracts import Cost
from classifiers._base import NetworkClassifier, TrainOptions

if TYPE_CHECKING:
    from classifiers._training import Network

BYTES = 4


class SmallCNNConfig(TrainOptions):
    """Options of :class:`SmallCNN`, beside those of training.

    widths       channels of the stages; each after the first halves the image
    blocks       residual blocks a stage
    stem_stride  1 keeps the resolution, 2 halves it at once (four times faster), 4 for large images
    dropout      before the linear layer
    """

    widths: tuple[int, ...] = Field((32, 64, 128), min_length=1)
    blocks: int = Field(2, ge=1)
    stem_stride: Literal[1, 2, 4] = 2
    dropout: float = Field(0.1, ge=0, lt=1)


class SmallCNN(NetworkClassifier):
    """Residual network (He et al. 2016, arXiv:1512.03385) on the images as they are, trained from scratch."""

    version: ClassVar[str] = "1"
    Config = SmallCNNConfig
    config: SmallCNNConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {"steps": 12, "batch": 16, "widths": (8, 16), "blocks": 1, "evaluations": 2},
        "cpu": {},
        "gpu": {
            "steps": 4000,
            "batch": 128,
            "widths": (64, 128, 256),
            "ema_decay": 0.999,
            "evaluations": 10,
            "select_after": 0.25,
        },
        "paper": {
            "steps": 12000,
            "batch": 128,
            "widths": (64, 128, 256, 512),
            "ema_decay": 0.999,
            "evaluations": 20,
            "select_after": 0.25,
        },
    }

    def build(self, num_classes: int, size: tuple[int, int]) -> Network:
        """The untrained network for images of ``size`` (H, W)."""
        from classifiers._residual import ResidualNet

        c = self.config
        return ResidualNet(num_classes, c.widths, c.blocks, c.stem_stride, c.dropout)

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on ``n`` images of ``size`` x ``size`` pixels; a backward pass counts as two forward ones."""
        c = self.config
        macs, parameters, activations = _count(c, size)
        in_memory = n * size * size * 3
        training = BYTES * (6 * parameters + 3 * c.batch * activations)
        flops = 2.0 * macs * 3 * c.batch * c.steps
        return Cost(c.steps, flops, (in_memory + training) / 2**20, BYTES * parameters / 2**20)


def _count(c: SmallCNNConfig, size: int) -> tuple[int, int, int]:
    """(multiply-adds, parameters, activations) of one image in the convolutions, which are nearly all there is."""
    kernel = 3 if c.stem_stride == 1 else 2 * c.stem_stride
    side = size // c.stem_stride
    layers = [(3 * kernel * kernel, c.widths[0], side)]
    width_in = c.widths[0]
    for stage, width in enumerate(c.widths):
        side = side if stage == 0 else (side + 1) // 2
        for _ in range(c.blocks):
            layers += [(9 * width_in, width, side), (9 * width, width, side)]
            layers += [(width_in, width, side)] if width_in != width else []
            width_in = width
    macs = sum(k * w * s * s for k, w, s in layers)
    return macs, sum(k * w for k, w, _ in layers), sum(w * s * s for _, w, s in layers)
