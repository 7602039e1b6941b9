"""Networks for natural images whose features stand beside Inception's, in the forms their publishers give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.extractors.network import Loaded
from bench.extractors.states import State, load_into
from bench.weights import TIMM, Source, Weights

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG_SIDE = VIT_SIDE = 224
AFTER_FC2 = 5  # of the classifier: linear, ReLU, dropout, linear, ReLU
CLASSIFIER = ("classifier.6.weight", "classifier.6.bias")


def vgg16_state(state: Mapping[str, Tensor], network: str = "") -> State:
    """torchvision's tensors but for the classifier's last layer, which features do not use."""
    return {k: v for k, v in state.items() if k not in CLASSIFIER}


def load_vgg16(state: Mapping[str, Tensor], origin: str) -> Loaded:
    """VGG16 up to the ReLU behind its second fully connected layer, [b, 4096]."""
    from torchvision.models import vgg16

    module = vgg16(weights=None, init_weights=False)
    module.classifier = module.classifier[:AFTER_FC2]
    load_into(module, vgg16_state(state), origin)
    return _ready(module, VGG_SIDE, IMAGENET_MEAN, IMAGENET_STD)


def build_timm(network: str, side: int | None = None, **parts: Any) -> nn.Module:
    """timm's ``network`` with a feature head; vision transformers at ``side`` pixels.

    CLIP image encoders keep their projection into the space of images and texts. ``parts`` replace timm's own, e.g.
    ``depth``. Raises :class:`ConfigError` for an unknown name.
    """
    import timm

    if not timm.is_model(network):
        near = ", ".join(timm.list_models(f"*{network.split('.')[0]}*")[:5]) or "see timm.list_models()"
        raise ConfigError(f"timm has no network {network!r}; nearest: {near}")
    if ".openai" not in network:
        parts = {"num_classes": 0, **parts}
    if side is not None:
        parts = {"img_size": side, **parts}
    module: nn.Module = timm.create_model(network, pretrained=False, **parts)
    return module


def timm_state(state: Mapping[str, Tensor], network: str) -> State:
    """``state`` under the names of timm's ``network``; forms that other publishers use are recognised."""
    with torch.device("meta"):
        module = build_timm(network, VIT_SIDE if is_dinov2(network) else None)
    return adapted(state, module)


def adapted(state: Mapping[str, Tensor], module: nn.Module) -> State:
    """``state`` under the names that ``module`` has: timm's own, OpenAI's CLIP or DINOv2's; position embeddings are
    resampled to the module's side, a classifier that features do not use is left out."""
    from timm.models import vision_transformer

    if isinstance(module, vision_transformer.VisionTransformer):
        given: State = {k: v.float() for k, v in state.items()}
        state = vision_transformer.checkpoint_filter_fn(given, module)
    head = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    heads = (head,) if isinstance(head, str) else tuple(head)
    own = module.state_dict()
    unused = {f"{h}.{part}" for h in heads for part in ("weight", "bias")} - set(own)
    return {k: v for k, v in state.items() if k not in unused}


def load_timm(network: str, state: Mapping[str, Tensor], origin: str, side: int | None = None, **parts: Any) -> Loaded:
    """timm's ``network`` (see :func:`build_timm`) with ``state``, normalised as its publisher did."""
    module = build_timm(network, side, **parts)
    load_into(module, adapted(state, module), origin)
    cfg: dict[str, Any] = dict(module.pretrained_cfg)  # type: ignore[arg-type]
    return _ready(module, side or cfg["input_size"][-1], cfg["mean"], cfg["std"])


def is_dinov2(network: str) -> bool:
    """DINOv2 is published for 518 pixels; as an extractor it works at 224 (Stein et al. 2023, arXiv:2306.04675)."""
    return "dinov2" in network


def timm_weights(network: str) -> Weights:
    """The catalogue entry of timm's ``network``: safetensors of the hub that timm names.

    Raises :class:`ConfigError` if timm does not know the network or has no weights for it.
    """
    import timm

    cfg = timm.get_pretrained_cfg(network) if timm.is_model(network) else None
    if cfg is None or not cfg.hf_hub_id:
        raise ConfigError(f"timm names no weights for {network!r}; see timm.list_pretrained()")
    with torch.device("meta"):
        size = 4 * sum(p.numel() for p in build_timm(network).parameters())
    url = f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors"
    return Weights(
        f"{TIMM}{network}", network, f"timm {network}", "bench.extractors.vision:timm_state", (Source(url),), size,
        cfg.license or "see its page", "Wightman 2019, doi:10.5281/zenodo.4414861",
    )  # fmt: skip


def _ready(module: nn.Module, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Loaded:
    whole: Any = module.eval().requires_grad_(False)  # older stubs of torch do not know this form of `to`
    red, green, blue = ((255 * m, 255 * s) for m, s in zip(mean, std, strict=True))
    shift, scale = zip(red, green, blue, strict=True)
    return Loaded(whole.to(memory_format=torch.channels_last), side, shift, scale)
