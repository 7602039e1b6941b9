"""Gradients of a batch in smaller parts: accumulated, halved where memory ends, and shared among processes.

The mean over a batch of B is the sum over its parts of their share n_k / B times their mean, and so is its gradient:
the update is that of the whole batch to rounding. Rows that see each other in groups (the standard deviation over a
minibatch) stay in one part. Not so where all rows of a batch do (batch normalisation normalises each part by itself) or
where the network draws random numbers (dropout draws for each part).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import StageError
from bench.training import processes
from bench.training.settings import settings

Tell = Callable[[str], None]
Rows = Any
"""Which rows of a batch: a slice, or where rows come in groups perhaps their indices, int64 [n]."""
NO_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class MicroBatches:
    """Backward passes over a batch of ``batch`` rows in parts of at most ``micro`` (None: as the settings say).

    Where a part does not fit into memory, ``micro`` is halved, gradients and random numbers are set back, and the
    step is done again; the batch of an update never changes. ``tell`` hears of that once each time. Where several
    processes train together each takes an equal share of the rows, and gradients are summed over all.

    ``group``: rows that belong together, a divisor of ``batch``. With n = batch / group the rows i, i + n, i + 2 n, ...
    are a group, as they are for ``x.view(group, n, ...)``; a part has whole groups, in that order.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        batch: int,
        micro: int | None = None,
        tell: Tell | None = None,
        group: int = 1,
    ) -> None:
        if batch % group:
            raise ValueError(f"a batch of {batch} has no whole groups of {group}")
        self.parameters, self.batch = [p for p in parameters if p.requires_grad], batch
        self.tell, self.group = tell, group
        self._mine: slice = processes.share(batch // group)  # groups that this process works on
        groups = self._mine.stop - self._mine.start
        if groups < 1:
            each = "one row" if group == 1 else f"{group} rows"
            raise StageError(
                f"a batch of {batch} is too small for {processes.team()} processes: {each} each at least. Choose a "
                "larger batch, fewer processes, or smaller groups of images whose variety is judged together"
            )
        wanted = micro or settings().micro_batch or batch
        self.groups: int = min(max(1, wanted // group), groups)

    @property
    def micro(self) -> int:
        """Most rows of a part."""
        return self.groups * self.group

    @property
    def whole(self) -> bool:
        """Whether a part is the whole batch."""
        return self.micro == self.batch

    def backward(self, loss_of: Callable[[Rows], Tensor]) -> Tensor:
        """Add the gradient of the batch's loss to ``.grad``, which must be None or zero; that loss [], detached.

        ``loss_of(rows)``: mean loss [] over the rows. What it draws from torch's global generators is drawn anew when
        parts become smaller; what must not change is to be drawn before. Raises StageError where not even a single
        row, or group of rows, fits.
        """
        return self.told(lambda rows: {"loss": loss_of(rows)})["loss"]

    def told(self, losses_of: Callable[[Rows], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """As :meth:`backward` with further means over the rows beside the ``loss``, of any shape; all, detached.

        They are means over the whole batch: of all its parts and processes.
        """
        with processes.own_draws():
            while (told := self._attempt(losses_of)) is None:
                self._halve()
        return processes.summed(told, self.parameters)

    def update(
        self, optimiser: torch.optim.Optimizer, losses_of: Callable[[Rows], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """One step of ``optimiser`` by the gradients of :meth:`told`, and what that gives."""
        optimiser.zero_grad(set_to_none=True)
        told = self.told(losses_of)
        optimiser.step()
        return told

    def _attempt(self, losses_of: Callable[[Rows], Mapping[str, Tensor]]) -> dict[str, Tensor] | None:
        """The means, or None where memory did not suffice; then all is as before."""
        before = _random_state()
        try:
            return self._accumulate(losses_of)
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

    def _accumulate(self, losses_of: Callable[[Rows], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        for rows, share in self._parts():
            means = losses_of(rows)
            loss: Any = means["loss"] if share == 1.0 else means["loss"] * share
            loss.backward()  # torch types it in some versions only
            for name, mean in means.items():
                part = mean.detach() if share == 1.0 else mean.detach() * share
                sums[name] = sums[name] + part if name in sums else part
        return sums

    def _parts(self) -> Iterable[tuple[Rows, float]]:
        """Rows of each part, and their share of the batch."""
        if self.whole:
            yield slice(0, self.batch), 1.0
            return
        table = None if self.group == 1 else torch.arange(self.batch).view(self.group, -1)
        for start in range(self._mine.start, self._mine.stop, self.groups):
            part = slice(start, min(start + self.groups, self._mine.stop))
            rows = part if table is None else table[:, part].flatten()
            yield rows, (part.stop - part.start) * self.group / self.batch

    def _halve(self) -> None:
        if self.groups == 1:
            least = "one image" if self.group == 1 else f"{self.group} images"
            raise StageError(
                f"out of memory with {least} of the batch of {self.batch} at a time: "
                "choose a smaller network or resolution, or a device with more memory"
            )
        self.groups = -(-self.groups // 2)
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
