"""What is said and kept before a run is over: the seeds so far, and never less than an earlier attempt left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import run
from bench.config import RunConfig
from bench.evaluate import Judged
from bench.interim import interim_comparisons, interim_lines
from bench.record import FindingRecord, Record
from bench.stats import auc, holm
from bench.workbench import Workbench
from tests.bench.records import example, share
from tests.worlds import discs, small_config

TEST = discs(120, 5)
PRIMARY = [("guided", "C1"), ("guided", "C2")]


def scores(skill: float, seed: int) -> np.ndarray:
    """float32 [N, 2]: probabilities of an arm that knows the label with ``skill``."""
    logit = skill * (TEST.labels - 0.5) + np.random.default_rng(seed).normal(size=len(TEST))
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], axis=1).astype(np.float32)


def one_seed(seed: int) -> tuple[dict[str, Judged], dict[str, Any]]:
    skills = {"guided": 2.5, "C1": 1.0, "C2": 2.4}
    judged = {name: Judged(scores(s, 10 * seed + i), {}, np.zeros((0, 2)), {}) for i, (name, s) in
              enumerate(skills.items())}  # fmt: skip
    return judged, {name: SimpleNamespace(key=f"{name}{seed}") for name in skills}


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(small_config(tmp_path, seeds=[0, 1, 2], sets=["replicates=200"]))


def test_the_comparison_so_far_is_over_the_finished_seeds(bench: Workbench) -> None:
    seeds = [one_seed(0), one_seed(1)]
    judged, classifiers = ([seed[i] for seed in seeds] for i in (0, 1))
    rows = interim_comparisons(bench, TEST, 1, judged, classifiers, PRIMARY)
    assert [(r.arm, r.versus, r.n_seeds, r.primary, r.correction) for r in rows] == [
        (*pair, 2, True, "Holm") for pair in PRIMARY
    ]
    for row in rows:
        sides = [[auc(TEST.labels == 1, s[n].test_scores[:, 1]) for s in judged] for n in (row.arm, row.versus)]
        assert row.estimate.value == pytest.approx(np.mean(sides[0]) - np.mean(sides[1]), abs=1e-9)
        assert row.estimate.low < row.estimate.value < row.estimate.high
    assert [r.p_adjusted for r in rows] == pytest.approx(holm([r.p for r in rows]))
    later = Workbench(bench.config)
    assert interim_comparisons(later, TEST, 1, judged, classifiers, PRIMARY) == rows
    assert [s.status for s in bench.stages] == ["executed"] * 2
    assert [s.status for s in later.stages] == ["cached"] * 2


def test_without_primary_pairs_there_is_nothing_to_compare(bench: Workbench) -> None:
    judged, classifiers = one_seed(0)
    assert interim_comparisons(bench, TEST, 1, [judged], [classifiers], []) == []


def test_the_lines_count_the_seeds_and_average_over_them() -> None:
    record = example((0, 1))
    record.comparisons[0].n_seeds = 2
    lines = interim_lines(record, of=5)
    assert lines[0].startswith("2 of 5 seeds: AUC C0 0.853, guided 0.860")
    assert lines[1] == "  guided - C1: +0.003 [-0.009, +0.015] AUC over 2 seeds"
    assert lines[2].endswith("AUC over 1 seed")
    for arm in record.arms:
        arm.metrics.pop("auc")
    assert not any("of 5 seeds" in line for line in interim_lines(record, of=5))


def finish_early(config: RunConfig, record: Record) -> Record:
    """What lies in the run's folder after ``record``, as one is at the start of a run, was kept early."""
    record.status = "failed"
    folder = config.out / config.run_id()
    folder.mkdir(parents=True, exist_ok=True)
    run._finish_early(Workbench(config), record, config, folder)
    return Record.read(folder / run.RECORD)


def test_a_stopped_repeat_keeps_the_seeds_that_were_finished(tmp_path: Path) -> None:
    config = small_config(tmp_path, seeds=[0, 1, 2])
    two = example((0, 1))
    kept = finish_early(config, two)
    assert (kept.status, {a.seed for a in kept.arms}) == ("partial", {0, 1})
    assert {a.seed for a in finish_early(config, example((0,))).arms} == {0, 1}, "fewer seeds replace nothing"
    assert {a.seed for a in finish_early(config, example((1, 2))).arms} == {1, 2}, "neither has all of the other's"
    assert {a.seed for a in finish_early(config, example((0, 1, 2))).arms} == {0, 1, 2}


def test_a_whole_record_stays_whole(tmp_path: Path) -> None:
    config = small_config(tmp_path, seeds=[0, 1])
    folder = config.out / config.run_id()
    folder.mkdir(parents=True)
    example((0, 1)).write(folder / run.RECORD)
    assert finish_early(config, example((0, 1))).status == "complete"
    (folder / run.RECORD).write_text('{"run_id": ')
    assert finish_early(config, example((0,))).status == "partial", "an unreadable record is replaced"


def test_nothing_finished_is_a_failed_record(tmp_path: Path) -> None:
    record = example((0,))
    record.arms = []
    assert finish_early(small_config(tmp_path), record).status == "failed"


def test_a_seed_that_was_stopped_on_the_way_leaves_no_arms() -> None:
    record = example((0, 1))
    record.ledger = [{"seed": 0, "event": "round"}, {"seed": 1, "event": "round"}, {"event": "of all"}]
    record.findings = [FindingRecord(name="optimism", seed=s, estimate=share(0.1)) for s in (0, 1)]
    whole = record.model_copy(deep=True)
    run._forget(record, 1)
    assert record.arms == [a for a in whole.arms if a.seed == 0]
    assert {row.seed for row in (*record.arms, *record.fidelity, *record.findings)} == {0}
    assert record.ledger == [{"seed": 0, "event": "round"}, {"event": "of all"}]
