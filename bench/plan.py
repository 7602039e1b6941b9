"""What a run will do before it does it: stages, what is cached, time, memory and disk. No torch is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from bench import endpoints, evaluate, further
from bench.config import RunConfig
from bench.context import Reporter, Silent
from bench.contracts import Images
from bench.environment import BF16_CUDA_CAPABILITY, cpu_has_fast_bf16, cuda_capability, nvidia_driver_present
from bench.errors import BenchError, ConfigError
from bench.estimates import Estimator, StageCost
from bench.inspection import inspect_reals, inspections
from bench.lab import Lab
from bench.ledger import Lineage
from bench.planning import NotMade, Planned, PlanningBench, PlanningHeldOut, PlanningLab, fair_probabilities
from bench.rounds import accepted_in, measure_rounds
from bench.subgroups import judge_subgroups
from bench.workbench import Workbench
from bench.world import World, prepare_world


@dataclass(frozen=True)
class PlannedStage:
    """A stage and what it will cost."""

    stage: str
    title: str
    key: str
    cached: bool
    cost: StageCost


@dataclass
class Plan:
    """The stages of a run in order. ``notes``: what could not be planned and why."""

    run_id: str
    device: str
    precision: str
    stages: list[PlannedStage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def to_do(self) -> list[PlannedStage]:
        """The stages that are not cached."""
        return [s for s in self.stages if not s.cached]

    @property
    def seconds(self) -> float:
        """Sum over the stages with an estimate."""
        return sum(s.cost.seconds or 0.0 for s in self.to_do)

    @property
    def unknown(self) -> int:
        """Stages without an estimate of time."""
        return sum(s.cost.seconds is None for s in self.to_do)

    @property
    def memory_mb(self) -> float | None:
        """Peak over the stages."""
        return max((s.cost.memory_mb for s in self.to_do if s.cost.memory_mb), default=None)

    @property
    def disk_mb(self) -> float:
        """Sum over the stages with an estimate."""
        return sum(s.cost.disk_mb or 0.0 for s in self.to_do)

    def expected(self) -> dict[str, float | None]:
        """Seconds by stage title, for the remaining time of a run."""
        out: dict[str, float | None] = {}
        for s in self.stages:
            out[s.title] = None if s.cost.seconds is None else (out.get(s.title) or 0.0) + s.cost.seconds
        return out


def plan(config: RunConfig, reporter: Reporter | None = None) -> Plan:
    """Plan ``config``. The data set is prepared if it is not yet: every count depends on it.

    Raises what a run would raise for a wrong configuration or unusable data.
    """
    name = config.run_id()  # names every plugin and option that is wrong, before any data are prepared
    device = planned_device(config.device)
    precision = planned_precision(config.precision, device)
    real = Workbench(config, device, precision, reporter or Silent())
    world = prepare_world(real)
    bench = PlanningBench(config, device, precision)
    world.held_out = PlanningHeldOut(bench, world.dataset, world.prepared.fingerprint, world.held_out.half)
    made = Plan(name, device, precision)
    _walk(bench, world, made.notes)
    estimator = Estimator(config.store, device, precision, config.data.resolution)
    made.stages = [*_done(real), *(_with_cost(p, estimator) for p in bench.planned)]
    return made


def planned_device(device: str) -> str:
    """The device that "auto" will be, as far as one can tell without torch."""
    return ("cuda" if nvidia_driver_present() else "cpu") if device == "auto" else device


def planned_precision(precision: str, device: str) -> str:
    """The precision that "auto" will be, as far as one can tell without torch."""
    if precision != "auto":
        return precision
    fast = cpu_has_fast_bf16() if device == "cpu" else cuda_capability() >= BF16_CUDA_CAPABILITY
    return "bf16" if fast else "fp32"


def _walk(bench: PlanningBench, world: World, notes: list[str]) -> None:
    """The runner's stages in the runner's order."""
    train, test = world.parts["train"], world.test
    with suppress(NotMade):
        evaluate.colour_floor(bench, world.task, train, test)
    arms: dict[str, list[str]] = {}
    judges: list[str] = []
    primary: list[tuple[str, str]] = []
    for seed in bench.config.seeds:
        bench.seed = seed
        try:
            primary = _walk_seed(bench, world, arms, judges) or primary
            _compare(bench, world, arms, primary)
        except ConfigError:
            raise
        except (BenchError, NotMade) as error:
            why = "a result that does not exist yet" if isinstance(error, NotMade) else str(error)
            notes.append(f"seed {seed}: what comes after {bench.last.meta['name']!r} depends on {why}")
        bench.seed = None
    pairs = list(_pairs(list(arms), primary))
    _compare(bench, world, arms, pairs)
    if len(arms) > 1:
        _compare_more(bench, world, arms, judges, primary, pairs[len(primary) :])
    for of, pair in product(world.further, primary):
        with suppress(NotMade):
            further.compare_on(bench, of, world.task.positive, [], arms, [pair])


def _compare(bench: PlanningBench, world: World, arms: dict[str, list[str]], pairs: list[tuple[str, str]]) -> None:
    """``pairs`` over the seeds so far."""
    seed, bench.seed = bench.seed, None
    for arm, versus in pairs:
        with suppress(NotMade):
            evaluate.compare(bench, world.test, world.task.positive, [], [], [*arms[arm], *arms[versus]])
    bench.seed = seed


def _compare_more(
    bench: PlanningBench,
    world: World,
    arms: dict[str, list[str]],
    judges: list[str],
    primary: list[tuple[str, str]],
    others: list[tuple[str, str]],
) -> None:
    """The secondary endpoints, and those on hard cases where there are ``judges``."""
    test, positive = world.test, world.task.positive
    scores = {name: endpoints.ArmScores(keys) for name, keys in arms.items()}
    with suppress(NotMade):
        endpoints.compare_more(bench, test, world.parts["val_thresh"], positive, scores, primary, others)
    with suppress(NotMade):
        if judges:
            endpoints.compare_on_hard(bench, test, positive, fair_probabilities(test), judges, scores, primary)


def _walk_seed(
    bench: PlanningBench, world: World, arms: dict[str, list[str]], judges: list[str]
) -> list[tuple[str, str]]:
    cls, options = bench.config.plugin("protocol")
    lab = _lab(bench, world)
    outcome = endpoints.with_reseeded(cls(options).run(lab), lab)
    for name, arm in outcome.arms.items():
        arms.setdefault(name, []).append(arm.classifier.key)
        with suppress(NotMade):
            evaluate.judge(bench, lab, arm.classifier, world.test)
        with suppress(NotMade):
            judge_subgroups(lab, arm.classifier, world.test, world.test_columns)
    for of, arm in product(world.further, outcome.arms.values()):
        with suppress(NotMade):
            further.judge_further(bench, lab, arm.classifier, of)
    judges += [judge.key for judge in outcome.judges]
    if outcome.judges:
        endpoints.judge_difficulty(lab, outcome.judges, world.test)
    if outcome.generator is not None:
        sample = lab.sample(outcome.generator, world.reference.labels, stream="fidelity")
        _walk_fidelity(bench, world, lab, outcome.generator, sample)
    if outcome.lineage:
        _walk_rounds(bench, world, lab, outcome.lineage)
    return list(outcome.primary)


def _walk_fidelity(bench: PlanningBench, world: World, lab: Lab, generator: Any, sample: Images) -> None:
    reference, space = world.reference, _space(bench, world, lab)
    sets = [sample]
    pixels = lab.reconstruct(generator, reference)
    if pixels is not None:
        key = evaluate.pair_key(generator.key, reference.key)
        sets.append(Images(pixels, reference.labels, reference.ids, reference.groups, reference.class_names, key=key))
    for images in sets:
        for part, title in ((lab.train, "train"), (reference, "held-out reference"), (images, "synthetic")):
            space.features(part, title)
        with suppress(NotMade):
            evaluate.measure_fidelity(bench, space, lab.train, reference, images)
    looks: list[Callable[[], object]] = [*inspections(lab, generator, reference, sample)]
    looks.append(partial(inspect_reals, lab, reference))
    for look in looks:
        with suppress(NotMade):
            look()
    with suppress(NotMade):
        evaluate.nearest_rows(bench, sample, lab.train)


def _space(bench: PlanningBench, world: World, lab: Lab) -> evaluate.FeatureSpace:
    seed, bench.seed = bench.seed, 0
    section = bench.config.domain
    fitted = _lab(bench, world).fit_classifier(
        lab.train, title="domain feature extractor", stream="extractor", name=section.name, options=section.options
    )
    bench.seed = seed
    return evaluate.FeatureSpace(lab, fitted)


def _walk_rounds(bench: PlanningBench, world: World, lab: Lab, rounds: Sequence[Lineage]) -> None:
    space, seed = _space(bench, world, lab), bench.seed or 0
    for part, title in ((lab.train, "train"), (world.reference, "held-out reference")):
        space.features(part, title)
    for r, images in enumerate(accepted_in(rounds), start=1):
        space.features(images, f"accepted in round {r}")
    with suppress(NotMade):
        measure_rounds(bench, space, lab.train, world.reference, rounds, seed)


def _lab(bench: PlanningBench, world: World) -> PlanningLab:
    splits = {k: v for k, v in world.parts.items() if k != "test"}
    return PlanningLab(bench, world.task, splits, world.splits.checksum, world.held_out, world.leak_guard)


def _pairs(arms: list[str], primary: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield from primary
    yield from ((a, "C0") for a in arms if "C0" in arms and a != "C0" and (a, "C0") not in primary)


def _done(real: Workbench) -> Iterator[PlannedStage]:
    """The stages that had to be made to plan at all: the data."""
    for row in real.stages:
        yield PlannedStage(row.stage, row.name, row.key, True, StageCost(0.0, row.peak_memory_mb, 0.0, "cached"))


def _with_cost(planned: Planned, estimator: Estimator) -> PlannedStage:
    return PlannedStage(planned.stage, planned.title, planned.key, planned.cached, estimator.cost(planned))
