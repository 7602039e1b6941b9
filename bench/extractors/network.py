"""What extractors with a network share: weights by name or file, one pass over the images, and their identity."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from bench import weights
from bench.contracts import Options
from bench.errors import ConfigError, DataError
from bench.extractors.images import ImageRows
from bench.extractors.resize import Policy, resize

if TYPE_CHECKING:
    from torch import Tensor, nn

Float32 = NDArray[np.float32]
BATCH = 16  # the fastest on one core, and little to fill up for a few images


class NetworkOptions(Options):
    """Options of every network extractor.

    weights    a weight file (.safetensors, a torch file of tensors, TorchScript); default: `bench weights fetch NAME`
    sha256     of that file, checked before it is read
    resize     "clean" (antialiased bicubic, not rounded) or "tf1" (TensorFlow 1's bilinear); part of the identity
    precision  "fp32", or "bf16" autocast: faster where the processor has it, other numbers, another identity
    compile    torch.compile: worth it for many images on a GPU; other rounding, another identity
    """

    weights: Path | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    resize: Policy = "clean"
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False


@dataclass(frozen=True)
class Loaded:
    """A network ready to use. It takes float32 [b, 3, side, side], normalised as (x - shift) / scale from 0..255."""

    module: nn.Module
    side: int
    shift: tuple[float, float, float]
    scale: tuple[float, float, float]


class NetworkExtractor:
    """Base of the network extractors; they give a ``base_name`` (or ``name``) and :meth:`load`.

    Every batch has the same size, the last one filled up with black images, and an image's row does not depend on its
    neighbours: on the CPU the features are equal to the bit however the images are ordered or split into sets.
    """

    version: ClassVar[str] = "1"
    Config: ClassVar[type[BaseModel]] = NetworkOptions
    base_name: ClassVar[str] = ""
    config: NetworkOptions

    def __init__(self, config: Any = None, device: str = "cpu") -> None:
        self.config = self.Config() if config is None else config  # type: ignore[assignment]
        self.device = device

    @property
    def name(self) -> str:
        """Name of the network, e.g. ``inception`` or ``timm:resnet50``."""
        return self.base_name

    @property
    def weights_name(self) -> str:
        """Name of the weights in the catalogue."""
        return self.name

    def load(self, file: Path) -> Loaded:
        """The network with the weights of ``file``, in evaluation mode on the CPU."""
        raise NotImplementedError

    @cached_property
    def file(self) -> Path:
        """The weight file. Raises :class:`ConfigError` that says how to get it, or whose checksum differs."""
        given = self.config.weights
        path = weights.locate(self.weights_name) if given is None else given
        if not path.is_file():
            raise ConfigError(f"{self.name}: no weight file {path}")
        if self.config.sha256 not in (None, weights.sha256_of(path)):
            raise ConfigError(
                f"{self.name}: {path} has sha256 {weights.sha256_of(path)}, expected {self.config.sha256}: "
                f"not the file that was meant"
            )
        return path

    @property
    def weights_sha256(self) -> str:
        """sha256 of the weight file."""
        return weights.sha256_of(self.file)

    @property
    def identity(self) -> str:
        """E.g. ``inception@1:clean:fp32:1a2b3c4d5e6f``: network, version, resize policy, precision, weights."""
        options = self.config
        precision = options.precision + ("+compile" if options.compile else "")
        return f"{self.name}@{self.version}:{options.resize}:{precision}:{self.weights_sha256[:12]}"

    def __call__(self, pixels: ImageRows) -> Float32:
        """Features float32 [N, D] of N uint8 images [H, W, 3]. Raises :class:`DataError` for N = 0."""
        blocks = list(self.blocks(pixels))
        if not blocks:
            raise DataError(f"{self.name}: no images to extract features from")
        return np.concatenate(blocks)

    def blocks(self, pixels: ImageRows, start: int = 0) -> Iterator[Float32]:
        """Features of consecutive images from ``start`` on, float32 [b, D]; two batches are in memory at a time."""
        from bench.environment import available_cores

        with ThreadPoolExecutor(available_cores()) as pool:
            ahead = None
            for first in [*range(start, len(pixels), BATCH), None]:
                ready, ahead = ahead, None if first is None else self._resized(pool, pixels, first)
                if ready is not None:
                    yield self._features([one.result() for one in ready])

    def _resized(self, pool: ThreadPoolExecutor, pixels: ImageRows, first: int) -> list[Any]:
        rows = range(first, min(first + BATCH, len(pixels)))
        side, policy = self.loaded.side, self.config.resize
        return [pool.submit(lambda i: resize(np.asarray(pixels[i]), side, policy), row) for row in rows]

    def _features(self, images: list[Float32]) -> Float32:
        """Features float32 [b, D] of b <= BATCH resized images float32 [side, side, 3]."""
        import torch

        loaded, device = self.loaded, torch.device(self.device)
        batch = np.zeros((BATCH, loaded.side, loaded.side, 3), dtype=np.float32)
        np.stack(images, out=batch[: len(images)])
        x_nchw = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2)
        shift, scale = (torch.tensor(v, device=device).view(3, 1, 1) for v in (loaded.shift, loaded.scale))
        rough = torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16")
        with torch.inference_mode(), rough, _full_float32(device.type):
            found: Tensor = self._placed((x_nchw - shift) / scale)
        rows: Float32 = found[: len(images)].float().cpu().numpy()
        return rows.reshape(len(images), -1)

    @cached_property
    def loaded(self) -> Loaded:
        """The network, read from its file once."""
        return self.load(self.file)

    @cached_property
    def _placed(self) -> Any:
        import torch

        module = self.loaded.module.to(self.device)
        return torch.compile(module) if self.config.compile else module


def _full_float32(device_type: str) -> AbstractContextManager[Any]:
    """On CUDA, convolutions in float32 proper: cuDNN's default there is TF32, with 10 bits of mantissa."""
    if device_type != "cuda":
        return nullcontext()
    from torch.backends import cudnn

    return cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
