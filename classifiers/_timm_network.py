"""A timm (or torchvision) network behind the interface of :class:`classifiers._training.Network`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import ConfigError
from classifiers._training import Network

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "input_size": (3, 224, 224)}
# torchvision's GoogLeNet weights were made for inputs in [-1, 1].
GOOGLENET = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "input_size": (3, 224, 224)}

HEAD_SD = 0.01


class TimmNetwork(Network):
    """Resizes to ``side`` (antialiased bilinear; None leaves the image), normalises, and applies ``model``.

    With ``frozen`` only the classification head learns, and normalisation layers keep their stored statistics.
    """

    def __init__(self, model: nn.Module, data: dict[str, Any], side: tuple[int, int] | None, frozen: bool) -> None:
        super().__init__()
        self.model, self.side, self.frozen = model, side, frozen
        self.register_buffer("mean", torch.tensor(data["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(data["std"]).view(1, 3, 1, 1))
        if frozen:
            self.model.requires_grad_(False)
            self.classifier.requires_grad_(True)

    @property
    def classifier(self) -> nn.Module:
        """The last linear layer."""
        found: nn.Module = self.model.get_classifier()  # type: ignore[operator]
        return found

    @property
    def bare(self) -> nn.Module:
        """The network under the names that its published weights use."""
        return self.model.net if isinstance(self.model, Googlenet) else self.model

    def forward(self, x_nchw: Tensor) -> Tensor:
        logits: Tensor = self.model(self._prepare(x_nchw))
        return logits

    def features(self, x_nchw: Tensor) -> Tensor:
        maps = self.model.forward_features(self._prepare(x_nchw))  # type: ignore[operator]
        features: Tensor = self.model.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return features

    def head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classifier(features)
        return logits

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def _prepare(self, x_nchw: Tensor) -> Tensor:
        if self.side is not None and tuple(x_nchw.shape[2:]) != self.side:
            x_nchw = F.interpolate(x_nchw, self.side, mode="bilinear", antialias=True)
        return (x_nchw - self.mean) / self.std  # type: ignore[operator]


class Googlenet(nn.Module):
    """GoogLeNet (Szegedy et al. 2015, arXiv:1409.4842) of torchvision, without auxiliary heads, in timm's manner."""

    def __init__(self, num_classes: int, drop_rate: float) -> None:
        from torchvision.models import googlenet

        super().__init__()
        self.net: Any = googlenet(weights=None, aux_logits=False, init_weights=True, dropout=drop_rate)
        self.net.fc = nn.Linear(self.net.fc.in_features, num_classes)

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        layer: nn.Module = self.net.fc
        return layer

    def forward(self, x_nchw: Tensor) -> Tensor:
        logits: Tensor = self.net(x_nchw)
        return logits

    def forward_features(self, x_nchw: Tensor) -> Tensor:
        """Maps before the mean over space, [n, 1024, h, w]."""
        for name, layer in self.net.named_children():
            if name == "avgpool":
                break
            x_nchw = layer(x_nchw)
        return x_nchw

    def forward_head(self, maps_nchw: Tensor, pre_logits: bool = False) -> Tensor:
        features = maps_nchw.mean((2, 3))
        return features if pre_logits else self.net.fc(self.net.dropout(features))


def build_network(
    name: str, num_classes: int, size: tuple[int, int], input_size: str | int, drop_rate: float, frozen: bool
) -> TimmNetwork:
    """The untrained network; raises :class:`ConfigError` for an unknown name or a size it cannot take.

    The head starts near zero, N(0, 0.01): it says nothing before it has learnt. timm draws that of an EfficientNet
    from +-1 / sqrt(classes), which for two classes begins with losses of 3 to 7 and unlearns the pretrained features.
    """
    data: dict[str, Any] = GOOGLENET if name == "googlenet" else _data_config(name)
    native = (int(data["input_size"][1]), int(data["input_size"][2]))
    side = {"images": size, "native": native}.get(str(input_size)) or (int(input_size), int(input_size))
    if name == "googlenet":
        model: nn.Module = Googlenet(num_classes, drop_rate)
    else:
        sized: dict[str, Any] = {"img_size": side} if data["fixed_input_size"] and side != native else {}
        with _clear_errors(name, side):
            model = timm.create_model(name, num_classes=num_classes, drop_rate=drop_rate, **sized)
    network = TimmNetwork(model, data, None if side == size else side, frozen)
    for role, parameter in network.classifier.named_parameters():
        nn.init.normal_(parameter, 0.0, HEAD_SD if role == "weight" else 0.0)
    with _clear_errors(name, side), torch.no_grad():
        network.eval().features(torch.zeros(1, 3, *size))
    return network


def count_work(network: TimmNetwork, size: int) -> tuple[int, int, int]:
    """(multiply-adds of one image of ``size`` pixels, parameters, side that the network sees)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size))
    side = size if network.side is None else network.side[0]
    return counter.get_total_flops() // 2, sum(p.numel() for p in network.parameters()), side


def _data_config(name: str) -> dict[str, Any]:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise ConfigError(f"timm_net: timm has no network {name!r}; near: {', '.join(near) or 'none'}, or googlenet")
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return {**IMAGENET, "fixed_input_size": False}
    return {key: getattr(config, key) for key in ("mean", "std", "input_size", "fixed_input_size")}


@contextmanager
def _clear_errors(name: str, side: tuple[int, int]) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"timm_net: {name} cannot take images of {side[0]}x{side[1]} pixels ({error}); "
            "set input_size to 'native' or to a side it accepts"
        ) from error
