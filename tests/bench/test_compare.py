"""What two arms are compared on, and that seeds and thresholds are those of the records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.compare import Side, compare_arms
from bench.record import Record
from tests.leaderboard.runs import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("compared") / "a").parent


def test_shares_are_those_at_the_threshold_of_each_arm_and_seed(folder: Path) -> None:
    record = Record.read(folder / "record.json")
    found = {row.endpoint: row for row in compare_arms(Side(record, folder, "A1"), Side(record, folder, "C0"), 200)}
    assert set(found) == {"auc", "sensitivity@youden", "specificity@youden", "accuracy@youden"}
    for name, row in found.items():
        means = [np.mean([a.metrics[name].value for a in record.arms if a.name == arm]) for arm in ("A1", "C0")]
        assert (row.a, row.b) == pytest.approx(means, abs=1e-9)
        assert row.value == pytest.approx(means[0] - means[1], abs=1e-9)
        assert row.seeds == (0, 1)


def test_an_arm_without_thresholds_has_no_shares_at_one(folder: Path) -> None:
    """As of predictions that were submitted without those of val_thresh: 0.5 would pass for Youden's threshold."""
    record = Record.read(folder / "record.json")
    bare = record.model_copy(deep=True)
    next(a for a in bare.arms if (a.name, a.seed) == ("C0", 1)).thresholds.clear()
    (row,) = compare_arms(Side(record, folder, "A1"), Side(bare, folder, "C0"), 200)
    assert row.endpoint == "auc"
    assert row.method.endswith("no threshold from val_thresh in a:C0: AUC alone")
