"""Test sets from elsewhere (``--also-test``): how the arms do on images of another distribution.

Every image of such a set is scored, by the thresholds of the arm's own val_thresh. What was trained on, chosen by or
fitted on must not be in it, neither by id nor by near-duplicate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import evaluate, registry
from bench.config import RunConfig
from bench.contracts import Images, Task
from bench.data.base import DataConfig, Prepared, load_prepared
from bench.differences import auc_differences
from bench.errors import DataError
from bench.keys import digest
from bench.lab import Fitted, Lab
from bench.record import ComparisonRecord, FurtherArmRecord, FurtherTestRecord
from bench.workbench import Workbench

LEAST = 2  # cases of each class that a comparison needs


@dataclass(frozen=True)
class Further:
    """A further test set, prepared as the run's own data; ``images``: all of them, near-duplicates in one group."""

    name: str
    spec: str
    prepared: Prepared
    images: Images

    def can_compare(self, positive: int) -> bool:
        """Whether both sides of the task have the cases that a comparison of AUCs needs."""
        y = self.images.labels == positive
        return min(int(y.sum()), int((~y).sum())) >= LEAST


def prepare_further(bench: Workbench, task: Task, seen: Mapping[str, Images]) -> list[Further]:
    """The sets of ``also_test`` in the run's resolution, preprocessing and task, each a stage.

    ``seen``: the splits that training, selection and thresholds use. Raises :class:`DataError` for a set of another
    task or other classes, :class:`bench.errors.LeakError` that names what a set shares with ``seen``.
    """
    out: list[Further] = []
    for spec in bench.config.also_test:
        prepared = _prepared(bench, spec)
        _check_task(spec, prepared.task, task)
        found = Further(_name(spec, [f.name for f in out]), spec, prepared, _images(prepared, task))
        _check_unseen(bench, found, seen)
        out.append(found)
    return out


def data_config(config: RunConfig, spec: str) -> DataConfig:
    """The data section of ``config`` with another ``spec``; options of the run's own data set are not passed on."""
    from bench.data.prepare import parse_spec

    cls = registry.load("dataset", parse_spec(spec)[0])
    options = getattr(cls, "presets", {}).get(config.preset, {})
    return config.data.model_copy(update={"spec": spec, "options": dict(options)})


def empty_records(sets: Sequence[Further]) -> list[FurtherTestRecord]:
    """The records of ``sets``, without results."""
    return [
        FurtherTestRecord(
            name=f.name, spec=f.spec, fingerprint=f.prepared.fingerprint, groups=len(np.unique(f.images.groups)),
            counts=dict(zip(f.images.class_names, f.images.counts().tolist(), strict=True)),
            notes=list(f.prepared.meta.get("notes", [])),
        )
        for f in sets
    ]  # fmt: skip


def judge_further(bench: Workbench, lab: Lab, classifier: Fitted, of: Further) -> evaluate.Judged:
    """Predictions and metrics of one arm on ``of``."""
    return evaluate.judge(bench, lab, classifier, of.images, title=f"also-test {of.name}")


def arm_on(of: Further, arm: str, seed: int, judged: evaluate.Judged, folder: Path) -> FurtherArmRecord:
    """The record of one arm on ``of``; its predictions are written into the run ``folder``."""
    path = folder / "predictions" / f"{arm}-seed{seed}-also-{of.name}.npz"
    file = evaluate.write_predictions(path, of.images, judged.test_scores)
    return FurtherArmRecord(name=arm, seed=seed, metrics=judged.metrics, predictions=file)


def compare_on(
    bench: Workbench,
    of: Further,
    positive: int,
    judged: Sequence[Mapping[str, evaluate.Judged]],
    keys: Mapping[str, Sequence[str]],
    pairs: Sequence[tuple[str, str]],
) -> list[ComparisonRecord]:
    """ΔAUC of ``pairs`` on ``of`` for information: no family, no correction; none where a class is absent.

    ``judged``: arm -> judgement, one mapping a seed; ``keys``: arm -> keys of its classifiers.
    """
    if not of.can_compare(positive):
        return []
    scores = {name: [seed[name].test_scores for seed in judged] for name in keys}
    return auc_differences(bench, of.images, positive, scores, keys, pairs)


def _prepared(bench: Workbench, spec: str) -> Prepared:
    from bench.data.prepare import resolve, source_key

    config = data_config(bench.config, spec)
    dataset = resolve(config)
    stored = bench.stage(
        "data", f"prepare {spec}", type(dataset), {}, source_key(dataset, config), lambda out, ctx: dataset.build(out)
    )
    return load_prepared(stored.folder)


def _images(prepared: Prepared, task: Task) -> Images:
    from bench.data.duplicates import join_groups, stored_duplicates

    groups = join_groups(prepared.images.groups, stored_duplicates(prepared))
    key = digest([prepared.fingerprint, "all"])
    return replace(prepared.images, groups=groups, class_names=task.class_names, key=key)


def _check_task(spec: str, found: Task, task: Task) -> None:
    """The same classes in the same order; of two classes only the positive one must have the same name."""
    same = found.class_names == task.class_names
    if len(task.class_names) == len(found.class_names) == 2:
        same = found.class_names[found.positive] == task.class_names[task.positive] and found.positive == task.positive
    if found.name != task.name or not same:
        raise DataError(
            f"--also-test {spec}: its task is {found.name!r} with classes {', '.join(found.class_names)}, that of the "
            f"run is {task.name!r} with {', '.join(task.class_names)}; a test set must have the run's own classes"
        )


def _check_unseen(bench: Workbench, of: Further, seen: Mapping[str, Images]) -> None:
    from bench.data import invariants

    def check(seed: int) -> dict[str, int]:
        invariants.check_no_synthetic(of.images, of.name)
        for name, images in seen.items():
            invariants.check_disjoint(images, of.images, f"{name} and --also-test {of.spec}")
        return {name: len(images) for name, images in seen.items()}

    keys = {name: images.key for name, images in seen.items()} | {"further": of.images.key}
    title = f"check that {of.name} is unseen"
    bench.json_stage("invariants", title, "bench.data.invariants@2", {}, keys, check)


def _name(spec: str, taken: Sequence[str]) -> str:
    """A name for tables and files: the kind and the last part of the place, made unique."""
    kind, _, place = spec.partition(":")
    words = [kind, Path(place.split(",")[0]).name] if place else [kind]
    base = re.sub(r"[^\w.-]+", "_", "-".join(w for w in words if w))
    names = (base, *(f"{base}-{i}" for i in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)
