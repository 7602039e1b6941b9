"""``vgg16``, ``dinov2``, ``clip`` and ``timm``: networks trained on natural images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from bench.extractors.network import Loaded, NetworkExtractor, NetworkOptions
from bench.weights import CATALOGUE


class VGG16(NetworkExtractor):
    """Features [N, 4096] of VGG16 behind its second fully connected layer and ReLU.

    Kynkäänniemi et al. (2019, arXiv:1904.06991) compute improved precision and recall on them.
    """

    version: ClassVar[str] = "1"
    base_name = "vgg16"

    def load(self, file: Path) -> Loaded:
        """torchvision's architecture with the weights of ``file``."""
        from bench.extractors.states import read_state
        from bench.extractors.vision import load_vgg16

        return load_vgg16(read_state(file), str(file))


class _VisionTransformer(NetworkExtractor):
    def load(self, file: Path) -> Loaded:
        """timm's architecture with the weights of ``file``, in timm's or their publisher's own form."""
        from bench.extractors.states import read_state
        from bench.extractors.vision import VIT_SIDE, load_timm

        return load_timm(CATALOGUE[self.weights_name].network, read_state(file), str(file), VIT_SIDE)


class DINOv2Options(NetworkOptions):
    """Options of :class:`DINOv2`: ``size`` small, base or large (ViT-S/14, B/14, L/14), and those of every network."""

    size: Literal["small", "base", "large"] = "large"


class DINOv2(_VisionTransformer):
    """Class token of DINOv2 at 224 pixels, [N, 384 | 768 | 1024] (Oquab et al. 2024, arXiv:2304.07193).

    Stein et al. (2023, arXiv:2306.04675) find the Fréchet distance on ViT-L/14 closest to what people see.
    """

    version: ClassVar[str] = "1"
    Config = DINOv2Options
    config: DINOv2Options

    @property
    def name(self) -> str:
        return f"dinov2-vit{self.config.size[0]}14"


class CLIP(_VisionTransformer):
    """Image embedding [N, 512] of CLIP ViT-B/32, before it is scaled to length 1 (Radford et al. 2021)."""

    version: ClassVar[str] = "1"
    base_name = "clip-vit-b-32"


class TimmOptions(NetworkOptions):
    """Options of :class:`Timm`: ``network``, any name of timm such as resnet50.a1_in1k, and those of every network."""

    network: str = Field(default="resnet50.a1_in1k", min_length=1)


class Timm(NetworkExtractor):
    """Pooled features [N, D] of any network of timm (Wightman 2019); also written ``timm:NETWORK``."""

    version: ClassVar[str] = "1"
    Config = TimmOptions
    config: TimmOptions

    @property
    def name(self) -> str:
        return f"timm:{self.config.network}"

    def load(self, file: Path) -> Loaded:
        """The network at the side and normalisation that timm states for its weights."""
        from bench.extractors.states import read_state
        from bench.extractors.vision import load_timm

        return load_timm(self.config.network, read_state(file), str(file))
