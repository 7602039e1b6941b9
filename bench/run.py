"""The runner: data, splits, one protocol per seed, predictions on test, numbers, pictures, record."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import cost, endpoints, evaluate, further
from bench.config import RunConfig
from bench.context import Reporter, Silent
from bench.contracts import Images, Probabilities
from bench.differences import auc_differences
from bench.errors import BenchError, DataError
from bench.inspection import inspect_generator, inspect_reals
from bench.interim import interim_comparisons, interim_lines
from bench.lab import Fitted, Lab, Outcome
from bench.ledger import families_title, write_families
from bench.pictures import draw_pictures
from bench.record import ComparisonRecord, EstimateRecord, FailureRecord, FidelityRecord, FindingRecord, Record
from bench.recording import (
    arm_record,
    checksums,
    data_record,
    empty_record,
    plugin_packages,
    split_record,
    throughput_records,
)
from bench.rounds import ledger_entries, measure_rounds
from bench.subgroups import judge_subgroups
from bench.training import processes
from bench.verdict import verdict
from bench.workbench import Workbench
from bench.world import World, prepare_world

RECORD, CONFIG = "record.json", "config.json"


@dataclass(frozen=True)
class RunResult:
    """A finished run: its record, its folder, and how many stages were executed or found in the store."""

    record: Record
    folder: Path
    executed: int
    cached: int


@dataclass
class SeedResult:
    """One seed: its outcome, the judgement of each arm, the fidelity sample.

    ``difficulty`` float32 [N, K]: mean probabilities of the outcome's judges on test. ``further``: name of a further
    test set -> arm -> judgement.
    """

    seed: int
    outcome: Outcome
    judged: dict[str, evaluate.Judged] = field(default_factory=dict)
    sample: Images | None = None
    difficulty: Probabilities | None = None
    further: dict[str, dict[str, evaluate.Judged]] = field(default_factory=dict)
    costs: dict[str, cost.Extra] = field(default_factory=dict)


def execute(config: RunConfig, reporter: Reporter | None = None, command: str = "") -> RunResult:
    """Run ``config`` to its record. Finished stages come from the store; a killed run goes on where it stopped.

    A seed that fails becomes a failure row and the next seed runs; errors of configuration or data raise at once.
    After every seed what is finished is written as a ``partial`` record; Ctrl-C does so too and passes on.
    """
    from bench.environment import environment, resolve_device, resolve_precision, use_threads

    evaluate.extractor_identity(config)  # weights that are not here end the run before it begins
    reporter = reporter or Silent()
    threads = use_threads(config.threads)
    device = processes.own_device(resolve_device(config.device))
    bench = Workbench(config, device, resolve_precision(config.precision, device), reporter)
    folder = config.out / config.run_id()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n")
    record = empty_record(config, command, environment(device, bench.precision, threads, plugin_packages(config)))

    world = prepare_world(bench)
    reporter.data_ready()
    record.data, record.split = data_record(world, config), split_record(world, config)
    results: list[SeedResult] = []
    try:
        record.floors["colour floor"] = evaluate.colour_floor(bench, world.task, world.parts["train"], world.test)
        for seed in config.seeds:
            _attempt(bench, world, seed, record, results, folder)
            _keep_so_far(bench, world, record, results, folder)
        if results:
            _compare(bench, world, results, record)
    except KeyboardInterrupt:
        _finish_early(bench, record, config, folder)
        raise
    if results:
        record.stages = bench.stages
        samples = {r.seed: r.sample for r in results if r.sample is not None}
        rounds = {r.seed: r.outcome.lineage for r in results if r.outcome.lineage}
        draw_pictures(bench, world, [r.judged for r in results], samples, rounds, record, folder)
    _finish(bench, record, config, folder)
    executed = sum(s.status in ("executed", "resumed") for s in record.stages)
    cached = sum(s.status == "cached" for s in record.stages)
    return RunResult(record, folder, executed, cached)


def _attempt(
    bench: Workbench, world: World, seed: int, record: Record, results: list[SeedResult], folder: Path
) -> None:
    start = time.perf_counter()
    bench.seed = seed
    try:
        results.append(_run_seed(bench, world, seed, record, folder))
        if rounds := results[-1].outcome.lineage:
            record.files[families_title(seed)] = name = f"ledger/children-seed{seed}.json"
            write_families(folder / name, seed, rounds)
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
    except KeyboardInterrupt:
        _forget(record, seed)
        raise
    finally:
        bench.seed = None


def _forget(record: Record, seed: int) -> None:
    """Take a seed that was stopped on the way out of ``record``: some of its arms would pass for all of them."""
    kinds: list[Any] = [record.arms, record.fidelity, record.rounds, record.findings]
    for rows in [*kinds, *(test.arms for test in record.further_tests)]:
        rows[:] = [row for row in rows if row.seed != seed]
    record.ledger[:] = [event for event in record.ledger if event.get("seed") != seed]


def _keep_so_far(bench: Workbench, world: World, record: Record, results: list[SeedResult], folder: Path) -> None:
    """After a seed: the primary comparison over the finished seeds, told and written as a ``partial`` record."""
    if results:
        judged = [r.judged for r in results]
        classifiers = [{name: arm.classifier for name, arm in r.outcome.arms.items()} for r in results]
        primary = results[0].outcome.primary
        record.comparisons = interim_comparisons(bench, world.test, world.task.positive, judged, classifiers, primary)
        record.verdict = verdict(record.comparisons, record.arms)
        asked = len(bench.config.seeds)
        for line in interim_lines(record, asked) if len(results) < asked else []:
            bench.reporter.message(line)
    _finish_early(bench, record, bench.config, folder)


def _finish_early(bench: Workbench, record: Record, config: RunConfig, folder: Path) -> None:
    """Write what there is, unless an earlier attempt left more: a second run that is stopped must not cost a result."""
    try:
        before = Record.read(folder / RECORD)
    except DataError:
        before = record
    more, known = {a.seed for a in before.arms}, {a.seed for a in record.arms}
    if not (more > known or (more == known and before.status == "complete")):
        _finish(bench, record, config, folder, interrupted=True)


def _run_seed(bench: Workbench, world: World, seed: int, record: Record, folder: Path) -> SeedResult:
    cls, options = bench.config.plugin("protocol")
    lab = make_lab(bench, world)
    outcome = endpoints.with_reseeded(cls(options).run(lab), lab)
    result = SeedResult(seed, outcome, costs=cost.extra_costs(bench, outcome))
    for name, arm in outcome.arms.items():
        result.judged[name] = evaluate.judge(bench, lab, arm.classifier, world.test)
        row = arm_record(lab, name, arm, result.judged[name], world, folder)
        row.subgroups = judge_subgroups(lab, arm.classifier, world.test, world.test_columns)
        record.arms.append(row)
    _judge_further(bench, world, lab, result, record, folder)
    if outcome.judges:
        result.difficulty = endpoints.judge_difficulty(lab, outcome.judges, world.test)
    if outcome.generator is not None:
        result.sample = lab.sample(outcome.generator, world.reference.labels, stream="fidelity")
        measure_generator(bench, world, lab, outcome.generator, result.sample, record, seed)
    record.ledger.extend(outcome.ledger)
    if outcome.lineage:
        space = _feature_space(bench, world)
        rows = measure_rounds(bench, space, lab.train, world.reference, outcome.lineage, seed)
        record.rounds += rows
        record.ledger += ledger_entries(rows)
    record.findings += [
        FindingRecord(name=name, seed=seed, estimate=EstimateRecord.of(found))
        for name, found in outcome.findings.items()
    ]
    return result


def _judge_further(bench: Workbench, world: World, lab: Lab, result: SeedResult, record: Record, folder: Path) -> None:
    record.further_tests = record.further_tests or further.empty_records(world.further)
    for of, row in zip(world.further, record.further_tests, strict=True):
        judged = result.further[of.name] = {}
        for name, arm in result.outcome.arms.items():
            judged[name] = further.judge_further(bench, lab, arm.classifier, of)
            row.arms.append(further.arm_on(of, name, result.seed, judged[name], folder))


def make_lab(bench: Workbench, world: World) -> Lab:
    """What a protocol works with: every split but test."""
    splits = {k: v for k, v in world.parts.items() if k != "test"}
    return Lab(bench, world.task, splits, world.splits.checksum, world.held_out, world.leak_guard)


def measure_generator(
    bench: Workbench, world: World, lab: Lab, generator: Fitted, sample: Images, record: Record, seed: int
) -> None:
    """Add fidelity and memorization of ``sample``, and of the generator's reconstructions, to ``record``."""
    space = _feature_space(bench, world)
    sets = {generator.name: sample}
    reconstructed = lab.reconstruct(generator, world.reference)
    if reconstructed is not None:
        name = f"{generator.name} autoencoder, reconstructed held-out reals"
        ref = world.reference
        sets[name] = Images(
            reconstructed, ref.labels, ref.ids, ref.groups, ref.class_names,
            key=evaluate.pair_key(generator.key, ref.key),
        )  # fmt: skip
    for name, images in sets.items():
        metrics, floor = evaluate.measure_fidelity(bench, space, lab.train, world.reference, images)
        if images is sample:
            metrics |= inspect_generator(lab, generator, world.reference, sample)
            floor |= inspect_reals(lab, world.reference)
        record.fidelity.append(
            FidelityRecord(
                name=name, seed=seed, extractor=space.name, weights_sha256=space.weights_sha256,
                resize=world.prepared.meta["preprocessing"], n_reference=len(world.reference),
                n_synthetic=len(images), metrics=metrics, floor=floor,
            )
        )  # fmt: skip


