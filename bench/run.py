"""The runner: data, splits, one protocol per seed, predictions on test, numbers, pictures, record."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import evaluate, registry
from bench.config import RunConfig
from bench.context import Reporter, Silent
from bench.contracts import Images, Task
from bench.data.base import Dataset, Prepared, load_prepared
from bench.errors import BenchError
from bench.heldout import HeldOut
from bench.lab import SYNTHETIC_PREFIX, Arm, Lab, Outcome
from bench.record import (
    ArmRecord,
    ComparisonRecord,
    DataRecord,
    EstimateRecord,
    FailureRecord,
    FidelityRecord,
    FileRecord,
    PluginRecord,
    Record,
    SplitRecord,
    ThresholdRecord,
    ThroughputRecord,
)
from bench.workbench import Workbench

RECORD, CONFIG = "record.json", "config.json"


@dataclass(frozen=True)
class RunResult:
    """A finished run: its record, its folder, and how many stages were executed or found in the store."""

    record: Record
    folder: Path
    executed: int
    cached: int


@dataclass
class World:
    """Data of a run: splits as images, the held-out source, and what guards against leaks."""

    dataset: Dataset
    prepared: Prepared
    splits: Any
    parts: dict[str, Images]
    reference: Images
    held_out: HeldOut

    @property
    def test(self) -> Images:
        return self.parts["test"]

    @property
    def task(self) -> Task:
        return self.prepared.task

    def leak_guard(self, synthetic: Images, generator: str) -> None:
        """Raise LeakError if a generator returns (near-)copies of images that only evaluation may see."""
        from bench.data.invariants import check_generator_output

        for name in ("val_select", "val_thresh", "test"):
            check_generator_output(synthetic, self.parts[name])
        check_generator_output(synthetic, self.reference)


@dataclass
class SeedResult:
    """One seed: its outcome, the judgement of each arm, the fidelity sample."""

    seed: int
    outcome: Outcome
    judged: dict[str, evaluate.Judged] = field(default_factory=dict)
    sample: Images | None = None


def execute(config: RunConfig, reporter: Reporter | None = None, command: str = "") -> RunResult:
    """Run ``config`` to its record. Finished stages come from the store; a killed run goes on where it stopped.

    A seed that fails becomes a failure row and the next seed runs; errors of configuration or data raise at once.
    Ctrl-C writes what is finished as a ``partial`` record and passes on.
    """
    from bench.environment import environment, resolve_device, resolve_precision

    reporter = reporter or Silent()
    threads = _set_threads(config.threads)
    device = resolve_device(config.device)
    bench = Workbench(config, device, resolve_precision(config.precision, device), reporter)
    folder = config.out / config.run_id()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n")
    record = _empty_record(config, command, environment(device, bench.precision, threads, _plugin_packages(config)))

    world = prepare_world(bench)
    record.data, record.split = _data_record(world, config), _split_record(world, config)
    results: list[SeedResult] = []
    try:
        record.floors["colour floor"] = evaluate.colour_floor(bench, world.task, world.parts["train"], world.test)
        for seed in config.seeds:
            _attempt(bench, world, seed, record, results, folder)
        if results:
            _compare(bench, world, results, record)
    except KeyboardInterrupt:
        _finish(bench, record, config, folder, interrupted=True)
        raise
    if results:
        _draw(bench, world, results, record, folder)
    _finish(bench, record, config, folder)
    executed = sum(s.status in ("executed", "resumed") for s in record.stages)
    cached = sum(s.status == "cached" for s in record.stages)
    return RunResult(record, folder, executed, cached)


def prepare_world(bench: Workbench) -> World:
    """Prepare the data set and its splits through the store."""
    from bench.data.prepare import resolve, source_key
    from bench.data.splits import make_splits

    config = bench.config.data
    dataset = resolve(config, preset=bench.config.preset)
    stored = bench.stage(
        "data", f"prepare {config.spec}", type(dataset), {}, source_key(dataset, config),
        lambda out, ctx: dataset.build(out),
    )  # fmt: skip
    prepared = load_prepared(stored.folder)
    splits = make_splits(prepared, config)
    parts = {name: splits.images(prepared, name) for name in ("train", "val_select", "val_thresh", "test")}
    reference, oracle_half = splits.reserve_halves(prepared)
    held_out = HeldOut(bench, dataset, prepared.fingerprint, oracle_half)
    return World(dataset, prepared, splits, parts, reference, held_out)


def _attempt(
    bench: Workbench, world: World, seed: int, record: Record, results: list[SeedResult], folder: Path
) -> None:
    start = time.perf_counter()
    bench.seed = seed
    try:
        results.append(_run_seed(bench, world, seed, record, folder))
    except BenchError as error:
        last = bench.stages[-1].name if bench.stages else "start"
        record.failures.append(
            FailureRecord(
                seed=seed, phase=last, error=type(error).__name__, message=str(error),
                elapsed_seconds=time.perf_counter() - start,
            )
        )  # fmt: skip
        bench.reporter.message(f"seed {seed} failed: {error}")
        if error.exit_code in (2, 4):  # a wrong configuration or a leak fails every seed the same way
            _finish(bench, record, bench.config, folder)
            raise
    finally:
        bench.seed = None


def _run_seed(bench: Workbench, world: World, seed: int, record: Record, folder: Path) -> SeedResult:
    cls, options = bench.config.plugin("protocol")
    lab = _lab(bench, world)
    outcome: Outcome = cls(options).run(lab)
    result = SeedResult(seed, outcome)
    for name, arm in outcome.arms.items():
        result.judged[name] = evaluate.judge(bench, lab, arm.classifier, world.test)
        record.arms.append(_arm_record(lab, name, arm, result.judged[name], world, folder))
    if outcome.generator is not None:
        result.sample = lab.sample(outcome.generator, world.reference.labels, stream="fidelity")
        _measure_generator(bench, world, lab, outcome, result.sample, record, seed)
    record.ledger.extend(outcome.ledger)
    return result


def _lab(bench: Workbench, world: World) -> Lab:
    splits = {k: v for k, v in world.parts.items() if k != "test"}
    return Lab(bench, world.task, splits, world.splits.checksum, world.held_out, world.leak_guard)


def _measure_generator(
    bench: Workbench, world: World, lab: Lab, outcome: Outcome, sample: Images, record: Record, seed: int
) -> None:
    assert outcome.generator is not None
    space = _feature_space(bench, world)
    sets = {outcome.generator.name: sample}
    reconstructed = lab.reconstruct(outcome.generator, world.reference)
    if reconstructed is not None:
        name = f"{outcome.generator.name} autoencoder, reconstructed held-out reals"
        ref = world.reference
        sets[name] = Images(
            reconstructed, ref.labels, ref.ids, ref.groups, ref.class_names,
            key=evaluate.pair_key(outcome.generator.key, ref.key),
        )  # fmt: skip
    for name, images in sets.items():
        metrics, floor = evaluate.measure_fidelity(bench, space, lab.train, world.reference, images)
        record.fidelity.append(
            FidelityRecord(
                name=name, seed=seed, extractor=space.name, weights_sha256=space.fitted.key,
                resize=world.prepared.meta["preprocessing"], n_reference=len(world.reference),
                n_synthetic=len(images), metrics=metrics, floor=floor,
            )
        )  # fmt: skip


def _feature_space(bench: Workbench, world: World) -> evaluate.FeatureSpace:
    """One extractor for all seeds: its own random stream below seed 0."""
    seed, bench.seed = bench.seed, 0
    try:
        lab = _lab(bench, world)
        section = bench.config.extractor
        fitted = lab.fit_classifier(
            lab.train, title="domain feature extractor", stream="extractor", name=section.name, options=section.options
        )
        return evaluate.FeatureSpace(lab, fitted)
    finally:
        bench.seed = seed


def _compare(bench: Workbench, world: World, results: list[SeedResult], record: Record) -> None:
    """Every primary pair (Holm together), and every other arm against C0 for information."""
    from bench.stats import holm

    primary = results[0].outcome.primary
    arms = list(results[0].judged)
    others = [(a, "C0") for a in arms if a != "C0" and (a, "C0") not in primary and "C0" in arms]
    rows = []
    for arm, versus in [*primary, *others]:
        scores = [[r.judged[name].test_scores for r in results] for name in (arm, versus)]
        keys = [r.outcome.arms[name].classifier.key for name in (arm, versus) for r in results]
        found = evaluate.compare(bench, world.test, world.task.positive, scores[0], scores[1], keys)
        rows.append(
            ComparisonRecord(
                endpoint="auc", arm=arm, versus=versus, estimate=EstimateRecord(**found["estimate"]), p=found["p"],
                n_seeds=len(results), minimum_detectable_difference=found["mdd"], primary=(arm, versus) in primary,
            )
        )  # fmt: skip
    chosen = [r for r in rows if r.primary and r.p is not None]
    for row, p in zip(chosen, holm([r.p for r in chosen]) if chosen else [], strict=True):
        row.p_adjusted, row.correction = float(p), "Holm"
    record.comparisons = rows
    record.verdict = verdict(rows)


def verdict(rows: list[ComparisonRecord]) -> str:
    """One sentence on the primary comparisons: won, lost, or what could have been seen."""
    primary = [r for r in rows if r.primary]
    if not primary:
        return ""
    parts = []
    for r in primary:
        e = r.estimate
        span = f"{e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}]"
        adjusted = 1.0 if r.p_adjusted is None else r.p_adjusted
        if adjusted < 0.05 and e.value is not None:
            parts.append(f"{r.arm} is {'better' if e.value > 0 else 'worse'} than {r.versus} by {span} AUC")
        else:
            could = f"; this run could have seen {r.minimum_detectable_difference:.3f}"
            parts.append(f"no evidence that {r.arm} differs from {r.versus} ({span} AUC{could})")
    few = primary[0].n_seeds < 10
    words = f" Over {primary[0].n_seeds} paired seed{'s' if primary[0].n_seeds > 1 else ''}"
    return "; ".join(parts) + "." + words + (": fewer than the 10 that a claim needs." if few else ".")


def _draw(bench: Workbench, world: World, results: list[SeedResult], record: Record, folder: Path) -> None:
    """Sample grid, closest pairs, ROC and reliability curves; drawn again only when something changed."""
    pictures = folder / "figures"
    pictures.mkdir(exist_ok=True)
    stamp = pictures / "drawn-from.json"
    made_from = {"stages": sorted(s.key for s in record.stages)}
    record.files.update(_figure_names(results))
    names = [v for v in record.files.values() if v.endswith(".png")]
    if stamp.exists() and json.loads(stamp.read_text()) == made_from and all((folder / n).exists() for n in names):
        return
    from bench import figures

    y = world.test.labels == world.task.positive
    curves = {
        arm: [(y, r.judged[arm].test_scores[:, world.task.positive]) for r in results] for arm in results[0].judged
    }
    positive = world.task.class_names[world.task.positive]
    figures.roc_plot(folder / record.files["ROC curves"], curves, positive=positive)
    figures.reliability_plot(folder / record.files["reliability curves"], curves, positive=positive)
    for r in results:
        if r.sample is None:
            continue
        train = world.parts["train"]
        rows, distances = evaluate.nearest_rows(bench, r.sample, train)
        figures.sample_grid(
            folder / record.files[f"samples, seed {r.seed}"], world.reference, r.sample, rows, train, r.seed
        )
        order = distances.argsort(kind="stable")[:20]
        pairs = [(int(i), int(rows[i])) for i in order]
        path = folder / record.files[f"closest pairs, seed {r.seed}"]
        figures.closest_pairs(path, r.sample, train, pairs, distances[order])
    stamp.write_text(json.dumps(made_from))


def _figure_names(results: list[SeedResult]) -> dict[str, str]:
    names = {"ROC curves": "figures/roc.png", "reliability curves": "figures/reliability.png"}
    for r in results:
        if r.sample is not None:
            names[f"samples, seed {r.seed}"] = f"figures/samples-seed{r.seed}.png"
            names[f"closest pairs, seed {r.seed}"] = f"figures/closest-seed{r.seed}.png"
    return names


def _finish(bench: Workbench, record: Record, config: RunConfig, folder: Path, *, interrupted: bool = False) -> None:
    from bench.metrics import VERSION

    record.stages = bench.stages
    record.throughput = _throughput(bench)
    record.metric_versions = {"bench.metrics": VERSION}
    done = {a.seed for a in record.arms} - {f.seed for f in record.failures}
    if interrupted or record.failures or len(done) < len(config.seeds):
        record.status = "partial" if done else "failed"
    else:
        record.status = "complete"
    (folder / "ledger.json").write_text(json.dumps(record.ledger, indent=1) + "\n")
    record.files["ledger"] = "ledger.json"
    record.write(folder / RECORD)


def _throughput(bench: Workbench) -> list[ThroughputRecord]:
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


def _arm_record(lab: Lab, name: str, arm: Arm, judged: evaluate.Judged, world: World, folder: Path) -> ArmRecord:
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
        predictions=store("test", world.test, judged.test_scores),
        threshold_predictions=store("val_thresh", lab.val_thresh, judged.val_scores),
    )  # fmt: skip


def _plugin_record(config: RunConfig, kind: str) -> PluginRecord:
    cls, options = config.plugin(kind)
    return PluginRecord(
        name=getattr(config, kind).name, cls=f"{cls.__module__}:{cls.__qualname__}",
        version=str(getattr(cls, "version", "0")), config=options.model_dump(mode="json"),
        control=bool(getattr(cls, "control", False)),
    )  # fmt: skip


def _empty_record(config: RunConfig, command: str, environment: Any) -> Record:
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
        protocol=_plugin_record(config, "protocol"),
        generator=_plugin_record(config, "generator") if getattr(protocol, "uses_generator", True) else None,
        classifier=_plugin_record(config, "classifier"),
        seeds=list(config.seeds),
        environment=environment,
        config=config.model_dump(mode="json"),
    )  # fmt: skip


def _data_record(world: World, config: RunConfig) -> DataRecord:
    info, meta = world.dataset.info, world.prepared.meta
    bayes: Callable[[], float] | None = getattr(world.dataset, "bayes_auc", None)
    return DataRecord(
        name=info.name, spec=config.data.spec, fingerprint=world.prepared.fingerprint,
        n=len(world.prepared.images), resolution=config.data.resolution, preprocessing=meta["preprocessing"],
        task=world.task.name, class_names=list(world.task.class_names), positive=world.task.positive,
        notes=[*info.notes, *meta.get("notes", [])], licence=info.licence, citation=info.citation,
        bayes_auc=bayes() if bayes else None,
    )  # fmt: skip


def _split_record(world: World, config: RunConfig) -> SplitRecord:
    return SplitRecord(
        checksum=world.splits.checksum, seed=config.data.split_seed,
        counts=world.splits.counts(), groups=world.splits.groups(),
    )  # fmt: skip


def _plugin_packages(config: RunConfig) -> tuple[str, ...]:
    found = (registry.distribution(k, getattr(config, k).name) for k in ("protocol", "generator", "classifier"))
    return tuple(sorted({name for name in found if name}))


def _set_threads(threads: int) -> int:
    """Use ``threads`` CPU threads (0: all cores) in torch, now or when it is imported; returns the number."""
    from bench.environment import available_cores

    count = threads or available_cores()
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ["OMP_NUM_THREADS"] = str(count)
    elif torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count
