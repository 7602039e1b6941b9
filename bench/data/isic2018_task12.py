"""ISIC 2018 tasks 1 and 2: dermoscopic images with masks of the lesion and of five dermoscopic attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from bench.contracts import Options
from bench.data.base import DataConfig, DatasetInfo
from bench.data.ingest import Listed, ingest, recipe_of
from bench.data.layout import Layout
from bench.data.sources import Located, file_signature, index_by_stem
from bench.data.tables import number, read_table
from bench.data.tasks import ISIC_CLASSES, make_task, task_labels
from bench.data.write import PreparedWriter
from bench.errors import ConfigError, DataError

IMAGES = (("ISIC2018_Task1-2_Training_Input",),)
LESIONS = (("ISIC2018_Task1_Training_GroundTruth",),)
ATTRIBUTES = (("ISIC2018_Task2_Training_GroundTruth_v3",), ("ISIC2018_Task2_Training_GroundTruth",))
ATTRIBUTE_NAMES = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")
LABELS = ("labels_and_artifacts.csv",)
OFFICIAL_LABELS = ("ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_GroundTruth.csv.gz")
OFFICIAL_METADATA = ("ISIC_2019_Training_Metadata.csv", "ISIC_2019_Training_Metadata.csv.gz")
MARKS = {c.upper(): c for c in ISIC_CLASSES} | {"AK": "akiec", "SCC": "akiec"}
ARTIFACTS = ("dark_corner", "hair", "gel_border", "gel_bubble", "ruler", "ink", "patches")


class ISIC2018Task12:
    """2,594 dermoscopic images (Codella et al. 2019, arXiv:1902.03368; the training set of lesion tasks 1 and 2).

    ``location`` is a folder that holds, by their official names, or whose subfolders do: the images, the lesion masks
    and where there the attribute masks. Those tasks came without diagnoses. They are taken from
    ``labels_and_artifacts.csv`` (image_id, dx2019, lesion_id, ...) or from the ISIC 2019 ground truth with its
    metadata; an image without one is left out. Groups are lesions where they are known, else images. All images are
    of the part "train".
    """

    version: ClassVar[str] = "1"

    class Config(Options):
        """``masks``, ``attributes``: use those of the lesion and of the five attributes if they are there, never, or
        stop without them. ``max_absent``: share of the listed images that may have no file before that is an error."""

        masks: Literal["auto", "off", "require"] = "auto"
        attributes: Literal["auto", "off", "require"] = "auto"
        max_absent: float = Field(0.01, ge=0, le=1)

    info = DatasetInfo(
        name="isic2018_task12",
        title="ISIC 2018 tasks 1 and 2: lesion boundaries and dermoscopic attributes",
        licence="CC BY-NC 4.0",
        citation="Codella et al. (2019): Skin lesion analysis toward melanoma detection 2018, arXiv:1902.03368",
        group="lesion",
        notes=("lesion ids are known for about a quarter of the images; any other image is a group of its own",),
    )

    def __init__(self, options: Config, data: DataConfig, location: str | None) -> None:
        if not location:
            raise ConfigError(f"isic2018_task12 needs a folder: --data isic2018_task12:DIR with {IMAGES[0][0]}")
        if options.masks == "off" and options.attributes == "require":
            raise ConfigError("masks=off with attributes=require: the lesion is the first of the masks")
        self.options, self.data, root = options, data, Path(location).expanduser()
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; isic2018_task12:DIR wants the one that holds {IMAGES[0][0]}")
        self.layout = Layout(root)

    def signature(self) -> dict[str, Any]:
        """Names, sizes and modification times of every file that :meth:`build` reads."""
        tables = [self.layout.table(names) for names in (LABELS, OFFICIAL_LABELS, OFFICIAL_METADATA)]
        read = {IMAGES: True, LESIONS: self.options.masks != "off", ATTRIBUTES: self._wants_attributes()}
        sources = [s.signature() for names, used in read.items() if used for s in self.layout.sources(names)]
        return {"tables": [file_signature(path) for path in tables if path], "sources": sources}

    def build(self, folder: Path) -> None:
        """Decode everything into ``folder``; raises :class:`DataError` as :func:`bench.data.ingest.ingest` does."""
        lesions, attributes = self._masks(), self._attribute_masks()
        table = self._table()
        classes = tuple(c for c in ISIC_CLASSES if c in {row["dx"] for row in table.values()})
        task = make_task(self.data.task, classes)
        labels = task_labels([row["dx"] for row in table.values()], classes, task)
        names = (("lesion", *ATTRIBUTE_NAMES) if attributes else ("lesion",)) if lesions else ()
        how = recipe_of(self.data).name
        with PreparedWriter(
            folder, task, self.info, size=self.data.resolution, preprocessing=how, mask_names=names
        ) as writer:
            images = self.layout.index(IMAGES, "images", writer)
            if unlabelled := sorted(set(images) - set(table)):
                writer.note(f"{len(unlabelled)} images have no diagnosis and are left out, e.g. {unlabelled[0]}")
            rows = [
                Listed(name, label, row.pop("lesion_id") or name, "train", images.get(name), mask, row)
                for (name, row), label in zip(table.items(), labels.tolist(), strict=True)
                for mask in [_masks_of(name, lesions, attributes)]
            ]
            ingest(rows, writer, self.data, self.options.max_absent)

    def _table(self) -> dict[str, dict[str, Any]]:
        """Diagnosis, lesion id ("" where not known) and metadata of each image that has a diagnosis, sorted by id."""
        if path := self.layout.table(LABELS):
            return dict(sorted(self._labels_and_artifacts(path)))
        if path := self.layout.table(OFFICIAL_LABELS):
            own = index_by_stem(self.layout.sources(IMAGES))[0]  # the table has all 25,331 images of ISIC 2019
            return {name: row for name, row in sorted(self._official(path)) if name in own}
        raise DataError(
            f"{self.layout.root}: no diagnoses; add {LABELS[0]} (image_id, dx2019, lesion_id) or the ISIC 2019 "
            f"{OFFICIAL_LABELS[0]}"
        )

    def _labels_and_artifacts(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in read_table(path, ("image_id", "dx2019", "lesion_id")):
            if not row["dx2019"]:
                continue
            if row["dx2019"] not in ISIC_CLASSES:
                classes = ", ".join(ISIC_CLASSES)
                raise DataError(f"{path}, line {row['line']}: dx2019 {row['dx2019']!r} is not one of {classes}")
            artifacts = {f"artifact_{a}": int(number(row, a, path)) for a in ARTIFACTS if a in row}
            yield row["image_id"], {"dx": row["dx2019"], **_about(row, path), **artifacts}

    def _official(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        metadata = self.layout.table(OFFICIAL_METADATA)
        known = {r["image"]: r for r in read_table(metadata, ("image", "lesion_id"))} if metadata else {}
        for row in read_table(path, ("image", "MEL", "NV", "BKL")):
            found = [c for mark, c in MARKS.items() if mark in row and number(row, mark, path) == 1]
            if len(found) == 1:
                yield row["image"], {"dx": found[0], **_about(known.get(row["image"], {}), metadata or path)}

    def _masks(self) -> dict[str, Located]:
        sources = self.layout.sources(LESIONS) if self.options.masks != "off" else []
        if self.options.masks == "require" and not sources:
            raise DataError(f"{self.layout.root}: no lesion masks ({LESIONS[0][0]}), which masks=require wants")
        return index_by_stem(sources)[0]

    def _attribute_masks(self) -> dict[str, Located]:
        sources = self.layout.sources(ATTRIBUTES) if self._wants_attributes() else []
        if self.options.attributes == "require" and not sources:
            what = f"no attribute masks ({ATTRIBUTES[0][0]}), which attributes=require wants"
            raise DataError(f"{self.layout.root}: {what}")
        return index_by_stem(sources)[0]

    def _wants_attributes(self) -> bool:
        return self.options.attributes != "off" and self.options.masks != "off"


def _about(row: dict[str, str], path: Path) -> dict[str, Any]:
    """Lesion, age, sex and site as the ISIC 2019 metadata names them; empty where not known."""
    return {
        "lesion_id": row.get("lesion_id", ""),
        "age": number(row, "age_approx", path),
        "sex": row.get("sex", ""),
        "site": row.get("anatom_site_general", ""),
    }


def _masks_of(
    name: str, lesions: Mapping[str, Located], attributes: Mapping[str, Located]
) -> tuple[Located | None, ...]:
    own = [attributes.get(f"{name}_attribute_{a}") for a in ATTRIBUTE_NAMES] if attributes else []
    return (lesions.get(f"{name}_segmentation"), *own)
