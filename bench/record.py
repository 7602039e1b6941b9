"""The record of a run: the only source of the leaderboard. Versioned JSON, validated on the way in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.contracts import Estimate
from bench.errors import DataError

SCHEMA_VERSION = 2


class Row(BaseModel):
    """Base of all record parts: unknown fields are refused, so a typo cannot hide a number."""

    model_config = ConfigDict(extra="forbid")


class EstimateRecord(Row):
    """A number with its interval; ``value`` None needs a ``reason``."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    unit: str = ""
    direction: Literal["higher", "lower", "none"] = "none"
    method: str = ""
    reason: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, estimate: Estimate) -> EstimateRecord:
        """From the in-memory form."""
        return cls(**vars(estimate))


class PluginRecord(Row):
    """Which code with which settings; ``config`` is the effective one."""

    name: str
    cls: str  # "module:Class"
    version: str
    config: dict[str, Any]
    control: bool = False

    @property
    def label(self) -> str:
        """What people call it: its name, and the network where a plugin of many networks is told one."""
        network = self.config.get("network")
        return f"{self.name} {network}" if isinstance(network, str) else self.name


class DataRecord(Row):
    """Which images, how they were made ready, and what was noticed on the way."""

    name: str
    spec: str
    fingerprint: str
    n: int
    resolution: int
    preprocessing: str
    task: str
    class_names: list[str]
    positive: int
    notes: list[str] = Field(default_factory=list)
    licence: str = ""
    citation: str = ""
    bayes_auc: float | None = None


class SplitRecord(Row):
    """``counts``: split -> class name -> images."""

    checksum: str
    seed: int
    counts: dict[str, dict[str, int]]
    groups: dict[str, int]


class FileRecord(Row):
    """A file beside the record, relative to it."""

    path: str
    sha256: str
    n: int = 0


class ThresholdRecord(Row):
    rule: str
    value: float
    split: str
    split_checksum: str


class ArmRecord(Row):
    """One arm with one seed: what it was trained on, where its predictions lie, how it did on test.

    ``predictions``: npz with ids, groups (str), y (int64), scores (float32 [N, K]) for test;
    ``threshold_predictions``: the same for val_thresh, from which ``thresholds`` follow.
    ``metrics``: name -> estimate; a metric at a threshold is called e.g. ``sensitivity@youden``.
    ``subgroups``: the same within parts of the test set, e.g. ``auc[sex=female]``, where the data set tells them.
    ``notes``: what the classifier noticed while it was trained (e.g. a class without images); ``selected_step``: the
    step whose weights it kept.
    """

    name: str
    seed: int
    description: str = ""
    n_real: int = 0
    n_synthetic: int = 0
    steps: int | None = None
    thresholds: list[ThresholdRecord] = Field(default_factory=list)
    metrics: dict[str, EstimateRecord] = Field(default_factory=dict)
    subgroups: dict[str, EstimateRecord] = Field(default_factory=dict)
    predictions: FileRecord | None = None
    threshold_predictions: FileRecord | None = None
    notes: list[str] = Field(default_factory=list)
    selected_step: int | None = None
    key: str = ""
    error: str | None = None


class ComparisonRecord(Row):
    """``estimate`` is arm minus versus on ``endpoint``, over all seeds (two-level bootstrap).

    ``endpoint``: "auc" is the primary one; "pauc80", "specificity@sens95", "sensitivity@sens95" and "auc@hard" (see
    :class:`StratumRecord`) are secondary, never ``primary``. ``correction``: "Holm" over the primary comparisons, "BH"
    (false discovery rate) over the secondary endpoints of the same pairs, "" where none belongs to a family.
    ``extra_seconds``: compute that the arm took beyond C0, mean over seeds; ``per_hour``: ``estimate`` by hours of it.
    """

    endpoint: str
    arm: str
    versus: str
    estimate: EstimateRecord
    p: float | None = None
    p_adjusted: float | None = None
    correction: str = ""
    n_seeds: int = 1
    minimum_detectable_difference: float | None = None
    primary: bool = False
    extra_seconds: float | None = None
    per_hour: EstimateRecord | None = None


class StratumRecord(Row):
    """Part of the test images, chosen by classifiers that are not judged on it, and the AUC of each arm there.

    ``predictions``: npz with the mean probabilities of the ``judges`` classifiers on all test images, from which the
    part follows by ``rule``. ``auc``: arm -> mean over seeds with its two-level interval.
    """

    name: str
    rule: str
    n: int
    positives: int
    judges: int
    predictions: FileRecord
    auc: dict[str, EstimateRecord] = Field(default_factory=dict)


class RoundRecord(Row):
    """Memorization by the images accepted in one round with one seed.

    ``metrics``: "copy_rate" under the run's extractor, "copy_rate[pixels]" and "copy_rate[domain]" in all eight
    orientations; each has in ``extra`` "p_innocent", the chance of as many near-copies without copying. ``flagged``:
    names of those where it is below 2.5 %. ``varied``: the images were made from training images, to which they are
    near by design.
    """

    seed: int
    round: int
    n_synthetic: int
    n_reference: int
    extractor: str
    varied: bool = False
    metrics: dict[str, EstimateRecord] = Field(default_factory=dict)
    flagged: list[str] = Field(default_factory=list)


