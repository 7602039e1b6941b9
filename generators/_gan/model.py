"""A fitted generator network, and how images are drawn from it: class by class, in batches of a fixed width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import Context, Labels
from bench.errors import DataError
from bench.loop import autocast
from bench.pixels import UInt8, chunks


class LatentModel:
    """``network`` maps (z float32 [B, L], y int64 [B]) to images [B, 3, S, S] in about [-1, 1].

    ``seen``: the classes it was trained on; ``width``: rows of every call; ``extra``: plain values stored beside it.
    """

    def __init__(
        self, network: nn.Module, side: int, latent: int, seen: Sequence[int], width: int, **extra: Any
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.side, self.latent, self.seen, self.width, self.extra = side, latent, list(seen), width, extra

    def sample(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> UInt8:
        """uint8 [M, S, S, 3] of ``z`` [M, L]: clipped, and rounded once and half to even."""
        return np.rint(np.clip(self.render(z, labels, ctx), 0.0, 255.0)).astype(np.uint8)

    @torch.inference_mode()
    def render(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """float32 [M, S, S, 3] on the scale 0..255 of ``z`` [M, L]. Raises DataError for labels never seen.

        Classes are drawn apart, so that a network of one class always has the same batch shape, whatever the rest.
        """
        labels = self._checked(labels)
        if z.shape != (len(labels), self.latent):
            raise DataError(f"latents have shape {z.shape}, expected {(len(labels), self.latent)}")
        self.network.to(ctx.device)
        out = np.empty((len(labels), self.side, self.side, 3), dtype=np.float32)
        done = 0
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            for part in chunks(len(members), self.width):
                rows = members[part]
                padded = np.resize(rows, self.width) if len(rows) < self.width else rows
                out[rows] = self._call(z[padded], int(label), ctx)[: len(rows)]
                done += len(rows)
                ctx.log(done, len(labels))
        return out

    def state(self) -> dict[str, Any]:
        """Tree of tensors and numbers from which the plugin rebuilds the model."""
        return {"network": self.network.state_dict(), "side": self.side, "seen": self.seen, **self.extra}

    def _call(self, z: NDArray[np.float32], label: int, ctx: Context) -> NDArray[np.float32]:
        latents = torch.from_numpy(np.ascontiguousarray(z)).to(ctx.device)
        y = torch.full((len(z),), label, device=ctx.device)
        with autocast(ctx):
            x: Tensor = self.network(latents, y)
        return ((x.float() + 1.0) * 127.5).permute(0, 2, 3, 1).cpu().numpy()

    def _checked(self, labels: Labels) -> Labels:
        labels = np.asarray(labels, dtype=np.int64)
        if len(strange := np.setdiff1d(labels, self.seen)):
            known = ", ".join(map(str, self.seen))
            raise DataError(
                f"label {strange[0]} is none that the generator was fitted on: there were images of {known}"
            )
        return labels
