"""All checks in order, and what they say together: which metrics can be trusted on this ground."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.selfcheck import fidelity, harness, labels, memorization, usefulness
from bench.selfcheck.check import Check, Finding
from bench.selfcheck.ground import Ground

CHECKS: dict[int, Check] = {
    check.number: check
    for check in (
        fidelity.fid_against_train,
        fidelity.fid_against_held_out,
        memorization.authenticity_of_controls,
        memorization.share_nearer_train_of_controls,
        memorization.copy_rate_recovers_planted_shares,
        fidelity.collapse,
        labels.wrong_labels,
        fidelity.noise,
        fidelity.blur,
        usefulness.mixtures,
        fidelity.gaussian,
        labels.dropped_class,
        fidelity.kid_of_real_images,
        usefulness.copies_are_oversampling,
        usefulness.oracle_is_best,
        harness.peeker_fails,
        harness.path_lengths,
        harness.sleeper_is_timed,
        usefulness.comparisons,
    )
}


def run_checks(
    ground: Ground, numbers: Iterable[int] | None = None, told: Callable[[Check], None] | None = None
) -> list[Finding]:
    """Findings of all claims, or of those with ``numbers``; ``told`` hears of each check before it starts."""
    findings = []
    for number in sorted(CHECKS if numbers is None else numbers):
        if told is not None:
            told(CHECKS[number])
        findings.append(CHECKS[number](ground))
    return findings


def trusted(findings: Sequence[Finding]) -> dict[str, list[int]]:
    """Metric -> numbers of the claims that speak against it; an empty list: it can be trusted here."""
    names = dict.fromkeys(name for finding in findings for name in (*finding.of, *finding.blamed))
    return {name: [f.number for f in findings if name in f.blamed] for name in names}
