"""Is this machine fit for a run? Each finding says what is there, and what to do where something is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from bench import environment, registry
from bench.errors import ConfigError

State = Literal["ok", "warn", "fail"]
MINIMUM_FREE_GB = 5.0
PYTHON = ((3, 11), (3, 13))


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``advice``: what to do, where ``state`` is not "ok"."""

    state: State
    what: str
    found: str
    advice: str = ""


def examine(store: Path = Path(".bench/store"), *, deep: bool = True) -> Iterator[Finding]:
    """All findings. ``deep`` imports torch to ask it for devices, which takes seconds."""
    yield _python()
    yield from _packages()
    yield from _torchvision_fits()
    yield from _tests_package()
    yield _processor()
    yield _precision()
    yield _device() if deep else _driver()
    yield _memory()
    yield _disk(store)
    yield from _plugins()
    yield _weights()


def _python() -> Finding:
    low, high = PYTHON
    found = ".".join(map(str, sys.version_info[:3]))
    if low <= sys.version_info[:2] < high:
        return Finding("ok", "python", found)
    return Finding("fail", "python", found, "use Python 3.11 or 3.12")


def _packages() -> Iterator[Finding]:
    """Installed versions against the lower bounds of our own metadata."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(r) for r in requires("dermbench") or () if "extra ==" not in r]
    except PackageNotFoundError:
        yield Finding("warn", "dermbench", "not installed", "plugins are found through its metadata: pip install -e .")
        return
    fine = []
    for requirement in wanted:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding("fail", requirement.name, "missing", f"pip install '{requirement}'")
            continue
        if requirement.specifier.contains(found, prereleases=True):
            fine.append(f"{requirement.name} {found}")
        else:
            yield Finding("fail", requirement.name, found, f"pip install '{requirement}'")
    yield Finding("ok", "packages", ", ".join(fine))


def _torchvision_fits() -> Iterator[Finding]:
    """torchvision is built for one exact torch; a mixed pair fails with missing operators at the first use."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    try:
        torch, vision = version("torch"), version("torchvision")
        needs = [Requirement(r) for r in metadata("torchvision").get_all("Requires-Dist") or ()]
    except PackageNotFoundError:
        return
    pin = next((r for r in needs if r.name == "torch"), None)
    advice = "install both in one command from one index: pip install --upgrade torch torchvision"
    if pin is not None and not pin.specifier.contains(Version(torch).public, prereleases=True):
        yield Finding("fail", "torch with torchvision", f"torchvision {vision} needs {pin}, found {torch}", advice)
        return
    builds = {Version(v).local for v in (torch, vision) if Version(v).local}
    if len(builds) > 1:
        yield Finding("warn", "torch with torchvision", f"different builds: {' and '.join(map(str, builds))}", advice)
    else:
        yield Finding("ok", "torch with torchvision", "built for each other")


def _tests_package() -> Iterator[Finding]:
    """torch-fidelity installs a top-level package ``tests``, which hides tests folders without ``__init__.py``."""
    try:
        files = distribution("torch-fidelity").files or []
    except PackageNotFoundError:
        return
    if any(f.parts[0] == "tests" for f in files):
        yield Finding(
            "warn", "package 'tests'", "installed by torch-fidelity",
            "give your own tests folder an __init__.py and run pytest from its parent, or it imports the wrong one",
        )  # fmt: skip


def _processor() -> Finding:
    cores, limit = environment.available_cores(), os.environ.get("OMP_NUM_THREADS", "")
    found = f"{environment.cpu_model()}, {cores} cores"
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if limit.isdigit() and int(limit) < cores:
        return Finding("ok", "processor", f"{found}, OMP_NUM_THREADS={limit}")
    if busy > 1.5 * cores:
        advice = "other programs are busy: results stay the same, but a run takes longer; try --threads 1"
        return Finding("warn", "processor", f"{found}, load {busy:.1f}", advice)
    return Finding("ok", "processor", f"{found}, load {busy:.1f}")


def _precision() -> Finding:
    if environment.cpu_has_fast_bf16():
        return Finding("ok", "bf16 on the processor", "yes; --precision auto uses it on the CPU")
    return Finding("ok", "bf16 on the processor", "no; --precision auto uses fp32 on the CPU")


def _driver() -> Finding:
    present = environment.nvidia_driver_present()
    return Finding("ok", "device", "NVIDIA driver present" if present else "cpu (no NVIDIA driver)")


def _device() -> Finding:
    try:
        device = environment.resolve_device("auto")
        precision = environment.resolve_precision("auto", device)
    except ImportError as error:
        return Finding("fail", "device", f"torch cannot be imported: {error}", "reinstall torch")
    if device == "cpu" and environment.nvidia_driver_present():
        advice = "the installed torch has no CUDA, or the driver is too old for it: see pytorch.org/get-started"
        return Finding("warn", "device", "NVIDIA driver present, but torch sees no CUDA device", advice)
    name = environment.device_name(device)
    return Finding("ok", "device", f"{device} ({name}), precision {precision}")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    advice = "" if free >= 4 else "the cpu preset needs about 4 GB; close other programs or lower data.resolution"
    return Finding("ok" if free >= 4 else "warn", "memory", f"{free:.1f} GB available", advice)


def _disk(store: Path) -> Finding:
    place = next(p for p in (store.absolute(), *store.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    if not os.access(place, os.W_OK):
        return Finding("fail", "disk", f"{place} is not writable", "choose another place with --store and --out")
    if free < MINIMUM_FREE_GB:
        return Finding("warn", "disk", f"{free:.1f} GB free at {place}", "free some space, or give --store elsewhere")
    return Finding("ok", "disk", f"{free:.0f} GB free at {place}")


def _plugins() -> Iterator[Finding]:
    """Whether each entry point can be found; importing all of them would take too long."""
    for kind in registry.GROUPS:
        names = registry.names(kind)
        lost = [n for n in names if not _importable(registry.target(kind, n).partition(":")[0])]
        for name in lost:
            advice = f"reinstall {registry.distribution(kind, name) or 'its package'}"
            yield Finding("fail", f"{kind} {name}", f"{registry.target(kind, name)} cannot be found", advice)
        if names and not lost:
            yield Finding("ok", f"plugins: {kind}", ", ".join(names))
        elif not names and kind in ("generator", "classifier", "protocol", "dataset"):
            yield Finding("fail", f"plugins: {kind}", "none registered", "install the package anew: pip install -e .")


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ConfigError, ValueError):
        return False


def _weights() -> Finding:
    """Pretrained weights that lie in the usual caches; none is needed for the default run."""
    home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")) / "hub" / "checkpoints"
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"
    found = [f.name for f in home.glob("*")] if home.is_dir() else []
    found += [f.name.removeprefix("models--").replace("--", "/") for f in hub.glob("models--*")] if hub.is_dir() else []
    if found:
        return Finding("ok", "pretrained weights", ", ".join(sorted(found)[:6]))
    return Finding("ok", "pretrained weights", "none cached; the default run needs none")
