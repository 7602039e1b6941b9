"""Predictions made without this harness, scored by the same code: from CSV files to a record of origin "external".

Test images, labels, groups and splits come from the project's own prepared data set, never from the submission. How the
classifier was trained is what its authors say; the record marks that nothing of it was reproduced.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import evaluate
from bench.config import RunConfig, Section
from bench.contracts import Images, PredictionEvidence, Probabilities, Threshold
from bench.errors import ConfigError
from bench.keys import digest
from bench.record import ArmRecord, EstimateRecord, FileRecord, PluginRecord, Record, ThresholdRecord
from bench.recording import data_record, split_record
from bench.workbench import Workbench
from bench.world import World, prepare_world
from leaderboard.evidence import THRESHOLD_SPLIT
from leaderboard.load import RECORD
from leaderboard.submission import read_submission

ARM = "submitted"
MARK = "external: predictions submitted, training not reproduced"
NO_THRESHOLDS = f"no {THRESHOLD_SPLIT} predictions were submitted: there is no metric at a threshold"


@dataclass(frozen=True)
class Submission:
    """What somebody hands in. One CSV a seed; ``thresholds``: as many, of val_thresh, or none.

    ``name`` of the entry; ``generator``, ``classifier``: what they call theirs ("" for a classifier without synthetic
    images); ``n_real``, ``n_synthetic``: training images as they state them; ``samples``: synthetic images in class
    folders, for fidelity and memorization.
    """

    name: str
    predictions: Sequence[Path]
    thresholds: Sequence[Path] = ()
    generator: str = ""
    classifier: str = "external"
    description: str = ""
    n_real: int = 0
    n_synthetic: int = 0
    samples: Path | None = None

    def __post_init__(self) -> None:
        if not self.predictions:
            raise ConfigError("name at least one CSV of predictions, one a seed")
        if self.thresholds and len(self.thresholds) != len(self.predictions):
            raise ConfigError(
                f"{len(self.predictions)} files of test predictions, {len(self.thresholds)} of {THRESHOLD_SPLIT}: "
                f"give one --val-thresh for each, in the same order"
            )
        if not any(c.isalnum() for c in self.name):
            raise ConfigError(f"--name {self.name!r}: give the entry a name with letters or digits")
        if self.samples is not None and not self.generator:
            raise ConfigError("--samples needs --generator: what made these images?")


@dataclass(frozen=True)
class Scored:
    """The written record and its folder."""

    record: Record
    folder: Path


def submit(submission: Submission, config: RunConfig, command: str = "") -> Scored:
    """Score ``submission`` on the data of ``config`` and write its record below ``config.out``.

    Raises :class:`bench.errors.DataError` for a table that does not fit the test images (see
    :func:`leaderboard.submission.read_submission`), :class:`bench.errors.LeakError` for samples that are near-copies
    of images that only evaluation may see.
    """
    from bench.environment import environment

    bench = Workbench(config)
    world = prepare_world(bench)
    tables = [_Tables.read(submission, i, world) for i in range(len(submission.predictions))]
    run_id = _run_id(submission, world, tables)
    folder = config.out / run_id
    record = Record(
        origin="external", run_id=run_id, created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        status="complete", preset=config.preset, ranked=config.preset != "smoke", command=command,
        data=data_record(world, config), split=split_record(world, config),
        protocol=_external("external"), classifier=_external(submission.classifier),
        generator=_external(submission.generator) if submission.generator else None,
        seeds=list(range(len(tables))), environment=environment(bench.device, bench.precision, config.threads),
        metric_versions={"bench.metrics": _metric_version()}, config=_told(config, len(tables)), verdict=MARK,
    )  # fmt: skip
    record.arms = [_arm(submission, seed, t, world, config, folder) for seed, t in enumerate(tables)]
    record.floors["colour floor"] = evaluate.colour_floor(bench, world.task, world.parts["train"], world.test)
    record.stages = bench.stages
    if submission.samples is not None:
        _measure_samples(submission, config, record)
    record.write(folder / RECORD)
    return Scored(record, folder)


@dataclass(frozen=True)
class _Tables:
    """Scores float32 [N, K] of one seed on test, and on val_thresh where they were submitted."""

    test: Probabilities
    val_thresh: Probabilities | None

    @classmethod
    def read(cls, submission: Submission, i: int, world: World) -> _Tables:
        test = read_submission(submission.predictions[i], world.test, "test")
        if not submission.thresholds:
            return cls(test, None)
        return cls(test, read_submission(submission.thresholds[i], world.parts[THRESHOLD_SPLIT], THRESHOLD_SPLIT))


def _arm(
    submission: Submission, seed: int, tables: _Tables, world: World, config: RunConfig, folder: Path
) -> ArmRecord:
    """Thresholds from val_thresh, metrics on test, both sets of predictions written beside the record."""
    from bench.metrics import measure_predictions

    test, val_thresh, cuts = world.test, world.parts[THRESHOLD_SPLIT], _thresholds(tables, world)
    evidence = PredictionEvidence(
        test.labels, tables.test, test.ids, test.groups, world.task.class_names, world.task.positive, cuts
    )
    found = measure_predictions(evidence, evaluate.measure_seed(), config.replicates)

    def store(kind: str, images: Images, scores: Probabilities | None) -> FileRecord | None:
        path = folder / "predictions" / f"{ARM}-seed{seed}-{kind}.npz"
        return None if scores is None else evaluate.write_predictions(path, images, scores)

    return ArmRecord(
        name=ARM, seed=seed, description=": ".join(part for part in (MARK, submission.description) if part),
        n_real=submission.n_real, n_synthetic=submission.n_synthetic,
        thresholds=[ThresholdRecord(**vars(cut)) for cut in cuts.values()],
        metrics={name: EstimateRecord.of(estimate) for name, estimate in found.items()},
        predictions=store("test", test, tables.test),
        threshold_predictions=store(THRESHOLD_SPLIT, val_thresh, tables.val_thresh),
        notes=[MARK] if cuts else [MARK, NO_THRESHOLDS],
    )  # fmt: skip


def _thresholds(tables: _Tables, world: World) -> dict[str, Threshold]:
    from bench.lab import fit_threshold

    if tables.val_thresh is None:
        return {}
    images, checksum = world.parts[THRESHOLD_SPLIT], world.splits.checksum
    return {r: fit_threshold(r, images, tables.val_thresh, world.task, checksum) for r in evaluate.RULES}


def _measure_samples(submission: Submission, config: RunConfig, record: Record) -> None:
    """Fidelity and memorization of the submitted images, as of any generator; the leak guard looks at them too."""
    from bench.environment import resolve_device, resolve_precision
    from bench.run import make_lab, measure_generator

    options = {"path": str(submission.samples), "crop": config.data.crop, "filter": config.data.filter}
    with_folder = config.model_copy(update={"generator": Section(name="folder", options=options)})
    device = resolve_device(config.device)
    bench = Workbench(with_folder, device, resolve_precision(config.precision, device))
    world = prepare_world(bench)
    bench.seed = record.seeds[0]
    lab = make_lab(bench, world)
    images = lab.fit_generator(lab.train)
    sample = lab.sample(images, world.reference.labels, stream="fidelity")
    measure_generator(bench, world, lab, images, sample, record, record.seeds[0])
    for row in record.fidelity:
        row.name = submission.generator
    record.stages = [*record.stages, *bench.stages]


def _external(name: str) -> PluginRecord:
    return PluginRecord(name=name, cls="external", version="0", config={})


def _run_id(submission: Submission, world: World, tables: Sequence[_Tables]) -> str:
    """Readable, and another one for other predictions or data."""
    words = "".join(c if c.isalnum() else "_" for c in submission.name)
    arrays = [a for t in tables for a in (t.test, t.val_thresh) if a is not None]
    content = [digest(np.ascontiguousarray(a).tobytes().hex()) for a in arrays]
    made_of = [submission.generator, submission.classifier, world.prepared.fingerprint, world.splits.checksum, content]
    return f"external-{words}-{world.dataset.info.name}-{digest(made_of)[:10]}"


def _told(config: RunConfig, seeds: int) -> dict[str, object]:
    """The parts of the configuration that scoring uses."""
    plain = config.model_dump(mode="json", include={"preset", "data", "replicates"})
    return {**plain, "seeds": list(range(seeds))}


def _metric_version() -> str:
    from bench.metrics import VERSION

    return VERSION
