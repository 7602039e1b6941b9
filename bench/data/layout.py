"""Official files below a folder, found by name: in the folder itself or one level below, unpacked or as archives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.sources import ARCHIVES, Located, Source, index_by_stem, open_source
from bench.data.write import PreparedWriter
from bench.errors import DataError

Names = Sequence[Sequence[str]]
"""Groups of folder or archive names; a group is used as a whole, the first one that is there."""


@dataclass(frozen=True)
class Layout:
    """The folder ``root`` that the user names."""

    root: Path

    def table(self, names: Sequence[str]) -> Path | None:
        """The first of the files ``names`` that is there, or None."""
        return self._find(names, Path.is_file)

    def sources(self, names: Names) -> list[Source]:
        """The first group of ``names`` that is there, each as folder or archive; [] if there is none.

        Raises :class:`DataError` for a group of which a part is missing.
        """
        for group in names:
            found = [self._container(name) for name in group]
            if any(found):
                if missing := [name for name, path in zip(group, found, strict=True) if path is None]:
                    raise DataError(f"{self.root}: {missing[0]} is missing beside {group[0]}; complete the download")
                return [open_source(path) for path in found if path]
        return []

    def index(self, names: Names, what: str, writer: PreparedWriter) -> dict[str, Located]:
        """Image files of :meth:`sources` by stem; doubles are noted. Raises :class:`DataError` where there are none."""
        sources = self.sources(names)
        if not sources:
            wanted = " or ".join(" and ".join(group) for group in names)
            raise DataError(f"{self.root}: no {what}: {wanted} (folder, zip or tar) is not here or one folder below")
        found, again = index_by_stem(sources)
        if again:
            writer.note(f"{len(again)} {what} are there twice, the first of each is used: e.g. {again[0]}")
        return found

    def _container(self, name: str) -> Path | None:
        return self._find([name, *(name + suffix for suffix in ARCHIVES)], lambda p: not p.is_dir() or any(p.iterdir()))

    def _find(self, names: Sequence[str], usable: Callable[[Path], bool]) -> Path | None:
        folders = [self.root, *sorted(p for p in self.root.iterdir() if p.is_dir())]
        return next((f / n for n in names for f in folders if (f / n).exists() and usable(f / n)), None)
