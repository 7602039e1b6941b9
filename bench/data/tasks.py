"""From diagnoses to the labels of a task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.contracts import Labels, Task
from bench.errors import ConfigError

ISIC_CLASSES = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")  # the column order of the ISIC 2018 ground truth
MELANOMA = frozenset({"mel", "melanoma"})
MALIGNANT = MELANOMA | {
    "malignant",
    "bcc",
    "basal cell carcinoma",
    "akiec",
    "ak",
    "actinic keratosis",
    "scc",
    "squamous cell carcinoma",
}


def make_task(name: str, classes: Sequence[str], positive: Sequence[str] = ()) -> Task:
    """The task ``name`` ("melanoma", "malignant", "classes") on a data set with ``classes``.

    ``positive``: the classes that count as positive, instead of those known to be melanoma or malignant.
    Binary tasks are (rest, positive) with positive = 1; "classes" keeps the classes in the given order.
    Raises :class:`ConfigError` when no class or every class is positive.
    """
    members = _positive(name, classes, positive)
    if name == "classes":
        return Task(name, tuple(classes), classes.index(members[0]) if members else 0)
    rest = "benign" if name == "malignant" else "other"
    if not members or len(members) == len(classes):
        raise ConfigError(
            f"task {name!r} needs positive and other classes, but {len(members)} of {', '.join(classes)} are "
            f"positive: name them with the data option positive, or use the task 'classes'"
        )
    return Task(name, (rest, name), 1)


def task_labels(diagnoses: Sequence[str], classes: Sequence[str], task: Task, positive: Sequence[str] = ()) -> Labels:
    """Label int64 [N] of each diagnosis, a name of ``classes``."""
    if task.name == "classes":
        index = {c: i for i, c in enumerate(classes)}
        return np.array([index[d] for d in diagnoses], dtype=np.int64)
    members = set(_positive(task.name, classes, positive))
    return np.array([d in members for d in diagnoses], dtype=np.int64)


def _positive(name: str, classes: Sequence[str], positive: Sequence[str]) -> list[str]:
    if unknown := [p for p in positive if p not in classes]:
        raise ConfigError(f"positive class {unknown[0]!r} is not in the data (classes: {', '.join(classes)})")
    known = MALIGNANT if name == "malignant" else MELANOMA
    return list(positive) or [c for c in classes if c.lower() in known]
