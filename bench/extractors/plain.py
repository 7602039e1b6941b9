"""``pixels`` and ``domain``: features without weights from elsewhere."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench import registry
from bench.contracts import Options
from bench.errors import ConfigError
from bench.extractors.images import ImageRows

Float32 = NDArray[np.float32]


class PixelsOptions(Options):
    """Options of :class:`Pixels`: ``side`` of the thumbnails."""

    side: int = Field(default=16, ge=1)


class Pixels:
    """Area-averaged thumbnails [N, 3 side²] in [0, 1]: no network, and only near-copies are near."""

    version: ClassVar[str] = "1"
    Config = PixelsOptions
    weights_sha256 = ""

    def __init__(self, config: Any = None) -> None:
        self.config: PixelsOptions = config or PixelsOptions()

    @property
    def identity(self) -> str:
        """E.g. ``pixels@1:area-16px``."""
        return f"pixels@{self.version}:area-{self.config.side}px"

    def __call__(self, pixels: ImageRows) -> Float32:
        """float32 [N, 3 side²] of N uint8 images [H, W, 3]."""
        from bench.metrics import pixel_features

        if isinstance(pixels, np.ndarray) and pixels.ndim == 4:
            return pixel_features(pixels, self.config.side)
        images = (np.asarray(pixels[i]) for i in range(len(pixels)))
        rows = [pixel_features(image[None], self.config.side) for image in images]
        return np.concatenate(rows) if rows else np.empty((0, 3 * self.config.side**2), np.float32)


class DomainOptions(Options):
    """Options of :class:`Domain` outside a run.

    classifier  name of the classifier whose embedding is meant (a run takes its section ``domain`` instead)
    model       folder in which a classifier was saved: ``model`` in a stage "train" of the store
    """

    classifier: str = "small_cnn"
    model: Path | None = None


class Domain:
    """The embedding [N, D] of a classifier fitted on the task itself; a run fits it on its own train split."""

    version: ClassVar[str] = "1"
    Config = DomainOptions

    def __init__(self, config: Any = None, device: str = "cpu") -> None:
        self.config: DomainOptions = config or DomainOptions()
        self.device = device

    @property
    def identity(self) -> str:
        """E.g. ``domain:small_cnn@1:1a2b3c4d5e6f``."""
        version = getattr(registry.load("classifier", self.config.classifier), "version", "0")
        return f"domain:{self.config.classifier}@{version}:{self.weights_sha256[:12]}"

    @property
    def weights_sha256(self) -> str:
        """sha256 over the files of the fitted classifier."""
        return folder_sha256(self._folder)

    def __call__(self, pixels: Any) -> Float32:
        """float32 [N, D] of uint8 [N, H, W, 3] of the resolution that the classifier was trained on."""
        from tempfile import TemporaryDirectory

        from bench.context import StageContext

        with TemporaryDirectory() as scratch:
            ctx = StageContext(0, Path(scratch), self.device)
            return np.asarray(self._fitted.embed(pixels, ctx), dtype=np.float32)

    @property
    def _folder(self) -> Path:
        if self.config.model is None:
            raise ConfigError(
                "the domain extractor is fitted by a run; outside of one set its option model to the folder of a "
                "fitted classifier (STORE/train/../../model), or take another extractor such as pixels"
            )
        if not self.config.model.is_dir():
            raise ConfigError(f"domain: no folder {self.config.model} with a fitted classifier")
        return self.config.model

    @cached_property
    def _fitted(self) -> Any:
        cls = registry.load("classifier", self.config.classifier)
        stage = self._folder.parent / "stage.json"
        stored = json.loads(stage.read_text())["config"] if stage.is_file() else {}
        options = registry.effective_config("classifier", self.config.classifier, cls, "", stored)
        return cls.load(self._folder, options)


def folder_sha256(folder: Path) -> str:
    """sha256 over the files of ``folder``, in the order of their paths."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
