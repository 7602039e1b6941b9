"""Divergence told at the step where it began, and the last good state kept to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from bench.contracts import Context
from bench.errors import StageError

EXPLOSION = 1e3
KEPT_BYTES = 2**31
COPY_SHARE = 1 / 300

State = dict[str, Any]
Scalars = Mapping[str, Tensor | float]


class Watch:
    """Looks at the scalars of every step, in blocks so that the device is asked rarely, and keeps good states.

    Diverged is: a scalar that is not finite; a ``loss`` of more than ``EXPLOSION`` times the median of its former
    blocks (of 1 if that is less); parameters that are not finite where a state is to be kept. At the end of a block
    the state is copied to main memory, if it is below ``KEPT_BYTES`` and copying so far took at most ``COPY_SHARE``
    of the time. Nothing here draws random numbers or changes a state.
    """

    def __init__(self, ctx: Context, parts: Mapping[str, Any], snapshot: Callable[[], State], start: int) -> None:
        self.ctx, self.snapshot, self.good_on_disk = ctx, snapshot, start
        modules = [part for part in parts.values() if isinstance(part, nn.Module)]
        self.parameters = [p for module in modules for p in module.parameters()]
        self._recent: list[tuple[int, Scalars]] = []
        self._losses: list[float] = []
        self._step = start
        self._good: tuple[int, State] | None = None
        self._too_large = False
        self._copying, self._last_copy, self._begun = 0.0, 0.0, time.monotonic()

    def see(self, step: int, scalars: Scalars) -> None:
        """Remember the scalars of ``step`` (from 1) until the next :meth:`check`."""
        self._recent.append((step, scalars))

    def check(self) -> None:
        """Raise StageError if training diverged in the steps since the last check; else end the block."""
        self._look()
        spent = time.monotonic() - self._begun
        due = self._copying + self._last_copy <= COPY_SHARE * spent  # the next one will take as long as the last
        if not self._too_large and due and self._finite_parameters():
            self._keep_copy(self._step)

    def checkpoint(self, step: int) -> None:
        """Offer the state after ``step`` to the context; one that diverged is never written."""

        def state() -> State:
            self._look()
            if not self._finite_parameters():
                self._diverged(step, "parameters are not finite after")
            self.good_on_disk = step
            return self.snapshot()

        self.ctx.checkpoint(step, state)

    def _look(self) -> None:
        if not self._recent:
            return
        limit = EXPLOSION * max(1.0, median(self._losses) if self._losses else math.inf)
        for (step, scalars), values in zip(self._recent, _read([s for _, s in self._recent]), strict=True):
            for name, value in zip(scalars, values, strict=True):
                if not math.isfinite(value):
                    self._diverged(step, f"{name} is {value} at")
                if name == "loss" and abs(value) > limit:
                    self._diverged(step, f"loss is {value:.3g}, more than {limit:.3g}, at")
        last = dict(zip(self._recent[-1][1], values, strict=True))
        if "loss" in last:
            self._losses.append(abs(last["loss"]))
        self._step = self._recent[-1][0]
        self._recent.clear()

    @torch.no_grad()
    def _finite_parameters(self) -> bool:
        if not self.parameters:
            return True
        # A sum is finite only if all that is summed is; float64 leaves no room for an overflow of the sum itself.
        return bool(torch.stack([p.sum(dtype=torch.float64) for p in self.parameters]).isfinite().all())

    def _keep_copy(self, step: int) -> None:
        start = time.monotonic()
        state = self.snapshot()
        self._too_large = _bytes(state) > KEPT_BYTES
        self._good = None if self._too_large else (step, _copied(state))
        self._last_copy = time.monotonic() - start
        self._copying += self._last_copy

    def _diverged(self, step: int, what: str) -> NoReturn:
        if self._good is not None and self._good[0] > self.good_on_disk:
            self.good_on_disk, state = self._good
            getattr(self.ctx, "keep", self.ctx.checkpoint)(self.good_on_disk, lambda: state)
        kept = "no good state was kept"
        if self.good_on_disk:
            kept = f"the last good state, after step {self.good_on_disk}, is kept in {self.ctx.workdir}"
        raise StageError(f"training diverged: {what} step {step}; lower the learning rate ({kept})")


def _read(rows: list[Scalars]) -> list[list[float]]:
    """The numbers of all ``rows``; tensors of a device come in one transfer."""
    flat = [value for row in rows for value in row.values()]
    at = [i for i, value in enumerate(flat) if isinstance(value, Tensor)]
    numbers = [0.0 if isinstance(value, Tensor) else float(value) for value in flat]
    if at:
        values = torch.stack([torch.as_tensor(flat[i]).detach().reshape(()).to(torch.float32) for i in at]).tolist()
        for i, value in zip(at, values, strict=True):
            numbers[i] = value
    told = iter(numbers)
    return [[next(told) for _ in row] for row in rows]


def _leaves(node: Any) -> list[Tensor]:
    if isinstance(node, Tensor):
        return [node]
    if isinstance(node, Mapping):
        return [leaf for child in node.values() for leaf in _leaves(child)]
    return [leaf for child in node for leaf in _leaves(child)] if isinstance(node, (list, tuple)) else []


def _bytes(state: State) -> int:
    return sum(t.numel() * t.element_size() for t in _leaves(state))


def _copied(node: Any) -> Any:
    if isinstance(node, Tensor):
        return node.detach().to("cpu", copy=True)
    if isinstance(node, Mapping):
        return {k: _copied(v) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_copied(v) for v in node)
    return node.copy() if hasattr(node, "dtype") else node
