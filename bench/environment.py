"""Where numbers are made: code, packages, processor, device, precision. Nothing heavy is imported to find out."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.errors import ConfigError
from bench.record import EnvironmentRecord

PACKAGES = (
    "dermbench",
    "torch",
    "torchvision",
    "diffusers",
    "timm",
    "torch-fidelity",
    "clean-fid",
    "lpips",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "pillow",
    "safetensors",
    "pydantic",
)
# x86 with AVX-512 or AMX bf16 instructions, Arm with the BF16 extension: there bf16 autocast is faster than fp32.
FAST_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
BF16_CUDA_CAPABILITY = (8, 0)


def environment(device: str, precision: str, threads: int, plugin_packages: tuple[str, ...] = ()) -> EnvironmentRecord:
    """The environment record of this process; ``device``, ``precision`` and ``threads`` are the resolved ones.

    ``plugin_packages``: names of further distributions (those of external plugins) whose version is recorded.
    """
    commit, dirty = source_revision(Path(__file__).parent)
    return EnvironmentRecord(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        packages=package_versions((*PACKAGES, *plugin_packages)),
        platform=platform.platform(),
        cpu=cpu_model(),
        cores=available_cores(),
        threads=threads,
        device=device,
        device_name=device_name(device),
        precision=precision,
    )


def source_revision(folder: Path) -> tuple[str | None, bool | None]:
    """(commit, has uncommitted changes) of the git tree that tracks ``folder``; (None, None) for an installed wheel.

    A virtual environment often lies inside some repository, so only a *tracked* ``__init__.py`` counts.
    """
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", ":/")
    return commit or None, None if changes is None else bool(changes)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of the installed ones among ``names``, from their metadata."""
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def available_cores() -> int:
    """Cores this process may use (affinity masks of containers and batch systems count)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(threads: int) -> int:
    """Use ``threads`` CPU threads (0: all cores) in torch, now or when it is imported; returns the number."""
    count = threads or available_cores()
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ["OMP_NUM_THREADS"] = str(count)
    elif torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count


def cpu_model() -> str:
    """Model name of the processor."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_has_fast_bf16() -> bool:
    """Whether the processor has bf16 arithmetic of its own."""
    flags = _cpuinfo().get("flags", "") + " " + _cpuinfo().get("Features", "")
    return not FAST_BF16_FLAGS.isdisjoint(flags.split())


@cache
def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def nvidia_driver_present() -> bool:
    """Whether the NVIDIA driver shows a device, without asking torch."""
    return Path("/proc/driver/nvidia/gpus").is_dir() or Path("/dev/nvidia0").exists()


def cuda_capability() -> tuple[int, int]:
    """Compute capability of the first NVIDIA card by its driver's own tool; (0, 0) where that does not tell."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        major, _, minor = done.stdout.splitlines()[0].strip().partition(".")
        return int(major), int(minor or 0)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return 0, 0


def resolve_device(device: str = "auto") -> str:
    """``auto``: "cuda" where torch can use one, else "cpu". Raises :class:`ConfigError` for a device that is not there.

    torch is imported only where a CUDA device is asked for or the driver shows one.
    """
    if device == "cpu" or (device == "auto" and not nvidia_driver_present()):
        return "cpu"
    if device != "auto" and device.split(":")[0] != "cuda":
        raise ConfigError(f"device {device!r}: use auto, cpu, cuda or cuda:N")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    number = device.partition(":")[2] or "0"
    if not number.isdigit() or int(number) >= count:
        raise ConfigError(f"device {device!r}: torch {torch.__version__} sees {count} CUDA devices; use --device cpu")
    return device


def resolve_precision(precision: str = "auto", device: str = "cpu") -> str:
    """``auto``: "bf16" where ``device`` is fast at it (CPU flags, CUDA capability 8.0 and up), else "fp32"."""
    if precision != "auto":
        return precision
    if device == "cpu":
        return "bf16" if cpu_has_fast_bf16() else "fp32"
    import torch

    return "bf16" if torch.cuda.get_device_capability(device) >= BF16_CUDA_CAPABILITY else "fp32"


def resolve_threads(threads: int = 0) -> int:
    """``0``: all cores this process may use, or OMP_NUM_THREADS where it is set lower."""
    if threads > 0:
        return threads
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(available_cores(), int(limit)) if limit.isdigit() and int(limit) > 0 else available_cores()


def device_name(device: str) -> str:
    """What the device calls itself: processor model or name of the graphics card."""
    if device == "cpu":
        return cpu_model()
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name(device)) if torch is not None else device
