"""What a data set is to the harness, and what a prepared one looks like on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bench.contracts import Images, Options, Task

Strings = NDArray[np.str_]


class DataConfig(Options):
    """The ``data`` section of a run.

    spec        "phantom", "ham10000:DIR", "folder:DIR" or "pkg.mod:Class:DIR"
    resolution  side of the square images in pixels
    task        "melanoma" (vs rest), "malignant" (mel, bcc, akiec vs rest) or "classes" (all classes)
    test        "official" (the data set's own test images) or "split" (a grouped share of its training images)
    crop, filter  the one preprocessing path: centre square crop or pad; antialiased lanczos or area
    on_bad      unusable files: stop and name them all, or leave them out and name them. Files that a table lists but
                that are absent stop a run only above the data set's ``max_absent`` (1 % of a part), else they are noted
    options     options of the data set's own ``Config``
    """

    spec: str = "phantom"
    resolution: int = 32
    task: Literal["melanoma", "malignant", "classes"] = "melanoma"
    test: Literal["official", "split"] = "official"
    test_fraction: float = 0.2
    crop: Literal["square", "pad"] = "square"
    filter: Literal["lanczos", "area"] = "lanczos"
    on_bad: Literal["fail", "skip"] = "fail"
    split_seed: int = 0
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class DatasetInfo:
    """Who made the images and under which terms; ``notes`` are printed with every result."""

    name: str
    title: str
    licence: str
    citation: str
    group: str  # "patient", "lesion" or "image": what ``groups`` holds
    notes: tuple[str, ...] = ()


class Dataset(Protocol):
    """A source of labelled images. Built as ``Class(config.options as Class.Config, data config, location)``."""

    version: ClassVar[str]
    Config: ClassVar[type[BaseModel]]
    info: DatasetInfo

    def __init__(self, options: Any, data: DataConfig, location: str | None) -> None: ...

    def signature(self) -> dict[str, Any]:
        """JSON that changes whenever the source may have changed, found without decoding an image.

        For files: names, sizes and modification times; for a simulation: its options.
        """

    def build(self, folder: Path) -> None:
        """Decode (or draw) every image once and write a prepared data set (see :class:`Prepared`) into ``folder``."""


@runtime_checkable
class CanDraw(Protocol):
    """A simulated data set: fresh draws without end, and a known best possible AUC."""

    def draw(self, labels: NDArray[np.int64], seed: int) -> Images:
        """New images for ``labels`` int64 [M], of patients that are in no split."""

    def bayes_auc(self) -> float:
        """AUC of the ideal observer for the task's positive class."""


@dataclass
class Prepared:
    """A data set on disk, ready to be split.

    pixels.npy  uint8 [N, S, S, 3]; masks.npy uint8 [N, S, S, C] or absent
    table.npz   str/number columns of N rows: id, label, group, part ("train" or "test"), and metadata such as
                sex, age, site, dx_type (never a feature), artifact columns, hash (perceptual hash, uint64)
    meta.json   task, class_names, positive, mask_names, preprocessing, fingerprint, notes, bad files, info
    """

    folder: Path
    images: Images
    table: dict[str, NDArray[Any]]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return Task(self.meta["task"], tuple(self.meta["class_names"]), int(self.meta["positive"]))

    @property
    def fingerprint(self) -> str:
        """sha256 over pixels, labels, ids, groups and parts."""
        return str(self.meta["fingerprint"])


def load_prepared(folder: Path) -> Prepared:
    """Open what ``Dataset.build`` wrote; pixels and masks stay on disk as memory maps."""
    meta = json.loads((folder / "meta.json").read_text())
    with np.load(folder / "table.npz", allow_pickle=False) as stored:
        table = {name: stored[name] for name in stored.files}
    masks = folder / "masks.npy"
    images = Images(
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        labels=table["label"].astype(np.int64),
        ids=table["id"],
        groups=table["group"],
        class_names=tuple(meta["class_names"]),
        source="real",
        masks=np.load(masks, mmap_mode="r") if masks.exists() else None,
        key=meta["fingerprint"],
    )
    return Prepared(folder, images, table, meta)
