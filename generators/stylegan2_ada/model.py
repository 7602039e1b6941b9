"""Fitted networks, one for all classes or one a class, and how images are drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import Context, Labels
from bench.errors import DataError
from bench.pixels import UInt8, chunks
from generators.stylegan2_ada.layers import NoiseMode
from generators.stylegan2_ada.networks import Discriminator, Generator
from generators.stylegan2_ada.shape import Shape

Float32 = NDArray[np.float32]


class StyleModel:
    """``generators``: one network, conditional or not, or one a class, None for a class that was never seen.

    ``discriminators`` go with them, None where there is none (imported networks), and are only fine-tuned from.
    """

    def __init__(
        self,
        shape: Shape,
        num_classes: int,
        generators: Sequence[Generator | None],
        discriminators: Sequence[Discriminator | None],
        *,
        width: int = 64,
        noise: NoiseMode = "random",
    ) -> None:
        self.shape, self.num_classes, self.width, self.noise = shape, num_classes, width, noise
        self.generators = [None if g is None else g.to("cpu").eval().requires_grad_(False) for g in generators]
        self.discriminators = [None if d is None else d.to("cpu").eval().requires_grad_(False) for d in discriminators]

    @property
    def still_noise(self) -> NoiseMode:
        """Noise of an image that is a function of its latents alone."""
        return "none" if self.noise == "none" else "const"

    @property
    def per_class(self) -> bool:
        """Whether each class has a network of its own."""
        return len(self.generators) > 1

    @torch.inference_mode()
    def map(self, z: Float32, labels: Labels, ctx: Context, psi: float = 1.0) -> Float32:
        """w float32 [M, w_dim] of ``z`` [M, z_dim], drawn toward the mean w if ``psi`` < 1."""
        _check_shape("latents z", z, (len(labels), self.shape.z_dim))
        out = np.empty((len(labels), self.shape.w_dim), dtype=np.float32)

        def mapped(g: Generator, zs: Tensor, c: Tensor | None, _: NDArray[np.int64]) -> Tensor:
            return g.mapping(zs, c, psi)[:, 0]

        return self._run(out, z, labels, ctx, mapped)

    @torch.inference_mode()
    def render(self, w: Float32, labels: Labels, ctx: Context, *, own_noise: bool = False) -> Float32:
        """Images float32 [M, R, R, 3] in 0..255, neither rounded nor clipped, of w [M, w_dim] or [M, L, w_dim].

        ``own_noise``: that of row i depends on the seed and i; else all have the stored noise, or none.
        """
        side, layers = self.shape.resolution, self.shape.num_ws
        if w.ndim == 2:
            w = np.broadcast_to(w[:, None], (len(w), layers, w.shape[1]))
        _check_shape("latents w", w, (len(labels), layers, self.shape.w_dim))
        out = np.empty((len(labels), side, side, 3), dtype=np.float32)

        def rendered(g: Generator, ws: Tensor, c: Tensor | None, rows: NDArray[np.int64]) -> Tensor:
            noise: Any = image_noise(rows, g.synthesis.noise_sides, ctx) if own_noise else self.still_noise
            return (g.synthesis(ws, noise) + 1.0).mul(127.5).permute(0, 2, 3, 1)

        return self._run(out, w, labels, ctx, rendered)

    def sample(self, labels: Labels, ctx: Context, psi: float) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, R, R, 3]: image i depends on the seed and i alone.

        With ``noise`` "random" every image has noise of its own, as in training.
        """
        self.check_labels(labels)
        z = image_latents(len(labels), self.shape.z_dim, ctx.seed)
        w = self.map(z, labels, ctx, psi)
        return to_uint8(self.render(w, labels, ctx, own_noise=self.noise == "random"))

    def network(self, label: int) -> Generator:
        """The generator network that draws class ``label``; raises DataError if there is none."""
        found = self.generators[label if self.per_class else 0]
        if found is None:
            raise DataError(f"class {label} had no training image, so it has no network: it cannot be drawn")
        return found

    def batches(self, labels: Labels, width: int | None = None) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(a label, rows of images that its network draws), ``width`` rows at most, by default those of the model."""
        owner = labels if self.per_class else np.zeros_like(labels)
        for k in np.unique(owner):
            rows = np.flatnonzero(owner == k)
            for part in chunks(len(rows), width or self.width):
                yield int(k), rows[part]

    def condition(self, labels: Labels, device: str) -> Tensor | None:
        """One-hot rows float32 [M, K] for a conditional network, else None."""
        if self.shape.c_dim == 0:
            return None
        return F.one_hot(torch.from_numpy(labels), self.shape.c_dim).float().to(device)

    def check_labels(self, labels: Labels) -> None:
        """Raise DataError for a label that is no class."""
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise DataError(f"labels must lie in 0..{self.num_classes - 1}, the classes the generator was fitted on")

    def state(self) -> dict[str, Any]:
        """Tree of tensors and numbers that :meth:`from_state` reads."""
        return {
            "shape": self.shape.model_dump(),
            "num_classes": self.num_classes,
            "generators": [None if g is None else g.state_dict() for g in self.generators],
            "discriminators": [None if d is None else d.state_dict() for d in self.discriminators],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], **options: Any) -> StyleModel:
        """The model whose :meth:`state` this is; ``options`` as in the constructor."""
        shape = Shape(**state["shape"])
        generators = [_loaded(shape.generator, tensors) for tensors in state["generators"]]
        discriminators = [_loaded(shape.discriminator, tensors) for tensors in state["discriminators"]]
        return cls(shape, int(state["num_classes"]), generators, discriminators, **options)

    def _run(
        self,
        out: Float32,
        given: Float32,
        labels: Labels,
        ctx: Context,
        call: Callable[..., Tensor],
    ) -> Float32:
        """Fill ``out`` [M, ...] with ``call`` on ``given`` [M, ...], always on ``width`` rows: short batches repeat."""
        self.check_labels(labels)
        done = 0
        for label, rows in self.batches(labels):
            padded = np.resize(rows, self.width)
            network = self.network(label).to(ctx.device)
            x = torch.from_numpy(np.ascontiguousarray(given[padded], dtype=np.float32)).to(ctx.device)
            y = call(network, x, self.condition(labels[padded], ctx.device), padded)
            out[rows] = y[: len(rows)].float().cpu().numpy()
            done += len(rows)
            ctx.log(done, len(labels))
        return out


def image_latents(n: int, size: int, seed: int) -> Float32:
    """z ~ N(0, I), float32 [n, size]; row i depends on ``seed`` and i alone."""
    z = np.empty((n, size), dtype=np.float32)
    for i, row in enumerate(z):
        row[:] = np.random.default_rng([seed, i]).standard_normal(size, dtype=np.float32)
    return z


def image_noise(rows: NDArray[np.int64], sides: Sequence[int], ctx: Context) -> list[Tensor]:
    """Noise N(0, 1) of images ``rows`` [n], a tensor [n, 1, r, r] for each of ``sides`` r; of seed and row alone."""
    total = sum(r * r for r in sides)
    # The third number of the seed keeps it apart from that of the latents.
    drawn = [np.random.default_rng([ctx.seed, int(i), 1]).standard_normal(total, dtype=np.float32) for i in rows]
    parts = torch.from_numpy(np.stack(drawn)).to(ctx.device).split([r * r for r in sides], dim=1)
    return [part.view(-1, 1, r, r) for part, r in zip(parts, sides, strict=True)]


def to_uint8(x: Float32) -> UInt8:
    """Rounded once, half to even, and clipped to 0..255."""
    return np.rint(x).clip(0, 255).astype(np.uint8)


def _loaded(build: Callable[[], Any], tensors: dict[str, Tensor] | None) -> Any:
    if tensors is None:
        return None
    network = build()
    network.load_state_dict(tensors, strict=True)
    return network


def _check_shape(what: str, given: Float32, expected: tuple[int, ...]) -> None:
    if given.shape != expected:
        raise DataError(f"{what} have shape {list(given.shape)}, expected {list(expected)}")
