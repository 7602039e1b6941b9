"""Extractors of the self-check: any registered one, or the embedding of a classifier trained for the purpose."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry
from bench.context import StageContext
from bench.contracts import Images
from bench.extractors import make
from bench.metrics.arrays import Float32
from bench.pixels import UInt8
from bench.selfcheck.ground import Extractor

DOMAIN_OPTIONS: dict[str, Any] = {"steps": 150, "widths": (16, 32, 64), "blocks": 1, "select": "last"}


class Domain:
    """Penultimate features of a classifier fitted on ``images``, float32 [N, D]; deterministic on the CPU."""

    def __init__(self, images: Images, workdir: Path, device: str = "cpu", classifier: str = "small_cnn") -> None:
        cls = registry.load("classifier", classifier)
        self._model = cls(registry.effective_config("classifier", classifier, cls, "", DOMAIN_OPTIONS))
        self._ctx = StageContext(0, workdir / "domain", device)
        self._model.fit(images, images.take(np.arange(min(64, len(images)))), self._ctx)
        trained_on = hashlib.sha256(images.key.encode()).hexdigest()[:12]
        self.identity = f"domain:{classifier}@{cls.version}:{images.size[0]}px:{trained_on}"

    def __call__(self, pixels: UInt8) -> Float32:
        """The embedding of each image."""
        return np.asarray(self._model.embed(pixels, self._ctx), dtype=np.float32)


def make_extractor(name: str, sets: dict[str, Images], workdir: Path, device: str = "cpu") -> Extractor:
    """``domain``, fitted on the spare images; or one of the registered extractors, such as ``pixels``; on ``device``.

    Raises :class:`bench.errors.ConfigError` for a name that is not known.
    """
    return Domain(sets["spare"], workdir, device) if name == "domain" else make(name, device)
