"""Operations of torch, counted while they run."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]
    """Counts multiply-adds x 2 of matrix products, convolutions and attention in its block, forward and backward.

    By torch's own formulas. Its ``FlopCounterMode`` also follows the modules by hooks on their tensors, under which
    ``torch.autograd.grad`` of a penalty on gradients (R1, path length, WGAN-GP) fails.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:  # in inference mode operators made of others come here whole
                found = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if found is NotImplemented else found
        out = func(*args, **kwargs)
        self.total += float(formula(*args, **kwargs, out_val=out))
        return out
