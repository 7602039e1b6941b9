"""The stage store: each result once, under the key of everything that made it.

A stage is made in a work folder and moved into place by one atomic rename, so a reader finds all of it or none.
The trade-off: a stage killed half-way is made again, except for what it checkpointed in its ``scratch`` folder,
which outlives the kill. A lock file a stage keeps two processes from making the same thing twice.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import errors
from bench.errors import BenchError, StageError
from bench.memory import peak_memory
from bench.training import processes

META = "stage.json"
Make = Callable[[Path, Path], dict[str, Any] | None]


@dataclass(frozen=True)
class Stored:
    """A finished stage: its folder, its ``stage.json`` and how it came about in this process."""

    folder: Path
    meta: dict[str, Any]
    status: str  # "executed", "resumed" or "cached"

    @property
    def key(self) -> str:
        return str(self.meta["key"])


class Store:
    """Stages below ``root``: ``root/STAGE/ke/key...`` when finished, ``root/work/key`` while they are made."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def folder(self, stage: str, key: str) -> Path:
        """Where the finished stage lies or will lie."""
        return self.root / stage / key[:2] / key

    def find(self, stage: str, key: str) -> Stored | None:
        """The finished stage, or None."""
        folder = self.folder(stage, key)
        try:
            return Stored(folder, json.loads((folder / META).read_text()), "cached")
        except FileNotFoundError:
            return None
        except json.JSONDecodeError:
            raise StageError(f"{folder / META}: damaged; remove the folder {folder} and run again") from None

    def once(self, stage: str, key: str, make: Make, *, together: bool = False, **describe: Any) -> Stored:
        """The stage under ``key``, made by ``make(out, scratch)`` if it is not there yet.

        ``make`` fills the empty folder ``out``; what it keeps in ``scratch`` survives a kill and is removed at the end.
        Its return value (JSON) and ``describe`` go into ``stage.json`` beside seconds and peak memory.
        Errors of ``make`` pass through; what was finished before stays. Of several processes (see
        :mod:`bench.training.processes`) the first makes it, the others wait; if ``together``, all take part in
        ``make`` and the first alone writes.
        """
        if processes.is_alone():
            return self._once(stage, key, make, describe)
        return self._once_for_all(stage, key, make, together, describe)

    def _once(self, stage: str, key: str, make: Make, describe: dict[str, Any]) -> Stored:
        found = self.find(stage, key)
        if found is not None:
            return found
        with self._lock(key):
            return self.find(stage, key) or self._make(stage, key, make, describe)

    def _once_for_all(self, stage: str, key: str, make: Make, together: bool, describe: dict[str, Any]) -> Stored:
        found = self.find(stage, key)
        if processes.told_by_first(found is not None):
            return found or self._found(stage, key)
        failed: Exception | None = None
        try:
            with processes.together() if together else processes.alone():
                if processes.is_first():
                    found = self._once(stage, key, make, describe)
                elif together:
                    with TemporaryDirectory() as out:
                        make(Path(out), self.root / "work" / key / "scratch")
        except Exception as error:
            failed = error
        told = processes.told_by_first(None if failed is None else [type(failed).__name__, str(failed)])
        if failed is not None:
            raise failed
        if told is not None:
            raise getattr(errors, told[0], StageError)(told[1])
        return found or self._found(stage, key)

    def _found(self, stage: str, key: str) -> Stored:
        found = self.find(stage, key)
        if found is None:
            raise StageError(f"{self.root}: the first process stored {stage} {key[:12]} where this one cannot see it")
        return found

    def _make(self, stage: str, key: str, make: Make, describe: dict[str, Any]) -> Stored:
        work = self.root / "work" / key
        out, scratch = work / "out", work / "scratch"
        resumed = scratch.exists() and any(scratch.iterdir())
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        scratch.mkdir(exist_ok=True)
        before = _elapsed(scratch)
        start = time.perf_counter()
        with peak_memory() as peak:
            extra = make(out, scratch) or {}
        seconds = time.perf_counter() - start + before
        status = "resumed" if resumed else "executed"
        meta = {"stage": stage, "key": key, **describe, **extra}
        meta |= {"seconds": seconds, "peak_memory_mb": peak.megabytes, "finished": time.time(), "made": status}
        (out / META).write_text(json.dumps(meta, indent=1))
        target = self.folder(stage, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(out, target)
        shutil.rmtree(work, ignore_errors=True)
        return Stored(target, meta, status)

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(locks / f"{key}.lock"))
        try:
            lock.acquire(timeout=6 * 3600)
        except Timeout:
            raise BenchError(f"{lock.lock_file}: another process has held this stage for six hours") from None
        try:
            yield
        finally:
            lock.release()

    def stages(self) -> Iterator[dict[str, Any]]:
        """``stage.json`` of every finished stage."""
        for path in sorted(self.root.glob(f"*/??/*/{META}")):
            yield json.loads(path.read_text())


def _elapsed(scratch: Path) -> float:
    """Seconds an earlier, killed attempt had worked up to its last checkpoint."""
    try:
        return float(json.loads((scratch / "elapsed.json").read_text()))
    except (FileNotFoundError, ValueError):
        return 0.0
