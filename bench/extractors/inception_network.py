"""The Inception network of the Fréchet distance (the TensorFlow graph of 2015-12-05), built and loaded by us.

The blocks are torch-fidelity's; its own extractor would download, unpickle freely and leave batch norm unfused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.extractors.states import State, load_into

SIDE, WIDTH, CONVOLUTIONS = 299, 2048, 94
PARTS = ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var")
GRAPH_PARTS = ("weight", "beta", "mean", "var")


def build() -> nn.Sequential:
    """The untrained network up to its global pooling: float32 [N, 3, 299, 299] in (-1, 1) -> [N, 2048]."""
    from torch_fidelity import feature_extractor_inceptionv3 as blocks

    conv = blocks.BasicConv2d
    return nn.Sequential(
        OrderedDict(
            Conv2d_1a_3x3=conv(3, 32, kernel_size=3, stride=2),
            Conv2d_2a_3x3=conv(32, 32, kernel_size=3),
            Conv2d_2b_3x3=conv(32, 64, kernel_size=3, padding=1),
            MaxPool_1=nn.MaxPool2d(kernel_size=3, stride=2),
            Conv2d_3b_1x1=conv(64, 80, kernel_size=1),
            Conv2d_4a_3x3=conv(80, 192, kernel_size=3),
            MaxPool_2=nn.MaxPool2d(kernel_size=3, stride=2),
            Mixed_5b=blocks.InceptionA(192, pool_features=32),
            Mixed_5c=blocks.InceptionA(256, pool_features=64),
            Mixed_5d=blocks.InceptionA(288, pool_features=64),
            Mixed_6a=blocks.InceptionB(288),
            Mixed_6b=blocks.InceptionC(768, channels_7x7=128),
            Mixed_6c=blocks.InceptionC(768, channels_7x7=160),
            Mixed_6d=blocks.InceptionC(768, channels_7x7=160),
            Mixed_6e=blocks.InceptionC(768, channels_7x7=192),
            Mixed_7a=blocks.InceptionD(768),
            Mixed_7b=blocks.InceptionE_1(1280),
            Mixed_7c=blocks.InceptionE_2(2048),
            AvgPool=nn.AdaptiveAvgPool2d(1),
            Flatten=nn.Flatten(),
        )
    )


def canonical_state(state: Mapping[str, Tensor], network: str = "") -> State:
    """The 94 convolutions with their batch norm, under torch-fidelity's names, from either published form.

    ``state``: torch-fidelity's own (its classifier ``fc`` is left out), or the tensors of the TensorFlow graph as
    TorchScript carriers hold them, four a convolution in the order of the network: weight, beta, mean, var. The graph
    has no gamma: it is 1. Raises :class:`ConfigError` for the tensors of another network.
    """
    with torch.device("meta"):
        names = [name for name, block in build().named_modules() if type(block).__name__ == "BasicConv2d"]
    kept = {k: v for k, v in state.items() if not k.startswith("fc.") and not k.endswith("num_batches_tracked")}
    if "Conv2d_1a_3x3.conv.weight" not in kept:
        kept = _from_graph(kept, names)
    for name in names:
        if f"{name}.bn.bias" in kept:
            kept.setdefault(f"{name}.bn.weight", torch.ones_like(kept[f"{name}.bn.bias"]))
    return kept


def _from_graph(state: Mapping[str, Tensor], names: list[str]) -> State:
    prefixes = list(dict.fromkeys(k.rpartition(".")[0] for k in state))
    expected = {f"{p}.{part}" for p in prefixes for part in GRAPH_PARTS}
    if len(prefixes) != CONVOLUTIONS or set(state) != expected:
        raise ConfigError(
            f"Inception weights: neither torch-fidelity's names nor {CONVOLUTIONS} convolutions with weight, beta, "
            f"mean and var, but {len(state)} tensors such as {next(iter(state), 'none')}"
        )
    parts = list(zip(PARTS, GRAPH_PARTS, strict=True))
    return {f"{n}.{own}": state[f"{p}.{part}"] for n, p in zip(names, prefixes, strict=True) for own, part in parts}


def loaded(state: Mapping[str, Tensor], origin: str, *, fuse: bool = True) -> nn.Module:
    """The network with ``state`` (see :func:`canonical_state`) in evaluation mode, by default fused for speed."""
    network = build()
    load_into(network, canonical_state(state), origin)
    network.eval().requires_grad_(False)
    return fused(network) if fuse else network


def fused(network: nn.Module) -> nn.Module:
    """``network`` in channels-last memory, every batch norm folded into its convolution in float64; in place.

    γ(Wx − μ)/√(σ² + ε) + β = (γ/√(σ² + ε)) W x + (β − γμ/√(σ² + ε)): the same function but for rounding.
    """
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    block: Any
    for block in network.modules():
        if type(block).__name__ == "BasicConv2d":
            folded: nn.Conv2d = fuse_conv_bn_eval(block.conv.double(), block.bn.double())
            block.conv, block.bn = folded.float().requires_grad_(False), nn.Identity()
    whole: Any = network  # older stubs of torch do not know this form of `to`
    placed: nn.Module = whole.to(memory_format=torch.channels_last)
    return placed
