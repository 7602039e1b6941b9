"""Images per second, with warm-up excluded and the device synchronised."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from bench.contracts import Context

T = TypeVar("T")


def synchronize(device: str) -> None:
    """Wait until the device has done all it was given; nothing to wait for on the CPU."""
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        torch.cuda.synchronize(device)


def threads() -> int:
    """CPU threads that torch uses, 0 if torch is not loaded."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else 0


def timed_call(
    work: Callable[[], T], warm_up: Callable[[], Any], images: int, ctx: Context
) -> tuple[T, dict[str, Any]]:
    """Run ``warm_up`` (not counted), then ``work`` on ``images`` images; returns its result and the speed.

    Warm-up loads kernels and caches; it must not change the result, which is seeded.
    """
    warm_up()
    synchronize(ctx.device)
    start = time.perf_counter()
    result = work()
    synchronize(ctx.device)
    seconds = time.perf_counter() - start
    return result, {
        "images_per_second": images / seconds if seconds > 0 else 0.0,
        "images": images,
        "seconds": seconds,
        "batch": images,
        "device": ctx.device,
        "precision": ctx.precision,
        "threads": threads(),
    }
