"""The images of a self-check as a data set, so that whole runs on them take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.contracts import Images, Options, Task
from bench.data.base import DataConfig, DatasetInfo
from bench.data.write import PreparedWriter
from bench.errors import ConfigError

FILE = "images.npz"


class Subset:
    """Images that :func:`write_subset` put into a folder; ``--data bench.selfcheck.subset:Subset:DIR``."""

    version: ClassVar[str] = "1"
    Config: ClassVar[type[Options]] = Options
    info: ClassVar[DatasetInfo] = DatasetInfo(
        "subset", "Images of a self-check", "that of their source", "that of their source", "image"
    )

    def __init__(self, options: Options, data: DataConfig, location: str | None = None) -> None:
        if not location or not (Path(location) / FILE).exists():
            raise ConfigError(f"subset: no {FILE} in {location}; it is written by bench selfcheck")
        self.folder, self.data = Path(location), data

    def signature(self) -> dict[str, Any]:
        """Size and time of the file."""
        found = (self.folder / FILE).stat()
        return {"bytes": found.st_size, "modified": found.st_mtime_ns}

    def build(self, folder: Path) -> None:
        """Write the images as a prepared data set."""
        with np.load(self.folder / FILE, allow_pickle=False) as stored:
            held = {name: stored[name] for name in stored.files}
        task = Task(str(held["task"]), tuple(held["class_names"].tolist()), int(held["positive"]))
        size = int(held["pixels"].shape[1])
        with PreparedWriter(folder, task, self.info, size=size, preprocessing=f"as given, {size}px") as writer:
            writer.add(held["pixels"], held["labels"], held["ids"], held["ids"], held["part"])


def write_subset(folder: Path, train: Images, test: Images, positive: int) -> None:
    """Put ``train`` and ``test`` into ``folder`` as the two parts of a data set; every image is a group."""
    folder.mkdir(parents=True, exist_ok=True)
    both = (train, test)
    np.savez(
        folder / FILE,
        allow_pickle=False,
        pixels=np.concatenate([np.asarray(part.pixels[:]) for part in both]),
        labels=np.concatenate([part.labels for part in both]),
        ids=np.concatenate([part.ids for part in both]),
        part=np.repeat(["train", "test"], [len(part) for part in both]),
        class_names=np.array(train.class_names),
        positive=np.array(positive),
        task=np.array("melanoma" if train.num_classes == 2 else "classes"),
    )
