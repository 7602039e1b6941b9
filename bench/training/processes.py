"""Several processes that train one model together, one for each GPU, as ``accelerate launch`` starts them.

All processes run the same program with the same seeds, so they draw the same batches. In a stage that is trained
:func:`together` each works on its share of the rows of a batch and the gradients are summed, so the update is that of
one process to rounding. The first process makes all other stages, while the rest wait; it alone writes. Without such a
launch nothing of this does anything, and neither torch nor accelerate is imported.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

T = TypeVar("T")
_WORK: ContextVar[str] = ContextVar("work", default="")
PATIENCE = timedelta(days=7)  # others wait while the first process works on a stage alone


def count() -> int:
    """Number of processes of the launch."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def is_first() -> bool:
    """Whether this process may write."""
    return rank() == 0


@contextmanager
def together() -> Iterator[None]:
    """Inside, all processes do the same work at the same time and share batches."""
    token = _WORK.set("together")
    try:
        yield
    finally:
        _WORK.reset(token)


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process works while the others wait: nothing is told to them."""
    token = _WORK.set("alone")
    try:
        yield
    finally:
        _WORK.reset(token)


def is_alone() -> bool:
    """Whether no other process takes part in or waits for what is decided here."""
    return count() == 1 or _WORK.get() == "alone"


def team() -> int:
    """Number of processes that share the present work."""
    return count() if _WORK.get() == "together" else 1


def own_device(device: str) -> str:
    """The device of this process where ``device`` names none in particular."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if count() > 1 and device == "cuda" else device


def share(batch: int) -> slice:
    """Rows of a batch that this process works on; every process has at least one while ``batch`` >= their number."""
    if team() == 1:
        return slice(0, batch)
    return slice(batch * rank() // team(), batch * (rank() + 1) // team())


@contextmanager
def own_draws() -> Iterator[None]:
    """Inside, torch's global generators draw otherwise in each process (dropout); after it all are alike again."""
    if team() == 1:
        yield
        return
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []

    def states() -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]

    with torch.random.fork_rng(devices):
        torch.manual_seed(int(torch.randint(2**62, ())) + rank())
        before = states()
        yield
        drew = not all(torch.equal(a, b) for a, b in zip(before, states(), strict=True))
    if drew:
        torch.randint(2**62, ())  # the next time draws from another seed; one process that draws moves on as well


def summed(means: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """``means`` summed over processes, and so, in place, the gradients of ``parameters``."""
    if team() == 1:
        return dict(means)
    import torch

    _join()
    kind = means["loss"].dtype
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([tensor.flatten().to(kind) for tensor in (*means.values(), *gradients)])
    torch.distributed.all_reduce(flat)
    pieces = iter(torch.split(flat, [tensor.numel() for tensor in (*means.values(), *gradients)]))
    found = {name: next(pieces).view_as(mean) for name, mean in means.items()}
    for gradient in gradients:
        gradient.copy_(next(pieces).view_as(gradient))
    return found


def told_by_first(value: Any) -> Any:
    """The ``value`` (JSON) of the first process, in every process."""
    if count() == 1:
        return value
    import torch

    _join()
    box = [value]
    torch.distributed.broadcast_object_list(box)
    return box[0]


def agreed(value: Any) -> Any:
    """In work done together the ``value`` (JSON) of the first process, once all have come here; else one's own."""
    return value if team() == 1 else told_by_first(value)


def by_first_alone(make: Callable[[], T]) -> T | None:
    """What ``make`` gives, which the first process alone does while the others get None; to be told by a file."""
    if team() == 1:
        return make()
    if not is_first():
        return None
    with alone():
        return make()


@cache
def _join() -> Any:
    """Meet the other processes, by Accelerate's choice of backend: NCCL between GPUs, gloo between processors.

    The group is left when the program ends: an interpreter that ends with gloo's threads alive aborts now and then.
    ``torch.distributed.nn`` keeps the group of the time of its import as default arguments, and so those threads alive;
    the first step of an optimiser imports it, unless it is imported here, before there is a group.
    """
    import torch
    import torch.distributed.nn
    from accelerate import PartialState

    on_cpu = not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true")
    state = PartialState(cpu=on_cpu, timeout=PATIENCE)
    atexit.register(state.destroy_process_group)
    return state
