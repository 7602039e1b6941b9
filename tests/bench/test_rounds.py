"""Copies among the images of a round are counted, and told from chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.contracts import Images, concatenate
from bench.evaluate import FeatureSpace, measure_fidelity
from bench.lab import Lab
from bench.ledger import Lineage
from bench.record import RoundRecord
from bench.rounds import ledger_entries, measure_rounds
from tests.worlds import discs, small_lab

REFERENCE = 150


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return small_lab(tmp_path_factory.mktemp("rounds"), n=300)


@pytest.fixture(scope="module")
def space(lab: Lab) -> FeatureSpace:
    return FeatureSpace(lab, lab.fit_classifier(lab.train, title="extractor", stream="extractor"))


def synthetic(images: Images) -> Images:
    ids = np.array([f"syn-{i}" for i in images.ids])
    return replace(images, ids=ids, source="synthetic:test", key=f"syn-{images.key}")


def lineage(r: int, children: Images, accepted: np.ndarray) -> Lineage:
    n, m = 4, len(children)
    chances = np.full(m, 0.5, dtype=np.float32)
    return Lineage(
        round=r, cases=discs(n, 50), children=children, case_of=np.zeros(m, dtype=np.int64), answers="case",
        accepted=accepted, reasons=[""] * m, case_before=chances[:n], case_after=None, child_before=chances,
        child_after=chances, child_judge=chances,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(lab: Lab, space: FeatureSpace) -> list[RoundRecord]:
    """A round of fresh images, one in which the accepted half are training images, the same mirrored."""
    fresh, copied = discs(100, 60), lab.train.take(np.arange(100))
    mirrored = replace(copied, pixels=np.ascontiguousarray(copied.pixels[:, :, ::-1]), key="mirrored")
    half = np.arange(200) < 100
    rounds = [
        lineage(1, synthetic(fresh), np.ones(100, dtype=bool)),
        lineage(2, synthetic(concatenate([copied, discs(100, 61)])), half),
        lineage(3, synthetic(mirrored), np.ones(100, dtype=bool)),
    ]
    return measure_rounds(lab.bench, space, lab.train, discs(REFERENCE, 9), rounds, seed=0)


def test_copies_are_flagged_and_fresh_images_are_not(measured: list[RoundRecord]) -> None:
    fresh, copied, mirrored = measured
    assert fresh.flagged == []
    assert set(copied.flagged) == {"copy_rate", "copy_rate[pixels]", "copy_rate[domain]"}
    assert [copied.metrics[name].value for name in copied.flagged] == [1.0] * 3
    assert (copied.n_synthetic, copied.n_reference, copied.varied) == (100, REFERENCE, True)
    assert {"copy_rate[pixels]", "copy_rate[domain]"} <= set(mirrored.flagged), "a flip hides no copy"


def test_the_rate_is_that_of_the_table_of_the_run(lab: Lab, space: FeatureSpace, measured: list[RoundRecord]) -> None:
    expected, _ = measure_fidelity(lab.bench, space, lab.train, discs(REFERENCE, 9), synthetic(discs(100, 60)))
    for name, estimate in measured[0].metrics.items():
        assert (estimate.value, estimate.low, estimate.high) == (
            expected[name].value, expected[name].low, expected[name].high
        )  # fmt: skip


def test_the_ledger_says_what_the_record_says(measured: list[RoundRecord]) -> None:
    entries = list(ledger_entries(measured))
    assert [(e["event"], e["round"], e["images"]) for e in entries] == [("memorization", r, 100) for r in (1, 2, 3)]
    assert entries[1]["flagged"] == measured[1].flagged
    assert entries[1]["made_from_training_images"]
    assert entries[1]["copy_rate"]["copy_rate"] == 1.0
    assert entries[1]["p_innocent"]["copy_rate"] < 1e-6 < entries[0]["p_innocent"]["copy_rate"]
