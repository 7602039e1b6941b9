"""The training loop that torch plugins share: seeded, resumable to the bit on the CPU, with EMA and autocast.

A plugin gives its modules, its optimisers and a function for one step; the loop owns random numbers and checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import Context
from bench.errors import StageError
from bench.pixels import PixelArray
from bench.training.accumulation import out_of_memory
from bench.training.divergence import Watch

IN_MEMORY_BYTES = 2**30
Step = Callable[[int, torch.Generator], Mapping[str, Tensor | float]]


class Ema:
    """Exponential moving average of a module's parameters; buffers are copied.

    decay_t = min(decay, (1 + t) / (10 + t)), the warm-up of Tan & Le (2019, arXiv:1905.11946) and TensorFlow.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        import copy

        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average toward ``module``'s parameters."""
        self.updates += 1
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), self.weight())
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)

    def weight(self) -> float:
        """Share of the newest parameters in the average after ``updates`` updates."""
        return 1.0 - min(self.decay, (1 + self.updates) / (10 + self.updates))

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])


def train_loop(
    ctx: Context,
    steps: int,
    parts: Mapping[str, Any],
    step: Step,
) -> None:
    """Call ``step(i, rng)`` for i in 0..steps-1, from the last checkpoint if there is one.

    ``parts``: everything with ``state_dict`` and ``load_state_dict`` that changes (modules, optimisers, EMA,
    schedulers, a best-so-far keeper). ``rng``: CPU generator; torch's global generators are seeded too and stored,
    so dropout resumes as well. ``step`` returns scalars to log; one that is not finite, or a ``loss`` that explodes,
    raises :class:`bench.errors.StageError` that names the step, and the last good state is left to resume from (see
    :class:`bench.training.divergence.Watch`). The caller seeds and builds modules with :func:`seed_all` before.
    """
    rng = torch.Generator().manual_seed(ctx.seed)
    start = 0
    found = ctx.latest()
    if found is not None:
        start, state = found
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        _set_rng(rng, state["rng"])

    def snapshot() -> dict[str, Any]:
        return {"parts": {k: p.state_dict() for k, p in parts.items()}, "rng": _get_rng(rng)}

    watch = Watch(ctx, parts, snapshot, start)
    check_every = max(1, min(50, steps // 20))
    for i in range(start, steps):
        scalars = _done(step, i, rng)
        watch.see(i + 1, scalars)
        if (i + 1) % check_every == 0 or i + 1 == steps:
            watch.check()
        ctx.log(i + 1, steps, **scalars)
        watch.checkpoint(i + 1)


def _done(step: Step, i: int, rng: torch.Generator) -> Mapping[str, Tensor | float]:
    """``step(i, rng)``; raises StageError that says what to do where memory ends."""
    try:
        return step(i, rng)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise StageError(
        f"out of memory in step {i + 1}: this training needs its batch as a whole. Choose a smaller batch (bench "
        f"describe NAME tells the option), a smaller network or resolution, or a device with more memory ({reason})"
    )


def seed_all(seed: int) -> None:
    """Seed torch's global generators (CPU and CUDA): call before building modules."""
    torch.manual_seed(seed)


def placed(module: Any, device: str) -> Any:
    """``module`` on ``device`` in the faster memory layout.

    channels_last pays for tensor cores; on the CPU its group norm costs more than its convolutions gain (2x in all).
    """
    on_cuda = torch.device(device).type == "cuda"
    return module.to(device, memory_format=torch.channels_last if on_cuda else torch.contiguous_format)


def autocast(ctx: Context) -> AbstractContextManager[Any]:
    """bf16 autocast on the context's device if its precision is "bf16", else nothing."""
    if ctx.precision != "bf16":
        return nullcontext()
    return torch.autocast(device_type=torch.device(ctx.device).type, dtype=torch.bfloat16)


class PixelTensor:
    """uint8 [N, H, W, 3] pixels by row index as uint8 tensors [n, 3, H, W]; kept in memory (or on the GPU) if small."""

    def __init__(self, pixels: PixelArray, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.shape = pixels.shape
        small = math.prod(pixels.shape) <= IN_MEMORY_BYTES
        self._source = pixels
        self._tensor = torch.from_numpy(np.asarray(pixels[:]).copy()).to(self.device) if small else None

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        _, height, width, channels = self.shape
        return channels, height, width

    def __getitem__(self, rows: Tensor) -> Tensor:
        if self._tensor is not None:
            x_nhwc = self._tensor[rows.to(self.device)]
        else:
            x_nhwc = torch.from_numpy(np.ascontiguousarray(self._source[rows.cpu().numpy()])).to(self.device)
        return x_nhwc.permute(0, 3, 1, 2)


class BatchRows:
    """Rows of the next batch, drawn with replacement: uniformly, or with equal class prior (``balanced``).

    Classes without images get no draws. Stateless: everything random comes from the ``rng`` of the loop.
    """

    def __init__(self, labels: NDArray[np.int64], batch: int, *, balanced: bool) -> None:
        self.n, self.batch, self.balanced = len(labels), batch, balanced
        present = np.unique(labels)
        self.members = [torch.from_numpy(np.flatnonzero(labels == k)) for k in present]

    def __call__(self, rng: torch.Generator) -> Tensor:
        """Row indices int64 [batch]."""
        if not self.balanced:
            return torch.randint(self.n, (self.batch,), generator=rng)
        of_class = torch.randint(len(self.members), (self.batch,), generator=rng)
        u = torch.rand(self.batch, generator=rng, dtype=torch.float64)
        sizes = torch.tensor([len(m) for m in self.members])
        position = (u * sizes[of_class]).long()
        return torch.stack([self.members[int(k)][int(p)] for k, p in zip(of_class, position, strict=True)])


def _get_rng(rng: torch.Generator) -> dict[str, Any]:
    state: dict[str, Any] = {"loop": rng.get_state(), "cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = list(torch.cuda.get_rng_state_all())
    return state


def _set_rng(rng: torch.Generator, state: Mapping[str, Any]) -> None:
    rng.set_state(state["loop"])
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
