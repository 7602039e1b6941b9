"""The ImageNet networks below LPIPS (Zhang et al. 2018, arXiv:1801.03924): convolutions of AlexNet and VGG16."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from bench.errors import ConfigError
from bench.extractors.states import State

# Positions of the convolutions in torchvision's ``features``.
CONVOLUTIONS = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
_FLAX = re.compile(r"(?:AlexNet|VGG16)_0\.Conv_(\d+)\.(kernel|bias)")


def backbone_state(state: Mapping[str, Tensor], network: str) -> State:
    """Convolutions of ``network`` ("alex", "vgg") under torchvision's names, ``features.0.weight`` [O, I, h, w], ...

    From torchvision's tensors, or from those of Flax: ``AlexNet_0.Conv_0.kernel`` [h, w, I, O] in the same order.
    Raises :class:`ConfigError` that names what is missing.
    """
    named = dict(state)
    for name, tensor in state.items():
        flax = _FLAX.fullmatch(name)
        if flax and int(flax[1]) < len(CONVOLUTIONS[network]):
            kind = "weight" if flax[2] == "kernel" else "bias"
            place = f"features.{CONVOLUTIONS[network][int(flax[1])]}.{kind}"
            named[place] = tensor.permute(3, 2, 0, 1) if kind == "weight" else tensor
    wanted = [f"features.{i}.{kind}" for i in CONVOLUTIONS[network] for kind in ("weight", "bias")]
    missing = [name for name in wanted if name not in named]
    if missing:
        raise ConfigError(f"not the convolutions of LPIPS ({network}): {missing[0]} is missing")
    return {name: named[name].float().contiguous() for name in wanted}
