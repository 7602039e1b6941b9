"""Runs whose outcome is known beforehand, on the phantom: what helps is declared, what harms too, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.config import RunConfig, build_config
from bench.contracts import Context, GeneratorBase, Images, Labels
from bench.data.base import DataConfig
from bench.data.prepare import resolve
from bench.lab import Lab, Outcome
from bench.pixels import UInt8
from bench.record import Record
from bench.run import execute, make_lab
from bench.stats import two_level_bootstrap
from bench.workbench import Workbench
from bench.world import prepare_world
from protocols.augmented import Augmented

HERE = "tests.protocols.test_known_effects"
PHANTOM: dict[str, Any] = {"n_train": 150, "n_test": 600, "prevalence": 0.4}
NETWORK = ["classifier.steps=250", "classifier.batch=32", "classifier.widths=[16, 32]", "classifier.select=last"]
NULL_REPEATS, NULL_SEEDS, LEVEL = 20, 4, 0.05


class EndlessOracle(GeneratorBase):
    """New images of the phantom itself, as many as are asked for: a generator that has learnt all there is."""

    def fit(self, train: Images, ctx: Context) -> None:
        self.side = train.size[0]

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        data: Any = resolve(DataConfig(spec="phantom", resolution=self.side, options=PHANTOM))
        return np.asarray(data.draw(labels, ctx.seed).pixels[:])


class JudgedByTraining(Augmented):
    """``augmented`` without the fidelity of the generator, which is not in question here and takes its time."""

    def run(self, lab: Lab) -> Outcome:
        return replace(super().run(lab), generator=None)


def config(folder: Path, *sets: str, **options: Any) -> RunConfig:
    data = {"spec": "phantom", "resolution": 16, "options": PHANTOM}
    return build_config(
        preset="smoke", data=data, store=folder / "store", out=folder / "runs", device="cpu", threads=1,
        sets=[*NETWORK, *sets], **{"replicates": 1000, **options},
    )  # fmt: skip


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Record of train + ``ratio`` images of a generator, five paired seeds."""
    folder = tmp_path_factory.mktemp("effects")

    @cache
    def run(generator: str, ratio: float) -> Record:
        options = ("protocol.balance=false", "protocol.classical=false", f"protocol.ratios=[{ratio}]")
        record = execute(
            config(folder, *options, protocol=f"{HERE}:JudgedByTraining", generator=generator, seeds=5)
        ).record
        assert record.status == "complete", record.failures
        return record

    return run


def gap(record: Record, versus: str) -> Any:
    arm = record.comparisons[0].arm
    return next(row for row in record.comparisons if (row.arm, row.versus) == (arm, versus))


def mean_auc(record: Record, arm: str) -> float:
    return float(np.mean([a.metrics["auc"].value for a in record.arms if a.name == arm]))  # type: ignore[arg-type]


def sentence(record: Record, beginning: str) -> str:
    (found,) = (s for s in record.verdict.split(". ") if s.startswith(beginning))
    return found


@pytest.mark.slow
def test_many_true_images_raise_auc_toward_the_bayes_limit_and_the_verdict_says_so(added: Any) -> None:
    record = added(f"{HERE}:EndlessOracle", 8.0)
    limit = record.data.bayes_auc
    before, after = mean_auc(record, "C0"), mean_auc(record, "A8")
    assert before < after < limit + 0.02
    assert limit - after < 0.75 * (limit - before), (before, after, limit)
    for versus in ("C0", "A8-real"):
        row = gap(record, versus)
        assert row.estimate.low > 0
        assert row.p_adjusted < LEVEL
        assert versus in sentence(record, "A8 beats")


@pytest.mark.slow
def test_shuffled_labels_do_harm_and_the_verdict_says_so(added: Any) -> None:
    record = added("label-shuffle", 2.0)
    for versus in ("C0", "A2-real"):
        assert gap(record, versus).estimate.high < 0
        assert versus in sentence(record, "A2 is worse than")


@pytest.mark.slow
def test_copies_are_repeated_images(added: Any) -> None:
    record = added("copy", 1.0)
    row = gap(record, "A1-real")
    assert row.estimate.low <= 0 <= row.estimate.high
    assert row.estimate.high - row.estimate.low < 0.1, "an interval that excludes nothing"
    assert "A1-real" in sentence(record, "No evidence")


@pytest.mark.slow
def test_two_identical_arms_differ_as_seldom_as_the_level_says(tmp_path: Path) -> None:
    """Twenty comparisons of four paired seeds: false positives are binomial with the nominal level, or fewer."""
    from scipy.stats import binomtest

    bench = Workbench(config(tmp_path, "classifier.steps=40"))
    world = prepare_world(bench)
    y = world.test.labels == world.task.positive
    positives = 0
    for repeat in range(NULL_REPEATS):
        arms: dict[str, list[Any]] = {"one": [], "other": []}
        for seed in range(NULL_SEEDS):
            bench.seed = 1000 * repeat + seed
            lab = make_lab(bench, world)
            for stream, scores in arms.items():
                fitted = lab.fit_classifier(lab.train, title=stream, stream=stream)
                scores.append(lab.predict(fitted, world.test)[:, world.task.positive])
        one, other = (np.stack(scores) for scores in arms.values())
        assert not np.array_equal(one, other)
        found = two_level_bootstrap(y, one, other, world.test.groups, replicates=1000)
        positives += found.p < LEVEL
    assert binomtest(positives, NULL_REPEATS, LEVEL, alternative="greater").pvalue > 0.01, positives
