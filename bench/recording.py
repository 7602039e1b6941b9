"""Parts of a record, from what the runner holds in its hands."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench import evaluate, registry
from bench.config import RunConfig
from bench.contracts import Images
from bench.lab import SYNTHETIC_PREFIX, Arm, Lab
from bench.record import (
    ArmRecord,
    DataRecord,
    EnvironmentRecord,
    FileRecord,
    PluginRecord,
    Record,
    SplitRecord,
    ThresholdRecord,
    ThroughputRecord,
)
from bench.workbench import Workbench
from bench.world import World


def arm_record(lab: Lab, name: str, arm: Arm, judged: evaluate.Judged, world: World, folder: Path) -> ArmRecord:
    """The record of one arm; its predictions on test and val_thresh are written beside it."""
    synthetic = sum(str(i).startswith(SYNTHETIC_PREFIX) for i in arm.train.ids)

    def store(kind: str, images: Images, scores: Any) -> FileRecord:
        return evaluate.write_predictions(folder / "predictions" / f"{name}-seed{lab.seed}-{kind}.npz", images, scores)

    return ArmRecord(
        name=name, seed=lab.seed, description=arm.description, n_real=len(arm.train) - synthetic,
        n_synthetic=synthetic, steps=getattr(arm.classifier.config, "steps", None),
        thresholds=[
            ThresholdRecord(rule=t.rule, value=t.value, split=t.split, split_checksum=t.split_checksum)
            for t in judged.thresholds.values()
        ],
        metrics=judged.metrics, key=arm.classifier.key,
        notes=arm.classifier.stored.meta.get("notes", []),
        selected_step=arm.classifier.stored.meta.get("selected_step"),
        predictions=store("test", world.test, judged.test_scores),
        threshold_predictions=store("val_thresh", lab.val_thresh, judged.val_scores),
    )  # fmt: skip


def plugin_record(config: RunConfig, kind: str) -> PluginRecord:
    """The plugin of section ``kind`` with its effective configuration."""
    cls, options = config.plugin(kind)
    return PluginRecord(
        name=getattr(config, kind).name, cls=f"{cls.__module__}:{cls.__qualname__}",
        version=str(getattr(cls, "version", "0")), config=options.model_dump(mode="json"),
        control=bool(getattr(cls, "control", False)),
    )  # fmt: skip


def empty_record(config: RunConfig, command: str, environment: EnvironmentRecord) -> Record:
    """A record without results, failed until something succeeds."""
    protocol, _ = config.plugin("protocol")
    return Record(
        run_id=config.run_id(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        status="failed",
        preset=config.preset,
        ranked=config.preset != "smoke" and bool(getattr(protocol, "ranked", True)),
        command=command,
        data=DataRecord(
            name="", spec=config.data.spec, fingerprint="", n=0, resolution=config.data.resolution,
            preprocessing="", task=config.data.task, class_names=[], positive=0,
        ),
        split=None,
        protocol=plugin_record(config, "protocol"),
        generator=plugin_record(config, "generator") if getattr(protocol, "uses_generator", True) else None,
        classifier=plugin_record(config, "classifier"),
        seeds=list(config.seeds),
        environment=environment,
        config=config.model_dump(mode="json"),
    )  # fmt: skip


def data_record(world: World, config: RunConfig) -> DataRecord:
    """What the images are and what was noticed on the way."""
    info, meta = world.dataset.info, world.prepared.meta
    bayes: Callable[[], float] | None = getattr(world.dataset, "bayes_auc", None)
    return DataRecord(
        name=info.name, spec=config.data.spec, fingerprint=world.prepared.fingerprint,
        n=len(world.prepared.images), resolution=config.data.resolution, preprocessing=meta["preprocessing"],
        task=world.task.name, class_names=list(world.task.class_names), positive=world.task.positive,
        notes=list(dict.fromkeys([*info.notes, *meta.get("notes", [])])), licence=info.licence, citation=info.citation,
        bayes_auc=bayes() if bayes else None,
    )  # fmt: skip


def split_record(world: World, config: RunConfig) -> SplitRecord:
    """Sizes and checksum of the frozen splits."""
    return SplitRecord(
        checksum=world.splits.checksum, seed=config.data.split_seed,
        counts=world.splits.counts(), groups=world.splits.groups(),
    )  # fmt: skip


def plugin_packages(config: RunConfig) -> tuple[str, ...]:
    """Installed packages, other than this one, that the run's plugins come from."""
    found = (registry.distribution(k, getattr(config, k).name) for k in ("protocol", "generator", "classifier"))
    return tuple(sorted({name for name in found if name}))


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Path -> sha256 of those files in ``folder`` that are there: a run that was interrupted has no pictures yet."""
    found = [name for name in names if (folder / name).is_file()]
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in found}


def throughput_records(bench: Workbench) -> list[ThroughputRecord]:
    """Speeds that the stages measured when they were executed: the largest of each plugin and phase."""
    phase_of = {"fit": "fit", "train": "fit", "sample": "sample", "vary": "sample", "predict": "predict"}
    best: dict[tuple[str, str], ThroughputRecord] = {}
    for row in bench.stages:
        found = bench.store.find(row.stage, row.key) if row.stage in phase_of else None
        speed = found.meta.get("throughput") if found else None
        if not found or not speed:
            continue
        name = f"{found.meta['plugin']}{' (vary)' if row.stage == 'vary' else ''}"
        phase: Any = phase_of[row.stage]
        old = best.get((phase, name))
        if old is None or speed["images"] > old.images:
            best[phase, name] = ThroughputRecord(phase=phase, plugin=name, **speed)
    return list(best.values())
