"""Numbers 10, 15, 16 and 20: what images are worth to train on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.record import EstimateRecord
from bench.run import execute
from bench.selfcheck import Ground
from bench.selfcheck.harness import small_run
from tests.falsification.conftest import Look

SETS = ["protocol.balance=false", "classifier.steps=80", "classifier.widths=[16, 32]", "classifier.blocks=1"]


def test_10_mixtures_have_bad_fid_and_are_useful(look: Look) -> None:
    found = look(10)
    assert found.passed, found.verdict


def test_15_augmenting_with_copies_is_oversampling(look: Look) -> None:
    found = look(15)
    assert found.passed, found.verdict
    assert found.verdict.values["high"] - found.verdict.values["low"] < 0.1, "an interval that excludes nothing"


def test_16_augmenting_with_reals_is_beaten_by_no_control(look: Look) -> None:
    found = look(16)
    assert found.passed, found.verdict


def protocol_gap(ground: Ground, generator: str) -> EstimateRecord:
    """AUC of the arm with images of ``generator`` minus the arm oversampled as much: 3 seeds of the protocol itself."""
    options = {"seeds": 3, "replicates": 2000, "sets": [*SETS, "classifier.batch=64"]}
    record = execute(small_run(ground, "augmented", generator, **options)).record
    return next(row.estimate for row in record.comparisons if (row.arm, row.versus) == ("A1", "A1-real"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["phantom-pixels", pytest.param("ham10000-pixels", marks=pytest.mark.realdata)])
def test_15_and_16_hold_for_networks_trained_by_the_protocol(name: str, grounds: Callable[[str], Ground]) -> None:
    ground = grounds(name)
    copies, reals = (protocol_gap(ground, generator) for generator in ("copy", "oracle"))
    assert copies.low is not None
    assert copies.high is not None
    assert copies.low <= 0 <= copies.high, copies
    assert reals.high is not None
    assert copies.value is not None
    assert reals.high >= copies.value, (reals, copies)


def test_20_identical_classifiers_have_p_1_and_swapped_arms_flip_the_sign(look: Look) -> None:
    found = look(20)
    assert found.passed, found.verdict
    assert found.verdict.values["difference"] != 0
