"""HAM10000 in its official layout, with the ISIC 2018 task 3 test set as its official test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.contracts import Options, Task
from bench.data.base import DataConfig, DatasetInfo
from bench.data.ingest import Listed, ingest, recipe_of
from bench.data.layout import Layout
from bench.data.sources import Located, file_signature, index_by_stem
from bench.data.tables import number, read_table
from bench.data.tasks import ISIC_CLASSES, make_task, task_labels
from bench.data.write import PreparedWriter
from bench.errors import ConfigError, DataError

METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
IMAGES = (
    ("HAM10000_images_part_1", "HAM10000_images_part_2"),
    ("HAM10000_images",),
    ("ISIC2018_Task3_Training_Input",),
)
MASKS = (("HAM10000_segmentations_lesion_tschandl",), ("HAM10000_segmentations",))
TEST_IMAGES = (("ISIC2018_Task3_Test_Input",), ("ISIC2018_Task3_Test_Images",))
TEST_LABELS = ("ISIC2018_Task3_Test_GroundTruth.csv", "ISIC2018_Task3_Test_GroundTruth.tab")
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
ARTIFACTS = ("dark_corner", "hair", "gel_border", "bubble", "ruler", "ink", "patches")


class HAM10000:
    """10,015 dermoscopic images of 7,470 lesions (Tschandl et al. 2018, doi:10.1038/sdata.2018.161).

    ``location`` is a folder that holds the official files by name, or whose subfolders do: the metadata table, the
    images (``HAM10000_images_part_1`` and ``_2``, or ``HAM10000_images``) and, where there, the lesion masks
    (``HAM10000_segmentations...``), ``artifacts.csv`` and the test set (``ISIC2018_Task3_Test_Input`` with its ground
    truth). Images may lie in folders, zip or tar files. Groups are lesions; the test set names no lesions, so there
    each image is a group. ``dx_type`` (how the diagnosis was made) leaks the class and is never a feature.
    """

    version: ClassVar[str] = "1"

    class Config(Options):
        """``masks``: use them if they are there, never, or stop without them. ``max_absent``: share of the listed
        images of a part that may have no file before that is an error (unless ``on_bad`` is "skip")."""

        masks: Literal["auto", "off", "require"] = "auto"
        max_absent: float = Field(0.01, ge=0, le=1)

    info = DatasetInfo(
        name="ham10000",
        title="HAM10000, tested on ISIC 2018 task 3",
        licence="CC BY-NC 4.0",
        citation="Tschandl, Rosendahl, Kittler (2018): The HAM10000 dataset, Sci. Data 5:180161; "
        "Codella et al. (2018): Skin lesion analysis toward melanoma detection, arXiv:1902.03368",
        group="lesion",
        notes=("53 % of the diagnoses are confirmed by histology; groups are lesions, patients are not known",),
    )

    def __init__(self, options: Config, data: DataConfig, location: str | None) -> None:
        if not location:
            raise ConfigError("ham10000 needs a folder: --data ham10000:DIR, where DIR holds HAM10000_metadata.csv")
        self.options, self.data, self.root = options, data, Path(location).expanduser()
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; ham10000:DIR wants the one that holds HAM10000_metadata.csv")
        self.layout = Layout(self.root)
        self.task: Task = make_task(data.task, ISIC_CLASSES)

    def signature(self) -> dict[str, Any]:
        """Names, sizes and modification times of every file that :meth:`build` reads."""
        found = [self.layout.table(METADATA), self.layout.table(TEST_LABELS), self.layout.table(("artifacts.csv",))]
        tables = [file_signature(path) for path in found if path]
        containers = (IMAGES, TEST_IMAGES) if self.options.masks == "off" else (IMAGES, TEST_IMAGES, MASKS)
        return {"tables": tables, "sources": [s.signature() for c in containers for s in self.layout.sources(c)]}

    def build(self, folder: Path) -> None:
        """Decode everything into ``folder``; raises :class:`DataError` as :func:`bench.data.ingest.ingest` does."""
        masks = self._masks()
        with PreparedWriter(
            folder,
            self.task,
            self.info,
            size=self.data.resolution,
            preprocessing=recipe_of(self.data).name,
            mask_names=("lesion",) if masks else (),
        ) as writer:
            rows = [*self._train_rows(writer, masks), *self._test_rows(writer)]
            ingest(rows, writer, self.data, self.options.max_absent)

    def _train_rows(self, writer: PreparedWriter, masks: Mapping[str, Located]) -> Iterator[Listed]:
        path = self.layout.table(METADATA)
        if path is None:
            raise DataError(f"{self.root}: none of {', '.join(METADATA)} here or one folder below")
        table = unique_rows(read_table(path, COLUMNS), path, writer)
        images = self.layout.index(IMAGES, "images", writer)
        artifacts = self._artifacts()
        if unlisted := sorted(set(images) - set(table)):
            writer.note(f"{len(unlisted)} image files are not in {path.name} and not used, e.g. {unlisted[0]}")
        for name, row in sorted(table.items()):
            columns: dict[str, str | int | float] = {
                "dx": self._diagnosis(row, path),
                "dx_type": row["dx_type"],
                "age": number(row, "age", path),
                "sex": row["sex"],
                "site": row["localization"],
                "source": row.get("dataset", ""),
                **{f"artifact_{a}": artifacts.get(name, {}).get(a, -1) for a in ARTIFACTS if artifacts},
            }
            label = int(task_labels([str(columns["dx"])], ISIC_CLASSES, self.task)[0])
            yield Listed(name, label, row["lesion_id"], "train", images.get(name), masks.get(name), columns)

    def _test_rows(self, writer: PreparedWriter) -> Iterator[Listed]:
        path = self.layout.table(TEST_LABELS)
        if path is None and not self.layout.sources(TEST_IMAGES):
            writer.note("no ISIC 2018 task 3 test set found: the test split is a grouped share of HAM10000")
            return
        if path is None:
            raise DataError(f"{self.root}: test images without their labels: add {TEST_LABELS[0]}")
        images = self.layout.index(TEST_IMAGES, "test images", writer)
        table = {row["image"]: row for row in read_table(path, ("image", *(c.upper() for c in ISIC_CLASSES)))}
        if unlisted := sorted(set(images) - set(table)):
            writer.note(f"{len(unlisted)} test image files are not in {path.name} and not used, e.g. {unlisted[0]}")
        for name, row in sorted(table.items()):
            marks = [c for c in ISIC_CLASSES if number(row, c.upper(), path) == 1]
            if len(marks) != 1:
                raise DataError(f"{path}, line {row['line']}: {name} has {len(marks)} diagnoses, expected one")
            label = int(task_labels(marks, ISIC_CLASSES, self.task)[0])
            blank: dict[str, str | int | float] = {"dx": marks[0], "dx_type": "", "age": np.nan, "sex": "", "site": ""}
            yield Listed(name, label, row.get("lesion_id") or name, "test", images.get(name), None, blank)

    def _diagnosis(self, row: Mapping[str, str], path: Path) -> str:
        if row["dx"] not in ISIC_CLASSES:
            raise DataError(f"{path}, line {row['line']}: dx {row['dx']!r} is not one of {', '.join(ISIC_CLASSES)}")
        return row["dx"]

    def _artifacts(self) -> dict[str, dict[str, int]]:
        path = self.layout.table(("artifacts.csv",))
        rows = read_table(path, ("image_id", *ARTIFACTS)) if path else []
        return {r["image_id"]: {a: int(number(r, a, path)) for a in ARTIFACTS} for r in rows} if path else {}

    def _masks(self) -> dict[str, Located]:
        sources = self.layout.sources(MASKS) if self.options.masks != "off" else []
        if self.options.masks == "require" and not sources:
            raise DataError(f"{self.root}: no lesion masks ({MASKS[0][0]} or {MASKS[1][0]}), which masks=require wants")
        return {stem.removesuffix("_segmentation"): place for stem, place in index_by_stem(sources)[0].items()}


def unique_rows(rows: Sequence[dict[str, str]], path: Path, writer: PreparedWriter) -> dict[str, dict[str, str]]:
    """Rows by image id. Repeated rows (copies of the table oversampled by class circulate) are dropped with a note.

    Raises :class:`DataError` when two rows of one image differ.
    """
    unique: dict[str, dict[str, str]] = {}
    for row in rows:
        first = unique.setdefault(row["image_id"], row)
        if differing := [c for c in COLUMNS if first[c] != row[c]]:
            raise DataError(
                f"{path}, lines {first['line']} and {row['line']}: {row['image_id']} has two values of {differing[0]}: "
                f"{first[differing[0]]!r} and {row[differing[0]]!r}; fetch the official table"
            )
    repeated = Counter(row["image_id"] for row in rows)
    if len(rows) > len(unique):
        name, times = repeated.most_common(1)[0]
        writer.note(
            f"{path.name} repeats {len(rows) - len(unique)} rows (an oversampled copy: {name} is there {times} times); "
            "each image is used once"
        )
    return unique
