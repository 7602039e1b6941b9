"""Results kept beside the site under a key of everything that they were made from; safe to delete at any time."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

FOLDER = ".cache"
PACKAGES = ("leaderboard", "bench")  # their sources decide what a result looks like


class Cache:
    """JSON values by key in a folder. What a build did not ask for is dropped by :meth:`sweep`."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.asked: set[str] = set()

    def get(self, kind: str, key: str) -> Any | None:
        """The value kept under ``key``, or None; a file that cannot be read counts as absent."""
        if self.folder is None:
            return None
        self.asked.add(f"{kind}-{key}.json")
        try:
            return json.loads((self.folder / f"{kind}-{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep ``value``; a reader sees the whole of it or nothing."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asked.add(f"{kind}-{key}.json")
        write_if_changed(self.folder / f"{kind}-{key}.json", json.dumps(value, ensure_ascii=False))

    def sweep(self) -> None:
        """Remove what the last build had no use for."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.json"):
                if path.name not in self.asked:
                    path.unlink(missing_ok=True)


def write_if_changed(path: Path, text: str) -> bool:
    """Write ``text`` atomically unless the file holds it already; whether it was written."""
    data = text.encode()
    try:
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    temp.write_bytes(data)
    os.replace(temp, path)
    return True


def key_of(*parts: object) -> str:
    """Key of a result: of the code that makes it and of ``parts`` (JSON values)."""
    text = json.dumps([code_digest(), *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@functools.cache
def code_digest() -> str:
    """Digest of the sources and templates that decide how a board looks, and of the libraries that compute it."""
    import numpy as np

    digest = hashlib.sha256(np.__version__.encode())
    top = Path(__file__).parent.parent
    for package in PACKAGES:
        for path in sorted((top / package).rglob("*")):
            if path.suffix in (".py", ".j2", ".js", ".css"):
                digest.update(str(path.relative_to(top)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
