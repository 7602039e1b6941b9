"""Differences of AUC between the arms of a run, paired over seeds and lesions, as its record keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import evaluate
from bench.contracts import Images, Probabilities
from bench.record import ComparisonRecord, EstimateRecord
from bench.workbench import Workbench

Pairs = Sequence[tuple[str, str]]


def auc_differences(
    bench: Workbench,
    test: Images,
    positive: int,
    scores: Mapping[str, Sequence[Probabilities]],
    keys: Mapping[str, Sequence[str]],
    pairs: Pairs,
    primary: Pairs = (),
) -> list[ComparisonRecord]:
    """ΔAUC of each of ``pairs`` on ``test``, a stage each; those that are ``primary`` are corrected together (Holm).

    ``scores``: arm -> probabilities float32 [N, K] of each seed; ``keys``: arm -> keys of its classifiers, as many.
    """
    from bench.stats import holm

    rows = []
    for arm, versus in pairs:
        of_both = [*keys[arm], *keys[versus]]
        found = evaluate.compare(bench, test, positive, list(scores[arm]), list(scores[versus]), of_both)
        rows.append(
            ComparisonRecord(
                endpoint="auc", arm=arm, versus=versus, estimate=EstimateRecord(**found["estimate"]), p=found["p"],
                n_seeds=len(keys[arm]), minimum_detectable_difference=found["mdd"], primary=(arm, versus) in primary,
            )
        )  # fmt: skip
    chosen = [(row, row.p) for row in rows if row.primary and row.p is not None]
    if chosen:
        for (row, _), p in zip(chosen, holm([p for _, p in chosen]), strict=True):
            row.p_adjusted, row.correction = float(p), "Holm"
    return rows
