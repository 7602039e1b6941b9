"""The verdict: a claim only where all rivals are beaten, and what could not have been seen."""

from __future__ import annotations

from bench.record import ArmRecord, ComparisonRecord, EstimateRecord
from bench.verdict import verdict

ARMS = [
    ArmRecord(name="C1", seed=0, description="real + 1,574 random synthetic"),
    ArmRecord(name="C2", seed=0, description="real + 1574 repeated hard real"),
]


def row(versus: str, value: float, p: float | None, *, seeds: int = 10, mdd: float | None = 0.012) -> ComparisonRecord:
    estimate = EstimateRecord(value=value, low=value - 0.008, high=value + 0.008, n=1510)
    return ComparisonRecord(
        endpoint="auc", arm="guided", versus=versus, estimate=estimate, p=p, p_adjusted=p, n_seeds=seeds, primary=True,
        minimum_detectable_difference=mdd,
    )  # fmt: skip


def test_a_claim_is_one_sentence_over_all_rivals() -> None:
    assert verdict([row("C1", 0.02, 0.001), row("C2", 0.015, 0.01)], ARMS) == (
        "guided beats C1 random synthetic by +0.020 [+0.012, +0.028] AUC and C2 repeated hard real by "
        "+0.015 [+0.007, +0.023] AUC at n = 1,510 test images. Over 10 paired seeds."
    )


def test_beating_one_rival_of_two_is_no_claim() -> None:
    found = verdict([row("C1", 0.02, 0.001), row("C2", 0.002, 0.6, mdd=0.009)], ARMS)
    assert found.startswith(
        "guided beats C1 random synthetic by +0.020 [+0.012, +0.028] AUC at n = 1,510 test images. "
    )
    assert "No evidence at n = 1,510 test images that guided differs from C2 repeated hard real (+0.002" in found
    assert "this run could have seen Δ ≥ 0.009)" in found
    assert "So guided is not shown to beat all that it is compared with." in found


def test_nothing_found_says_what_could_have_been_seen() -> None:
    found = verdict([row("C1", 0.002, 0.8, seeds=5), row("C2", -0.001, 0.9, seeds=5)], ARMS)
    assert found == (
        "No evidence at n = 1,510 test images that guided differs from C1 random synthetic (+0.002 [-0.006, +0.010] "
        "AUC; this run could have seen Δ ≥ 0.012) and C2 repeated hard real (-0.001 [-0.009, +0.007] AUC; this run "
        "could have seen Δ ≥ 0.012). Over 5 paired seeds: fewer than the 10 that a claim needs."
    )


def test_an_interval_of_0_alone_is_told_as_such() -> None:
    same = row("C1", 0.0, 1.0, mdd=0.0)
    same.estimate = EstimateRecord(value=0.0, low=0.0, high=0.0, n=1510)
    assert verdict([same, row("C2", 0.002, 0.6)], ARMS) == (
        "No evidence at n = 1,510 test images that guided differs from C2 repeated hard real (+0.002 [-0.006, +0.010] "
        "AUC; this run could have seen Δ ≥ 0.012). The interval of guided against C1 random synthetic is 0 alone: they "
        "rank the classes alike, as where none of them saw an image that the others did not, or none errs; what this "
        "run could have seen cannot be told. Over 10 paired seeds."
    )
    assert "is 0 alone" not in verdict([row("C1", 0.0, 1.0)], ARMS)


def test_harm_is_said_and_one_seed_speaks_of_one_training() -> None:
    assert verdict([row("C1", -0.02, 0.001)]).startswith("guided is worse than C1 by -0.020 [-0.028, -0.012] AUC")
    assert verdict([row("C1", 0.02, 0.001, seeds=1)]).startswith("guided did better than C1 by +0.020")
    assert verdict([row("C1", -0.02, 0.001, seeds=1)]).startswith("guided did worse than C1")


def test_an_uncorrected_p_is_no_claim_and_secondary_rows_say_nothing() -> None:
    uncorrected = row("C1", 0.02, 0.001)
    uncorrected.p_adjusted = None
    assert verdict([uncorrected], ARMS).startswith("No evidence")
    uncorrected.primary = False
    assert verdict([uncorrected], ARMS) == ""


def test_two_seeds_that_differ_much_could_have_seen_nothing() -> None:
    """Student's t with one degree of freedom asks for more than an AUC can rise."""
    found = verdict([row("C1", 0.02, 0.6, seeds=2, mdd=1.7)], ARMS)
    assert "AUC; this run could have seen no difference)" in found
    assert "1.7" not in found
