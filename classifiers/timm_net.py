"""``timm_net``: any network that timm knows, and GoogLeNet, from scratch or from pretrained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.contracts import Cost
from classifiers._base import NetworkClassifier, TrainOptions

if TYPE_CHECKING:
    from classifiers._training import Network

BYTES = 4
TABLE_SIDE, GIGA, MEGA = 224, 1e9, 1e6
ACTIVATIONS_PER_MAC = 0.02  # floats kept for the backward pass, measured between 0.008 and 0.06
WORK: dict[str, tuple[float, float, int]] = {  # 10^9 multiply-adds at 224 px, 10^6 parameters, native side in pixels
    "efficientnet_b2": (0.658, 7.70, 256),
    "resnet50": (4.087, 23.51, 224),
    "googlenet": (1.497, 5.60, 224),
    "resnet18": (1.814, 11.18, 224),
    "tf_efficientnet_lite0": (0.384, 3.37, 224),
    "test_resnet": (0.201, 0.373, 160),
}


class TimmNetConfig(TrainOptions):
    """Options of :class:`TimmNet`, beside those of training.

    network     a timm name such as efficientnet_b2 or resnet50, or googlenet (torchvision's)
    pretrained  false; true (the weights timm names) or "hf-hub:user/model", both downloaded at first use;
                "package:NAME" (an installed package that holds one weight file); or a path to a .safetensors or
                torch file of tensors
    sha256      of the weight file of a path or package, checked before it is read
    input_size  "images" (as they are), "native" (what the network was designed for), or a side in pixels
    freeze      "backbone" trains the classification head alone
    dropout     before the head
    precision   of the training: "run", the run's own, or "fp32": on a CPU, convolutions by depth (EfficientNet,
                MobileNet) take about twice as long in bf16
    """

    network: str = "efficientnet_b2"
    pretrained: bool | str = False
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    input_size: Literal["images", "native"] | int = "images"
    freeze: Literal["none", "backbone"] = "none"
    dropout: float = Field(0.2, ge=0, lt=1)
    precision: Literal["run", "fp32"] = "run"
    learning_rate: float = Field(5e-4, gt=0)


class TimmNet(NetworkClassifier):
    """A network of timm (Wightman 2019, doi:10.5281/zenodo.4414861), normalised as its weights expect."""

    version: ClassVar[str] = "2"
    Config = TimmNetConfig
    config: TimmNetConfig
    block: ClassVar[int] = 64
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {"network": "test_resnet", "steps": 8, "batch": 16, "evaluations": 2},
        "cpu": {"network": "test_resnet", "learning_rate": 2e-3},
        "gpu": {"steps": 4000, "ema_decay": 0.999, "evaluations": 10, "select_after": 0.25},
        "paper": {
            "steps": 20000,
            "ema_decay": 0.9995,
            "evaluations": 20,
            "select_after": 0.25,
            "input_size": "native",
            "pretrained": True,
            "colour_jitter": 0.1,
            "affine": True,
        },
    }

    def build(self, num_classes: int, size: tuple[int, int]) -> Network:
        """The untrained network; raises :class:`ConfigError` for an unknown name or an impossible size."""
        from classifiers._timm_network import build_network

        c = self.config
        return build_network(c.network, num_classes, size, c.input_size, c.dropout, c.freeze == "backbone")

    @property
    def mixed(self) -> bool:
        """Whether training follows the context's precision; if not, it is in float32."""
        return self.config.precision == "run"

    def initialise(self, network: Network) -> list[str]:
        """Load ``pretrained``; raises :class:`ConfigError` if it is not there or of another network."""
        from classifiers._pretrained import load_pretrained
        from classifiers._timm_network import TimmNetwork

        assert isinstance(network, TimmNetwork)
        return load_pretrained(network.bare, self.config.network, self.config.pretrained, self.config.sha256)

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on ``n`` images of ``size`` x ``size`` pixels; a backward pass counts as two forward ones.

        Known networks come from a table, others are built once to be counted (this imports torch and timm).
        """
        c = self.config
        gigamacs, megaparams, native = WORK.get(c.network) or _count(c.network, c.dropout)
        side = {"images": size, "native": native}.get(str(c.input_size)) or int(c.input_size)
        macs = gigamacs * GIGA * (side / TABLE_SIDE) ** 2
        backward = 0 if c.freeze == "backbone" else 2
        activations = ACTIVATIONS_PER_MAC * macs * c.batch * (1 if backward else 0)
        memory = BYTES * (6 * megaparams * MEGA + activations) + n * size * size * 3
        flops = 2 * macs * (1 + backward) * c.batch * c.steps
        return Cost(c.steps, flops, memory / 2**20, BYTES * megaparams * MEGA / 2**20)


def _count(name: str, dropout: float) -> tuple[float, float, int]:
    from classifiers._timm_network import build_network, count_work

    network = build_network(name, 2, (TABLE_SIDE, TABLE_SIDE), "native", dropout, False)
    macs, parameters, side = count_work(network, TABLE_SIDE)
    return macs * (TABLE_SIDE / side) ** 2 / GIGA, parameters / MEGA, side
