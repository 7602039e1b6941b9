"""Feature extractors by name: networks that turn images into rows, which distances are computed on.

>>> from bench.extractors import make
>>> features = make("inception")(pixels)  # float32 [N, 2048] of uint8 [N, H, W, 3]

An extractor's ``identity`` names network, weights (by sha256), resize policy and precision. Numbers under different
identities are different metrics: they share no table and no ranking. Nothing here imports torch before images come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bench import registry
from bench.extractors.images import ImageFiles, ImageRows

TIMM = "timm:"

__all__ = ["Extractor", "ImageFiles", "ImageRows", "make", "resolve"]


@runtime_checkable
class Extractor(Protocol):
    """A plugin of the entry-point group ``bench.extractors``, built as ``Class(config)`` or without arguments."""

    version: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    @property
    def identity(self) -> str:
        """Network, weights, resize policy and precision in one line; equal identities mean comparable features."""

    @property
    def weights_sha256(self) -> str:
        """sha256 of the weight file, "" where there are no weights. Raises ConfigError if they are not here."""

    def __call__(self, pixels: ImageRows) -> NDArray[np.float32]:
        """Features float32 [N, D] of N uint8 images [H, W, 3]; sizes may differ between images."""


def resolve(name: str, options: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
    """(class, its options) of the extractor ``name``: a registered one, ``timm:NETWORK`` or ``package.module:Class``.

    Raises :class:`bench.errors.ConfigError` for an unknown name.
    """
    given = dict(options or {})
    if name.startswith(TIMM):
        return registry.load("extractor", "timm"), {"network": name.removeprefix(TIMM), **given}
    return registry.load("extractor", name), given


def make(name: str, device: str = "cpu", **options: Any) -> Extractor:
    """The extractor ``name`` with ``options`` of its Config, working on ``device`` ("cpu", "cuda", "cuda:1").

    Raises :class:`bench.errors.ConfigError` for an unknown name or option; weights are looked for when first needed.
    """
    cls, given = resolve(name, options)
    made: Extractor = cls(registry.effective_config("extractor", name, cls, "", given))
    if hasattr(made, "device"):
        made.device = device
    return made
