"""State dicts made elsewhere, under the published names: read, measured, checked and stored as a fitted generator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import DataError
from bench.trees import save_tree
from generators.stylegan2_ada.model import StyleModel
from generators.stylegan2_ada.networks import Discriminator, Generator, widths_of
from generators.stylegan2_ada.shape import Shape

Tensors = dict[str, Tensor]

AVERAGED, DISCRIMINATOR = ("G_ema", "generator_ema", "G", "generator"), ("D", "discriminator")
SHOWN = 5


def import_weights(
    file: Path, folder: Path, *, conv_clamp: float | None = 256.0, mbstd_group: int = 4
) -> tuple[Shape, bool]:
    """Write the networks in ``file`` into the empty or absent ``folder``; returns their sizes, and whether D was there.

    file        safetensors, or a torch file of tensors alone (read with ``weights_only``): a state dict of G, or one of
                both with the prefixes ``G_ema.`` (else ``G.``) and ``D.``, or a dict of such dicts
    conv_clamp  the bound the networks were trained with, which no weight tells; the authors' is 256

    Raises DataError that names the file and the tensor where something does not fit.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty: name another folder with --out, or remove it")
    tensors = read_tensors(file)
    averaged, critic = split_networks(tensors, file)
    shape = shape_of_weights(averaged, file, conv_clamp, mbstd_group)
    generator, discriminator = shape.generator(), None
    load_strictly(generator, averaged, file)
    if critic:
        discriminator = shape.discriminator()
        load_strictly(discriminator, critic, file)
    model = StyleModel(shape, max(1, shape.c_dim), [generator], [discriminator])
    save_tree(folder, model.state())
    return shape, discriminator is not None


def read_tensors(file: Path) -> Tensors:
    """All tensors of ``file`` by dotted name, float32. Nothing in it is executed."""
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(str(file))
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(
            f"{file}: is neither safetensors nor a torch file of tensors alone ({_first_line(error)}). Make a pickle "
            "of whole networks a state dict where it comes from: torch.save(G_ema.state_dict(), FILE)"
        ) from error
    tensors = dict(_flat(found, ""))
    if not tensors:
        raise DataError(f"{file}: holds no tensor")
    return {name: t.float() for name, t in tensors.items()}


def split_networks(tensors: Tensors, file: Path) -> tuple[Tensors, Tensors]:
    """(generator, discriminator) state dicts, the second one empty if it is not there. Averaged weights come first."""
    plain = tensors if any(k.startswith("synthesis.") for k in tensors) else {}
    generator = next((found for p in AVERAGED if (found := _below(tensors, p))), plain)
    critic = next((found for p in DISCRIMINATOR if (found := _below(tensors, p))), {})
    if not any(k.startswith("synthesis.") for k in generator):
        names = ", ".join(list(tensors)[:SHOWN])
        raise DataError(f"{file}: no tensor synthesis.b4.const, so no StyleGAN2 generator; it has {names} ...")
    return generator, critic


def shape_of_weights(tensors: Mapping[str, Tensor], file: Path, conv_clamp: float | None, mbstd_group: int) -> Shape:
    """The sizes that the generator's tensors tell. Raises DataError for one that is missing, or widths of no rule."""
    blocks = (re.match(r"synthesis\.b(\d+)\.", name) for name in tensors)
    resolutions = sorted({int(block[1]) for block in blocks if block})
    last = f"synthesis.b{resolutions[-1]}.torgb.weight"
    if (channels := _side(tensors, last, 0, file)) != 3:
        raise DataError(f"{file}: {last} makes {channels} colours, but images here have 3")
    widths = {r: _side(tensors, f"synthesis.b{r}.conv1.weight", 0, file) for r in resolutions}
    w_dim = _side(tensors, "mapping.w_avg", 0, file)
    c_dim = _side(tensors, "mapping.embed.weight", 1, file) if "mapping.embed.weight" in tensors else 0
    most = max(widths.values())
    thinner = [r * width for r, width in widths.items() if width < most]
    base = thinner[0] if thinner else most * resolutions[-1]
    try:
        expected = widths_of(resolutions[-1], base, most)
    except ValueError as error:
        raise DataError(f"{file}: {error}") from error
    if expected != widths:
        raise DataError(
            f"{file}: feature maps {widths} follow no rule min(channel_base / resolution, channel_max); "
            f"with {base} and {most} they would be {expected}"
        )
    return Shape(
        resolution=resolutions[-1],
        z_dim=_side(tensors, "mapping.fc0.weight", 1, file) - (w_dim if c_dim else 0),
        c_dim=c_dim,
        w_dim=w_dim,
        mapping_layers=sum(1 for k in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", k)),
        channel_base=base,
        channel_max=most,
        conv_clamp=conv_clamp,
        mbstd_group=mbstd_group,
    )


def load_strictly(network: Generator | Discriminator, tensors: Tensors, file: Path) -> None:
    """Load every tensor and no other; raises DataError that names those that are missing, unknown or misshapen."""
    own, kind = network.state_dict(), type(network).__name__.lower()
    missing, unknown = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    other = [
        f"{k} is {list(tensors[k].shape)}, not {list(own[k].shape)}"
        for k in own
        if k in tensors and tensors[k].shape != own[k].shape
    ]
    problems = [f"{len(found)} {what}: {', '.join(found[:SHOWN])}" for what, found in
                (("missing", missing), ("unknown", unknown), ("of another shape", other)) if found]  # fmt: skip
    if problems:
        raise DataError(f"{file}: is no state dict of a StyleGAN2 {kind}: {'; '.join(problems)}")
    module: nn.Module = network
    module.load_state_dict(tensors, strict=True)


def _flat(node: Any, prefix: str) -> Any:
    if isinstance(node, Tensor):
        yield prefix, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))


def _below(tensors: Tensors, prefix: str) -> Tensors:
    start = f"{prefix}."
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}


def _side(tensors: Mapping[str, Tensor], name: str, axis: int, file: Path) -> int:
    if name not in tensors or tensors[name].ndim <= axis:
        raise DataError(f"{file}: no tensor {name}, so no state dict of a StyleGAN2 generator")
    return int(tensors[name].shape[axis])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
