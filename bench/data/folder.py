"""Any labelled images: class subfolders, or a CSV that names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import Field

from bench.contracts import Options
from bench.data.base import DataConfig, DatasetInfo
from bench.data.ingest import Listed, ingest, recipe_of
from bench.data.sources import IMAGE_SUFFIXES, Located, Source, file_signature, open_source
from bench.data.splits import NAMES
from bench.data.tables import number, read_table
from bench.data.tasks import make_task, task_labels
from bench.data.write import PARTS, PreparedWriter
from bench.errors import ConfigError, DataError

TEXT_COLUMNS = ("sex", "site", "dx_type")
KNOWN = ("image", "label", "group", "split", "age", *TEXT_COLUMNS)
Row = tuple[str, dict[str, str]]


class Folder:
    """Images below a folder (or in a zip or tar): ``location`` is "DIR" or "DIR,TABLE.csv".

    Without a table the layout is ``CLASS/image`` or ``train/CLASS/image`` and ``test/CLASS/image``. A table has the
    columns image (path in DIR, the suffix may be left out) and label, and may have group (patient or lesion: what a
    split must not tear), split ("train" or "test"; or for every row one of train, val_select, val_thresh, reserve,
    test), age, sex, site, dx_type. The id of an image is its path without suffix.
    """

    version: ClassVar[str] = "1"

    class Config(Options):
        """``positive``: classes that count as positive, where the names do not tell. ``group``: what the column group
        holds. ``licence``, ``citation``: for the record. ``max_absent``: share of listed images that may be absent."""

        positive: tuple[str, ...] = ()
        group: Literal["patient", "lesion"] = "lesion"
        licence: str = "not stated"
        citation: str = "not stated"
        max_absent: float = Field(0.01, ge=0, le=1)

    def __init__(self, options: Config, data: DataConfig, location: str | None) -> None:
        if not location:
            raise ConfigError("folder needs a place: --data folder:DIR or folder:DIR,TABLE.csv")
        self.options, self.data = options, data
        root, comma, table = (
            location.rpartition(",") if location.endswith((".csv", ".csv.gz", ".tsv")) else (location, "", "")
        )
        if table and not comma:
            raise ConfigError(f"folder:{location}: a table needs the folder of its images too: folder:DIR,{location}")
        self.source: Source = open_source(Path(root).expanduser())
        self.table = self._find_table(table) if table else None
        self.info = DatasetInfo(
            name="folder",
            title=f"images in {self.source.path.name}",
            licence=options.licence,
            citation=options.citation,
            group="image",
        )

    def signature(self) -> dict[str, Any]:
        """Names, sizes and modification times of all files."""
        tables = [file_signature(self.table)] if self.table else []
        return {"tables": tables, "sources": [self.source.signature()]}

    def build(self, folder: Path) -> None:
        """Decode all images into ``folder``; raises :class:`DataError` that names table line, class or file."""
        rows = self._table_rows(self.table) if self.table else list(self._tree_rows())
        classes = sorted({row["label"] for _, row in rows})
        task = make_task(self.data.task, classes, self.options.positive)
        grouped = any(row.get("group") for _, row in rows)
        if grouped:
            self.info = DatasetInfo(**{**vars(self.info), "group": self.options.group})
        labels = task_labels([row["label"] for _, row in rows], classes, task, self.options.positive).tolist()
        how = recipe_of(self.data).name
        with PreparedWriter(folder, task, self.info, size=self.data.resolution, preprocessing=how) as writer:
            if not grouped:
                writer.note(
                    "no groups are given: photos of one lesion count as of different lesions unless they look alike"
                )
            listed = [self._listed(name, row, label) for (name, row), label in zip(rows, labels, strict=True)]
            ingest(listed, writer, self.data, self.options.max_absent)

    def _listed(self, name: str, row: dict[str, str], label: int) -> Listed:
        split = row.get("split") or "train"
        columns: dict[str, str | int | float] = {"dx": row["label"]}
        columns |= {c: row[c] for c in TEXT_COLUMNS if c in row}
        if self.table and "age" in row:
            columns["age"] = number(row, "age", self.table)
        if row.get("full_split"):
            columns["split"] = split
        image = Located(self.source, name) if row["found"] else None
        key = str(PurePosixPath(name).with_suffix("")) if row["found"] else name
        return Listed(key, label, row.get("group") or key, "test" if split == "test" else "train", image, None, columns)

    def _tree_rows(self) -> Iterator[Row]:
        names = [n for n in self.source.names() if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES]
        if not names:
            raise DataError(f"{self.source.path}: no image here ({', '.join(IMAGE_SUFFIXES)})")
        if loose := [n for n in names if len(PurePosixPath(n).parts) < 2]:
            raise DataError(
                f"{self.source.path}: {loose[0]} lies in no class folder; sort images into CLASS/, or give a table: "
                "folder:DIR,TABLE.csv"
            )
        tops = {PurePosixPath(n).parts[0] for n in names}
        for name in names:
            parts = PurePosixPath(name).parts
            if tops <= set(PARTS) and len(parts) > 2:
                yield name, {"label": parts[1], "split": parts[0], "found": "yes"}
            else:
                yield name, {"label": parts[0], "found": "yes"}

    def _table_rows(self, path: Path) -> list[Row]:
        rows = read_table(path, ("image", "label"), KNOWN)
        names = {n: n for n in self.source.names()}
        stems = {
            str(PurePosixPath(n).with_suffix("")): n for n in names if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES
        }
        seen: dict[str, str] = {}
        found = []
        full = _is_full_split(rows, path)
        for row in rows:
            wanted = row["image"].removeprefix("./")
            if not wanted or not row["label"]:
                raise DataError(f"{path}, line {row['line']}: {'label' if wanted else 'image'} is empty")
            name = names.get(wanted) or stems.get(wanted)
            if first := seen.get(name or wanted):
                raise DataError(f"{path}, lines {first} and {row['line']}: image {wanted} is listed twice")
            seen[name or wanted] = row["line"]
            found.append((name or wanted, {**row, "found": "yes" if name else "", "full_split": "yes" if full else ""}))
        return found

    def _find_table(self, table: str) -> Path:
        places = [Path(table).expanduser(), self.source.path / table]
        found = next((p for p in places if p.is_file()), None)
        if found is None:
            raise DataError(f"{table}: no such table, neither here nor in {self.source.path}")
        return found


def _is_full_split(rows: Sequence[dict[str, str]], path: Path) -> bool:
    """Whether the column split names the split of every row, rather than only train and test."""
    for row in rows:
        if row.get("split", "") not in ("", *NAMES):
            raise DataError(f"{path}, line {row['line']}: split {row['split']!r} is not one of {', '.join(NAMES)}")
    full = any(row.get("split") in ("val_select", "val_thresh", "reserve") for row in rows)
    if full and (empty := [row["line"] for row in rows if not row["split"]]):
        raise DataError(
            f"{path}, line {empty[0]}: split is empty, but other rows name a full split: name one for every row"
        )
    return full
