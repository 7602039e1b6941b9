"""Gradients of a batch in smaller parts: accumulated, halved where memory ends, and shared among processes.

The mean over a batch of B is the sum over its parts of their share n_k / B times their mean, and so is its gradient:
the update is that of the whole batch to rounding. Not so where rows of a batch see each other in the network (batch
normalisation normalises each part by itself) or where it draws random numbers (dropout draws for each part).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import StageError
from bench.training import processes
from bench.training.settings import settings

Tell = Callable[[str], None]
NO_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class MicroBatches:
    """Backward passes over a batch of ``batch`` rows in parts of at most ``micro`` (None: as the settings say).

    Where a part does not fit into memory, ``micro`` is halved, gradients and random numbers are set back, and the
    step is done again; the batch of an update never changes. ``tell`` hears of that once each time. Where several
    processes train together each takes an equal share of the rows, and gradients are summed over all.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], batch: int, micro: int | None = None, tell: Tell | None = None
    ) -> None:
        self.parameters, self.batch, self.tell = [p for p in parameters if p.requires_grad], batch, tell
        self.rows = processes.share(batch)
        mine = self.rows.stop - self.rows.start
        if mine < 1:
            raise StageError(f"a batch of {batch} is too small for {processes.team()} processes: one row each at least")
        self.micro = min(micro or settings().micro_batch or batch, mine)

    def backward(self, loss_of: Callable[[slice], Tensor]) -> Tensor:
        """Add the gradient of the batch's loss to ``.grad``, which must be None or zero; that loss [], detached.

        ``loss_of(rows)``: mean loss [] over the rows of the slice. What it draws from torch's global generators is
        drawn anew when parts become smaller; what must not change is to be drawn before. Raises StageError where not
        even a single row fits.
        """
        with processes.own_draws():
            while (loss := self._attempt(loss_of)) is None:
                self._halve()
        return processes.summed(loss, self.parameters)

    def _attempt(self, loss_of: Callable[[slice], Tensor]) -> Tensor | None:
        """The loss, or None where memory did not suffice; then all is as before."""
        before = _random_state()
        try:
            return self._accumulate(loss_of)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Outside the handler: the error's traceback holds the tensors of the pass that failed.
        for p in self.parameters:
            p.grad = None
        _set_random_state(before)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _accumulate(self, loss_of: Callable[[slice], Tensor]) -> Tensor:
        if self.micro >= self.batch:
            loss: Any = loss_of(slice(0, self.batch))  # torch types backward() in some versions only
            loss.backward()
            return loss.detach()  # type: ignore[no-any-return]
        parts: list[Tensor] = []
        for start in range(self.rows.start, self.rows.stop, self.micro):
            rows = slice(start, min(start + self.micro, self.rows.stop))
            part: Any = loss_of(rows) * ((rows.stop - rows.start) / self.batch)
            part.backward()
            parts.append(part.detach())
        return torch.stack(parts).sum()

    def _halve(self) -> None:
        if self.micro == 1:
            raise StageError(
                f"out of memory with one image of the batch of {self.batch} at a time: "
                "choose a smaller network or resolution, or a device with more memory"
            )
        self.micro = -(-self.micro // 2)
        if self.tell is not None:
            self.tell(f"out of memory: batches of {self.batch} now in parts of {self.micro}; the update stays the same")


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory did not suffice, of a GPU or of the processor."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def _random_state() -> list[Tensor]:
    state = [torch.get_rng_state()]
    if torch.cuda.is_available():
        state.append(torch.cuda.get_rng_state())
    return state


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1])
