"""Where image files lie: a folder, a zip or a tar, behind one interface. Archives are read in place, never unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bench.data.decode import BadImage
from bench.errors import DataError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_BYTES = 512 << 20
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2")


class Source(ABC):
    """Named files. ``names`` are POSIX paths relative to the source; hidden files and ``__MACOSX`` are left out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """All file names, sorted."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of one file; safe from several threads. Raises :class:`BadImage` when they cannot be had."""

    def signature(self) -> dict[str, Any]:
        """JSON that changes when a file may have changed: name, size and modification time, without any content."""
        return file_signature(self.path)


class FolderSource(Source):
    """Files below a folder, at any depth."""

    def names(self) -> list[str]:
        files = (Path(root, f) for root, _, names in os.walk(self.path, followlinks=True) for f in names)
        return sorted(filter(_visible, (f.relative_to(self.path).as_posix() for f in files)))

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadImage(f"cannot be read ({error.strerror or error})") from None

    def signature(self) -> dict[str, Any]:
        digest, total, names = hashlib.sha256(), 0, self.names()
        for name in names:
            path = self.path / name
            stat = path.stat() if path.exists() else path.lstat()  # a broken link is reported when it is read
            digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
            total += stat.st_size
        return {"name": self.path.name, "files": len(names), "bytes": total, "sha256": digest.hexdigest()}


class ZipSource(Source):
    """Members of a zip file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{path}: not a readable zip file ({error}); fetch it again") from None

    def names(self) -> list[str]:
        return sorted(i.filename for i in self._zip.infolist() if not i.is_dir() and _visible(i.filename))

    def read(self, name: str) -> bytes:
        if self._zip.getinfo(name).file_size > MAX_BYTES:
            raise BadImage(f"claims more than {MAX_BYTES >> 20} MiB")
        try:
            return self._zip.read(name)
        except Exception as error:  # BadZipFile, zlib.error, RuntimeError (encrypted), NotImplementedError, EOFError
            raise BadImage(f"damaged in {self.path.name} ({error})") from None


class TarSource(Source):
    """Members of a tar file, read by position; a compressed one is first expanded into an unnamed temporary file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._file = path.open("rb") if path.suffix.lower() == ".tar" else _expanded(path)
            with tarfile.open(fileobj=self._file, mode="r:") as archive:
                members = {m.name.removeprefix("./"): m for m in archive if m.isfile()}
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{path}: not a readable tar file ({error}); fetch it again") from None
        self._places = {n: (m.offset_data, m.size) for n, m in members.items() if _visible(n)}

    def names(self) -> list[str]:
        return sorted(self._places)

    def read(self, name: str) -> bytes:
        offset, size = self._places[name]
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) < size:
            raise BadImage(f"{self.path.name} ends in the middle of it")
        return data


def file_signature(path: Path) -> dict[str, Any]:
    """Name, bytes and modification time (ns) of one file."""
    stat = path.stat()
    return {"name": path.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def open_source(path: Path) -> Source:
    """The reader for ``path``: folder, zip or tar. Raises :class:`DataError` for anything else."""
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.suffix.lower() == ".zip":
        return ZipSource(path)
    if path.name.lower().endswith(ARCHIVES):
        return TarSource(path)
    raise DataError(f"{path}: expected a folder or one of {', '.join(ARCHIVES)}")


@dataclass(frozen=True)
class Located:
    """One file in one source."""

    source: Source
    name: str

    def read(self) -> bytes:
        return self.source.read(self.name)

    def __str__(self) -> str:
        return f"{self.source.path.name}/{self.name}"


def index_by_stem(sources: Sequence[Source]) -> tuple[dict[str, Located], list[str]]:
    """Image files by their name without folder and suffix, and the stems found more than once (the first counts)."""
    found: dict[str, Located] = {}
    again: list[str] = []
    for source in sources:
        for name in source.names():
            path = PurePosixPath(name)
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if path.stem in found:
                again.append(path.stem)
            else:
                found[path.stem] = Located(source, name)
    return found, again


def _visible(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not any(p.startswith(".") or p == "__MACOSX" for p in parts)


def _expanded(path: Path) -> Any:
    import bz2
    import gzip
    import lzma

    opener: Any = gzip.open if path.name.lower().endswith(("gz",)) else bz2.open if path.suffix == ".bz2" else lzma.open
    temporary = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the source)
    with opener(path, "rb") as stream:
        shutil.copyfileobj(stream, temporary, 1 << 20)
    temporary.seek(0)
    return temporary
