"""What the ledger says of single images: whose child each is, and how hard both are before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.lab import Lab, Outcome
from bench.ledger import Lineage, round_rows
from protocols.adversarial import Adversarial
from protocols.lineage import children_of
from tests.worlds import discs, small_lab

DIFFUSION = {"rounds": 2, "folds": 2, "label_check": 0.4, "arms": (), "max_cases": 12, "per_case": 2}


def p_true(lab: Lab, key: str, lineage: Lineage) -> np.ndarray:
    """p(true) of the children from the stored prediction of the classifier ``key``, found by its stage."""
    for stage in lab.bench.stages:
        if stage.stage == "predict":
            found = lab.bench.store.find("predict", stage.key)
            assert found is not None
            if found.meta["inputs"]["classifier"] == key and found.meta["inputs"]["images"] == lineage.children.key:
                scores = np.load(found.folder / "array.npy")
                return scores[np.arange(len(scores)), lineage.children.labels]
    raise AssertionError("no such prediction")


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Outcome]:
    lab = small_lab(tmp_path_factory.mktemp("varied"), generator="ddpm")
    return lab, Adversarial(Adversarial.Config(**DIFFUSION)).run(lab)


def test_a_variation_is_the_child_of_the_case_it_was_made_from(varied: tuple[Lab, Outcome]) -> None:
    _, outcome = varied
    for lineage in outcome.lineage:
        assert lineage.answers == "case"
        assert lineage.children.parents is not None
        assert lineage.cases.ids[lineage.case_of].tolist() == lineage.children.parents.tolist()
        assert np.bincount(lineage.case_of).tolist() == [2] * len(lineage.cases)


def test_children_are_judged_before_and_after_retraining(varied: tuple[Lab, Outcome]) -> None:
    lab, outcome = varied
    rounds = [e for e in outcome.ledger if e["event"] == "round"]
    classifiers = [outcome.arms["C0"].classifier.key, *(e["classifier"] for e in rounds)]
    for lineage, before, after in zip(outcome.lineage, classifiers[:-1], classifiers[1:], strict=True):
        assert lineage.child_before.tolist() == p_true(lab, before, lineage).tolist()
        assert lineage.child_after.tolist() == p_true(lab, after, lineage).tolist()
        assert lineage.child_before.tolist() != lineage.child_after.tolist()
        assert np.array_equal(lineage.accepted, lineage.child_judge >= 0.4)
        assert [bool(reason) for reason in lineage.reasons] == (~lineage.accepted).tolist()


def test_hard_cases_are_judged_again_by_the_folds_of_the_next_round_only(varied: tuple[Lab, Outcome]) -> None:
    lab, outcome = varied
    first, last = outcome.lineage
    again = lab.crossfit(lab.train, folds=2, extra=first.children.take(first.accepted))
    rows = [lab.train.ids.tolist().index(i) for i in first.cases.ids]
    assert first.case_after is not None
    assert first.case_after.tolist() == again[rows, first.cases.labels].tolist()
    assert (first.case_before < 0.75).all()
    assert last.case_after is None, "nothing is trained for the ledger's sake"


def test_without_new_folds_there_is_no_difficulty_after(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="copy")
    options = {"strategy": "rejection", "rounds": 2, "folds": 2, "label_check": 0.0, "arms": (), "remine": False}
    outcome = Adversarial(Adversarial.Config(**options)).run(lab)
    assert [lineage.case_after for lineage in outcome.lineage] == [None, None]
    rejected = [r for lineage in outcome.lineage for r in lineage.reasons if r]
    assert set(rejected) == {"not_among_hardest"}
    assert all(row.cases_after is None and row.cases_before for row in round_rows(outcome.ledger))


def test_the_ledger_sums_up_the_lineage(varied: tuple[Lab, Outcome]) -> None:
    _, outcome = varied
    rows = round_rows(outcome.ledger)
    assert [(row.seed, row.round) for row in rows] == [(0, 1), (0, 2)]
    for row, lineage in zip(rows, outcome.lineage, strict=True):
        assert row.cases_before
        assert row.accepted_after
        assert row.cases_before["median"] == pytest.approx(np.median(lineage.case_before), abs=1e-4)
        assert row.accepted_after["median"] == pytest.approx(np.median(lineage.child_after[lineage.accepted]), abs=1e-4)
        assert row.cases_before["n"] == row.mined == len(lineage.cases)
        assert row.made == len(lineage.children)
        assert row.accepted == int(lineage.accepted.sum())
        assert sum(row.rejected.values()) == sum(map(bool, lineage.reasons))
    chosen = next(e for e in outcome.ledger if e["event"] == "chosen round" and e["arm"] == "guided")
    assert [row.round for row in rows if row.chosen] == [chosen["round"]]


def test_images_that_know_only_a_class_are_shared_by_its_cases() -> None:
    cases = discs(6, 1, share=0.5)
    labels = np.sort(np.repeat(cases.labels, 4))
    made = discs(len(labels), 2, prefix="syn-")
    made = made.__class__(made.pixels, labels, made.ids, made.groups, made.class_names)
    case_of, answers = children_of(made, cases, cases)
    assert answers == "class"
    assert np.bincount(case_of).tolist() == [4] * 6
    assert cases.labels[case_of].tolist() == labels.tolist()
    some = made.take(np.arange(0, 24, 3))
    assert cases.labels[children_of(some, cases, cases)[0]].tolist() == some.labels.tolist()


def test_rejected_candidates_are_the_easier_ones(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="copy")
    options = {"strategy": "rejection", "rounds": 1, "folds": 2, "label_check": 0.0, "arms": ()}
    (lineage,) = Adversarial(Adversarial.Config(**options)).run(lab).lineage
    for k in (0, 1):
        of_class = lineage.children.labels == k
        accepted, rejected = (lineage.child_before[of_class & which] for which in (lineage.accepted, ~lineage.accepted))
        assert np.median(accepted) < np.median(rejected)