def _feature_space(bench: Workbench, world: World) -> evaluate.FeatureSpace:
    """One extractor for all seeds: its own random stream below seed 0."""
    seed, bench.seed = bench.seed, 0
    try:
        lab = make_lab(bench, world)
        section = bench.config.domain
        fitted = lab.fit_classifier(
            lab.train, title="domain feature extractor", stream="extractor", name=section.name, options=section.options
        )
        return evaluate.FeatureSpace(lab, fitted)
    finally:
        bench.seed = seed


def _compare(bench: Workbench, world: World, results: list[SeedResult], record: Record) -> None:
    """Every primary pair (Holm together), and every other arm against C0 for information."""
    primary = results[0].outcome.primary
    arms = list(results[0].judged)
    others = [(a, "C0") for a in arms if a != "C0" and (a, "C0") not in primary and "C0" in arms]
    scores = {name: [r.judged[name].test_scores for r in results] for name in arms}
    keys = {name: [r.outcome.arms[name].classifier.key for r in results] for name in arms}
    pairs = [*primary, *others]
    rows = auc_differences(bench, world.test, world.task.positive, scores, keys, pairs, primary)
    rows = cost.with_rates(rows, [r.costs for r in results], record.environment.device_name)
    record.comparisons = [*rows, *_compare_more(bench, world, results, record, others)]
    record.verdict = verdict(rows, record.arms)
    _compare_further(bench, world, results, record)