class FurtherArmRecord(Row):
    """One arm with one seed on a further test set; its thresholds are those of the arm, from val_thresh."""

    name: str
    seed: int
    metrics: dict[str, EstimateRecord]
    predictions: FileRecord


class FurtherTestRecord(Row):
    """A test set from elsewhere, all of its images: how the arms do where the images come from another distribution.

    ``spec``: where it was read from; ``counts``: class name -> images. ``comparisons`` are for information.
    """

    name: str
    spec: str
    fingerprint: str
    counts: dict[str, int]
    groups: int
    notes: list[str] = Field(default_factory=list)
    arms: list[FurtherArmRecord] = Field(default_factory=list)
    comparisons: list[ComparisonRecord] = Field(default_factory=list)


class FindingRecord(Row):
    """A number that the protocol found itself, without the test split, with one seed (e.g. the optimism of mining)."""

    name: str
    seed: int
    estimate: EstimateRecord


class FidelityRecord(Row):
    """Distances of one synthetic set to held-out reals under one extractor; ``floor``: real against real at equal n."""

    name: str
    seed: int
    extractor: str
    weights_sha256: str
    resize: str
    n_reference: int
    n_synthetic: int
    metrics: dict[str, EstimateRecord]
    floor: dict[str, EstimateRecord] = Field(default_factory=dict)


class ThroughputRecord(Row):
    """Speed of one phase, warm-up excluded, device synchronised."""

    phase: Literal["fit", "sample", "predict"]
    plugin: str
    images_per_second: float
    batch: int
    device: str
    precision: str
    images: int
    seconds: float
    threads: int = 0


class StageRecord(Row):
    """One stage of the run. ``seconds``, ``peak_memory_mb`` are those of its execution, also when it was cached."""

    stage: str
    name: str
    key: str
    status: Literal["executed", "resumed", "cached", "failed"]
    seed: int | None = None
    seconds: float = 0.0
    peak_memory_mb: float | None = None
    error: str | None = None


class FailureRecord(Row):
    """What went wrong where; a sweep goes on and the row stays visible."""

    seed: int | None
    phase: str
    error: str
    message: str
    elapsed_seconds: float


class EnvironmentRecord(Row):
    """Where the numbers were made."""

    commit: str | None
    dirty: bool | None
    python: str
    packages: dict[str, str]
    platform: str
    cpu: str
    cores: int
    threads: int
    device: str
    device_name: str
    precision: str


class Record(Row):
    """A run: dataset x protocol x generator x classifier x seeds.

    ``origin``: "run" for what this harness trained and measured; "external" for predictions that were submitted and
    only scored here, their training not reproduced. ``files``: title -> path beside the record; ``checksums``: path ->
    sha256 of these files. Records of earlier schema versions are read through :mod:`bench.migrations`.
    """

    schema_version: int = SCHEMA_VERSION
    origin: Literal["run", "external"] = "run"
    run_id: str
    created: str
    status: Literal["complete", "partial", "failed"]
    preset: str
    ranked: bool
    command: str
    data: DataRecord
    split: SplitRecord | None
    protocol: PluginRecord
    generator: PluginRecord | None
    classifier: PluginRecord
    seeds: list[int]
    arms: list[ArmRecord] = Field(default_factory=list)
    comparisons: list[ComparisonRecord] = Field(default_factory=list)
    strata: list[StratumRecord] = Field(default_factory=list)
    rounds: list[RoundRecord] = Field(default_factory=list)
    further_tests: list[FurtherTestRecord] = Field(default_factory=list)
    floors: dict[str, EstimateRecord] = Field(default_factory=dict)
    findings: list[FindingRecord] = Field(default_factory=list)
    fidelity: list[FidelityRecord] = Field(default_factory=list)
    throughput: list[ThroughputRecord] = Field(default_factory=list)
    ledger: list[dict[str, Any]] = Field(default_factory=list)
    stages: list[StageRecord] = Field(default_factory=list)
    failures: list[FailureRecord] = Field(default_factory=list)
    environment: EnvironmentRecord
    files: dict[str, str] = Field(default_factory=dict)
    checksums: dict[str, str] = Field(default_factory=dict)
    verdict: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    metric_versions: dict[str, str] = Field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write atomically as indented JSON: a reader sees the old record or the new one, never half of it."""
        import os

        temp = path.with_name(f".{path.name}.{os.getpid()}")
        temp.write_text(self.model_dump_json(indent=1) + "\n")
        os.replace(temp, path)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read, migrate and validate; raises :class:`DataError` that names the file and the field."""
        from bench.migrations import migrate

        try:
            return cls.model_validate(migrate(json.loads(path.read_text()), SCHEMA_VERSION))
        except FileNotFoundError:
            raise DataError(f"{path}: no such record") from None
        except (DataError, json.JSONDecodeError) as error:
            raise DataError(f"{path}: not a valid record: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(f"{path}: not a valid record: {where or 'top level'}: {first['msg']}") from None
