"""Peak memory of a stage: the process's high-water mark, reset where the kernel allows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Peak:
    """``megabytes``: peak resident memory of the process (plus peak GPU memory, if any, in ``gpu_megabytes``)."""

    megabytes: float | None = None
    gpu_megabytes: float | None = None


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak memory of the block; None where the system does not tell."""
    peak = Peak()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, see proc(5)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    yield peak
    peak.megabytes = _high_water_mark()
    if torch is not None and torch.cuda.is_available():
        peak.gpu_megabytes = torch.cuda.max_memory_allocated() / 2**20


def _high_water_mark() -> float | None:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    with suppress(ImportError):
        import resource

        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return None
