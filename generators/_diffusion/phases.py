"""Several training loops in one fit, each resumable: steps count on, and a checkpoint says which loop it belongs to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.contracts import Context
from bench.training import processes
from bench.trees import load_tree, save_tree

Checkpoint = tuple[int, dict[str, Any]]


class Phase:
    """The context of one of several loops. ``first``: steps of the loops before it; ``total``: of all of them.

    ``found`` is what ``ctx.latest()`` gave when the fit began; it is asked once, before any loop runs.
    """

    def __init__(self, ctx: Context, name: str, first: int, total: int, found: Checkpoint | None) -> None:
        self.seed, self.device, self.precision, self.workdir = ctx.seed, ctx.device, ctx.precision, ctx.workdir
        self.name, self._ctx, self._first, self._total, self._found = name, ctx, first, total, found

    def log(self, step: int, total: int | None = None, **scalars: Any) -> None:
        """Report a step of this loop as one of the whole fit."""
        self._ctx.log(self._first + step, self._total, **scalars)

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Offer a state of this loop."""
        self._ctx.checkpoint(self._first + step, lambda: {"phase": self.name, "state": state()})

    def keep(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Have a state of this loop stored now, where the context can do so; else offer it."""
        keep = getattr(self._ctx, "keep", self._ctx.checkpoint)
        keep(self._first + step, lambda: {"phase": self.name, "state": state()})

    def latest(self) -> Checkpoint | None:
        """The stored state, if it is of this loop."""
        if self._found is None or self._found[1]["phase"] != self.name:
            return None
        step, tagged = self._found
        return step - self._first, tagged["state"]


def kept(folder: Path, make: Callable[[], Mapping[str, Any] | None]) -> Any:
    """The tree in ``folder``, made and stored there first if a former, killed fit did not get so far.

    Of processes that train together all call ``make``, the first stores what it gives, and all read that.
    """
    if not processes.agreed(folder.exists()):
        made = make()
        if processes.is_first():
            assert made is not None
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            save_tree(partial, made)
            os.replace(partial, folder)
        processes.agreed(None)  # until it is there
    tree = load_tree(folder)
    processes.agreed(None)  # until all have read it: with the fit of the first its work folder goes
    return tree
