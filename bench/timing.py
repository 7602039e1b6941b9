"""Time and energy between marks: wall time on the CPU, CUDA events on a GPU, the driver's energy counter."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.throughput import synchronize

RAPL = Path("/sys/class/powercap")


class Clock:
    """Marks in a stream of work. On a GPU they are events in its queue, so that marking waits for nothing."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._cuda = device.startswith("cuda")
        self._marks: list[Any] = []

    def mark(self) -> None:
        """End of one interval, start of the next."""
        if not self._cuda:
            self._marks.append(time.perf_counter())
            return
        event = sys.modules["torch"].cuda.Event(enable_timing=True)
        event.record()
        self._marks.append(event)

    def seconds(self) -> list[float]:
        """Lengths of the intervals between marks; waits for the device."""
        synchronize(self.device)
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return [a.elapsed_time(b) / 1000 if self._cuda else b - a for a, b in pairs]


class EnergyMeter:
    """Joules that the device (CUDA: NVML's counter) or the processor package (RAPL) has used since construction.

    NVML counts millijoules of the whole board since the driver was loaded (Volta and later); RAPL counts microjoules
    of all cores, whoever uses them, and may be readable by root alone. :meth:`joules` is None where nothing tells.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.source = ""
        self._start = self._read()

    def joules(self) -> float | None:
        """Energy since construction, or None."""
        now = self._read()
        if now is None or self._start is None or now < self._start:  # a counter that has begun again
            return None
        return now - self._start

    def _read(self) -> float | None:
        return self._nvml() if self.device.startswith("cuda") else self._rapl()

    def _nvml(self) -> float | None:
        try:
            import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]

            pynvml.nvmlInit()
            torch = sys.modules["torch"]
            uuid = str(torch.cuda.get_device_properties(self.device).uuid)
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
            joules = float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
        except Exception:  # no package, no driver, an old card: there is no reading, which is not an error
            return None
        self.source = "NVML"
        return joules

    def _rapl(self) -> float | None:
        packages = sorted(RAPL.glob("*-rapl:?")) if RAPL.is_dir() else []
        with suppress(OSError, ValueError):
            if packages:
                self.source = "RAPL"
                return sum(int((p / "energy_uj").read_text()) for p in packages) / 1e6
        return None
