"""Weights of a network from elsewhere: a file, an installed package, or a model hub; never unpickled freely."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from torch import Tensor, nn

from bench.errors import ConfigError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
WRAPPERS = ("state_dict", "model", "model_state_dict")
PACKAGE = "package:"
HUB = "hf-hub:"
OFFLINE_HELP = "set pretrained to false, to a .safetensors or .pth file, or to 'package:NAME' (an installed one)"


def load_pretrained(model: nn.Module, name: str, source: str | bool, sha256: str | None) -> list[str]:
    """Start ``model`` (timm network ``name``) from ``source`` in place; returns notes on what was and was not loaded.

    source  True (the weights timm names), "hf-hub:user/model" (both download at first use), "package:NAME", or a path
    sha256  of the file that a path or package gives, checked before it is read

    Raises :class:`ConfigError` if the source is not there, its checksum differs, or it is of another network. A head
    of another number of classes is not loaded, which a note says.
    """
    if source is False:
        return []
    if source is True or str(source).startswith(HUB):
        state, origin = _from_hub(name, None if source is True else str(source)[len(HUB) :])
    else:
        file = _package_file(str(source)[len(PACKAGE) :]) if str(source).startswith(PACKAGE) else Path(str(source))
        state, origin = read_weights(file, sha256), str(source)
    return [f"{name} starts from {origin}", *load_matching(model, state, origin)]


def read_weights(file: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Tensors of a safetensors file or of a torch file that holds nothing but tensors."""
    if not file.is_file():
        raise ConfigError(f"timm_net: no weights at {file}: give a {', '.join(SUFFIXES)} file or {HUB}user/model")
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if sha256 else None
    if digest != sha256:
        raise ConfigError(f"timm_net: {file} has sha256 {digest}, expected {sha256}: not the file that was meant")
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(file))
    import torch

    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not what it should be
        raise ConfigError(f"timm_net: {file} holds more than tensors, or is no torch file: {error}") from error
    for key in WRAPPERS:
        found = found[key] if isinstance(found.get(key), Mapping) else found
    return {k.removeprefix("module."): v for k, v in found.items() if isinstance(v, Tensor)}


def load_matching(model: nn.Module, state: dict[str, Tensor], origin: str) -> list[str]:
    """Load ``state`` into ``model`` but for a head of another shape; by order where only the names differ."""
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    of_head = {id(p) for p in _head(model).parameters()}
    head = {name for name, p in model.named_parameters() if id(p) in of_head}
    notes = []
    if not set(state) & set(own) and len(state) == len(own):
        state = dict(zip(own, state.values(), strict=True))
        notes.append("names differ: matched by order and shape")
    wrong = [k for k in own if k not in head and (k not in state or state[k].shape != own[k].shape)]
    if wrong:
        raise ConfigError(
            f"timm_net: {origin} is not of this network: {len(wrong)} of {len(own)} tensors are missing "
            f"or of another shape, the first is {wrong[0]}"
        )
    fresh = sorted(k for k in head if k not in state or state[k].shape != own[k].shape)
    if fresh:
        notes.append(f"new head for {_head(model).out_features} classes: {', '.join(fresh)} not loaded")
    model.load_state_dict({k: v for k, v in state.items() if k in own and k not in fresh}, strict=False)
    return notes


def _head(model: nn.Module) -> nn.Module:
    found = model.get_classifier() if hasattr(model, "get_classifier") else model.fc  # type: ignore[operator]
    return found  # type: ignore[return-value]


def _package_file(distribution: str) -> Path:
    try:
        listed = files(distribution) or []
    except PackageNotFoundError:
        raise ConfigError(f"timm_net: package {distribution!r} is not installed: pip install it first") from None
    found = [Path(str(f.locate())) for f in listed if f.suffix in SUFFIXES]
    if len(found) != 1:
        raise ConfigError(f"timm_net: package {distribution!r} holds {len(found)} weight files, expected one")
    return found[0]


def _from_hub(name: str, hub_id: str | None) -> tuple[dict[str, Tensor], str]:
    origin = hub_id or ("torchvision's weights" if name == "googlenet" else "timm's weights")
    try:
        return _download(name, hub_id).state_dict(), origin
    except Exception as error:  # offline, unknown id, no weights: timm and the hub raise many kinds
        raise ConfigError(f"timm_net: cannot get {origin} for {name}: {error}; {OFFLINE_HELP}") from error


def _download(name: str, hub_id: str | None) -> nn.Module:
    if name == "googlenet" and hub_id is None:
        from torchvision.models import googlenet

        return googlenet(weights="DEFAULT")  # type: ignore[no-any-return]
    import timm

    overlay = None if hub_id is None else {"hf_hub_id": hub_id}
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