def _compare_further(bench: Workbench, world: World, results: list[SeedResult], record: Record) -> None:
    """The primary pairs on every further test set, for information."""
    arms, primary = list(results[0].judged), results[0].outcome.primary
    keys = {name: [r.outcome.arms[name].classifier.key for r in results] for name in arms}
    for of, row in zip(world.further, record.further_tests, strict=True):
        judged = [r.further[of.name] for r in results]
        row.comparisons = further.compare_on(bench, of, world.task.positive, judged, keys, primary)


def _compare_more(
    bench: Workbench, world: World, results: list[SeedResult], record: Record, others: endpoints.Pairs
) -> list[ComparisonRecord]:
    """The secondary endpoints; where the protocol names judges, also on the cases that these find hard."""
    test, positive, primary = world.test, world.task.positive, results[0].outcome.primary
    arms = {
        name: endpoints.ArmScores(
            [r.outcome.arms[name].classifier.key for r in results],
            [r.judged[name].test_scores for r in results],
            [r.judged[name].thresholds["sens95"].value for r in results],
        )
        for name in results[0].judged
    }
    if len(arms) < 2:
        return []
    rows = endpoints.compare_more(bench, test, world.parts["val_thresh"], positive, arms, primary, others)
    told = [r.difficulty for r in results if r.difficulty is not None]
    if told:
        mean = np.asarray(np.mean(np.stack(told), axis=0, dtype=np.float64), dtype=np.float32)
        judges = [judge.key for r in results for judge in r.outcome.judges]
        on_hard, auc = endpoints.compare_on_hard(bench, test, positive, mean, judges, arms, primary)
        folder = bench.config.out / bench.config.run_id()
        record.strata = [endpoints.stratum(mean, len(judges), test, positive, auc, folder)]
        rows += on_hard
    endpoints.correct(rows, primary)
    return rows


def _finish(bench: Workbench, record: Record, config: RunConfig, folder: Path, *, interrupted: bool = False) -> None:
    from bench.metrics import VERSION

    record.stages = bench.stages
    record.throughput = throughput_records(bench)
    record.metric_versions = {"bench.metrics": VERSION}
    done = {a.seed for a in record.arms} - {f.seed for f in record.failures}
    if interrupted or record.failures or len(done) < len(config.seeds):
        record.status = "partial" if done else "failed"
    else:
        record.status = "complete"
    (folder / "ledger.json").write_text(json.dumps(record.ledger, indent=1) + "\n")
    record.files["ledger"] = "ledger.json"
    record.checksums = checksums(folder, record.files.values())
    record.write(folder / RECORD)
