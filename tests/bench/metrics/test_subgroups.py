"""Subgroups: the numbers of the cases inside, and none where there are too few."""

from __future__ import annotations

import numpy as np
import pytest

from bench import stats
from bench.contracts import PredictionEvidence, Threshold
from bench.errors import DataError
from bench.metrics.subgroups import measure_subgroups, subgroup_names


def evidence(n: int = 600, seed: int = 0) -> PredictionEvidence:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    score = np.clip(rng.normal(0.35 + 0.25 * y, 0.2), 0, 1).astype(np.float32)
    names = np.array([f"i{i}" for i in range(n)])
    cuts = {"youden": Threshold("youden", 0.5, "val_thresh", "abc")}
    return PredictionEvidence(y, np.stack([1 - score, score], 1), names, names, ("benign", "melanoma"), 1, cuts)


def test_numbers_are_those_of_the_cases_inside():
    e = evidence()
    sex = np.where(np.arange(600) % 3 == 0, "male", "female")
    found = measure_subgroups(e, {"sex": sex}, seed=0, replicates=400)
    inside = sex == "male"
    y, score = e.y[inside], e.scores[inside, 1].astype(np.float64)
    assert found["auc[sex=male]"].value == stats.auc(y, score)
    assert found["auc[sex=male]"].n == 200
    assert found["sensitivity@youden[sex=male]"].value == np.mean(score[y == 1] >= 0.5)
    assert found["specificity@youden[sex=male]"].value == np.mean(score[y == 0] < 0.5)
    assert found["sensitivity@youden[sex=male]"].extra["positives"] == y.sum()
    assert set(found) == {
        f"{m}[sex={s}]" for m in ("auc", "sensitivity@youden", "specificity@youden") for s in ("male", "female")
    }


def test_too_few_positives_are_said_and_not_counted():
    e = evidence()
    rare = np.flatnonzero(e.y == 1)[:19]
    site = np.full(600, "back", dtype="<U8")
    site[rare], site[np.flatnonzero(e.y == 0)[:40]] = "hand", "hand"
    found = measure_subgroups(e, {"site": site}, seed=0, replicates=200)
    for name in ("auc[site=hand]", "sensitivity@youden[site=hand]"):
        assert found[name].value is None
        assert found[name].reason == "insufficient n: 19 positives in site=hand, at least 20 are needed"
    assert found["specificity@youden[site=hand]"].value is not None
    assert found["auc[site=back]"].value is not None


def test_a_subgroup_of_one_class_or_one_case():
    e = evidence()
    column = np.where(e.y == 1, "sick", "well").astype("<U5")
    column[0] = "alone"
    found = measure_subgroups(e, {"c": column}, seed=0, replicates=100)
    assert found["auc[c=sick]"].reason.startswith("insufficient n: 0 negatives")
    assert found["auc[c=alone]"].reason.startswith("insufficient n:")
    assert found["sensitivity@youden[c=sick]"].value is not None


def test_row_order_changes_no_bit():
    e = evidence()
    order = np.random.default_rng(0).permutation(600)
    age = np.random.default_rng(1).uniform(10, 90, 600)
    shuffled = PredictionEvidence(
        e.y[order], e.scores[order], e.ids[order], e.groups[order], e.class_names, 1, e.thresholds
    )
    plain = measure_subgroups(e, {"age": age}, seed=0, replicates=100)
    again = measure_subgroups(shuffled, {"age": age[order]}, seed=0, replicates=100)
    assert {k: v.value for k, v in plain.items()} == {k: v.value for k, v in again.items()}


def test_names_of_ages_texts_and_flags():
    ages = np.array([0.0, 29.9, 30, 50, 70, 85, np.nan])
    assert subgroup_names(ages).tolist() == ["<30", "<30", "30-50", "50-70", ">=70", ">=70", "unknown"]
    assert subgroup_names(np.array(["male", "", " female "])).tolist() == ["male", "unknown", "female"]
    assert subgroup_names(np.array([True, False])).tolist() == ["yes", "no"]
    with pytest.raises(DataError, match="column 'sex' has 3 rows, the predictions have 600"):
        measure_subgroups(evidence(), {"sex": np.array(["a", "b", "c"])}, seed=0)
