"""Numbers 7 and 12: wrong labels, and a class that is not there."""

from __future__ import annotations

from tests.falsification.conftest import Look


def test_07_wrong_labels_are_seen_only_by_metrics_with_labels(look: Look, place: str) -> None:
    """Metrics without labels are equal to the bit, and training on the images tells, everywhere.

    Of the distances by class those in the learned space expose both controls. In pixels they expose swapped classes,
    but not shuffled labels (by 3 SE, n = 600): within-class differences in colour and position drown the class.
    """
    found = look(7)
    seen = found.verdict.values
    assert {"metrics without labels", "tstr auc"}.isdisjoint(found.blamed), found.verdict
    assert seen["metrics"] >= 10
    assert seen["swap_auc"] < 0.5 < seen["copy_auc"]
    assert seen["swap_by_class_z"] > 3
    if place.endswith("domain"):
        assert found.passed, found.verdict


def test_12_a_dropped_class_has_no_coverage_and_training_says_so(look: Look) -> None:
    found = look(12)
    assert found.passed, found.verdict
    assert found.verdict.values["coverage"] == 0
    assert abs(found.verdict.values["asked_auc"] - 0.5) <= max(3 * found.verdict.values["asked_se"], 0.02)
