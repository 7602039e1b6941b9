"""Secondary endpoints of a run: paired differences beside the AUC, and the AUC on hard cases.

Hard cases are told by classifiers that are not judged: cases that a classifier got wrong itself look easier for any
other training of it, whatever that was trained on (regression to the mean).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Estimate, Images, Probabilities
from bench.evaluate import measure_seed, write_predictions
from bench.lab import Arm, Fitted, Lab, Outcome
from bench.record import ComparisonRecord, EstimateRecord, StratumRecord
from bench.workbench import Workbench

if TYPE_CHECKING:
    from bench.stats import ArmDifference

Pairs = Sequence[tuple[str, str]]
RESEEDED = "C0r"
RESEEDED_WORDS = "real only, another random stream"
HARD = "auc@hard"
HARD_RULE = "the third of each class with the lowest p(true), mean of the judges; ties in the order of the test images"
REPLICATES = 2_000
CORRECTION = "BH"


@dataclass(frozen=True)
class ArmScores:
    """An arm over its seeds: classifier keys, scores float32 [N, K] on test, and thresholds of rule sens95."""

    keys: list[str] = field(default_factory=list)
    scores: list[Probabilities] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)


def with_reseeded(outcome: Outcome, lab: Lab) -> Outcome:
    """``outcome`` with the re-seeded C0, where the protocol made one, as an arm after its first."""
    if outcome.reseeded is not None:
        first, *rest = outcome.arms.items()
        outcome.arms = dict([first, (RESEEDED, Arm(outcome.reseeded, lab.train, RESEEDED_WORDS)), *rest])
    return outcome


def judge_difficulty(lab: Lab, judges: Sequence[Fitted], test: Images) -> Probabilities:
    """Mean probabilities float32 [N, K] of the ``judges`` of one seed on ``test``."""
    found = [lab.predict(judge, test, title=f"test, judge {k}") for k, judge in enumerate(judges, start=1)]
    return np.asarray(np.stack(found).mean(axis=0, dtype=np.float64), dtype=np.float32)


def hard_rows(probabilities: Probabilities, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows int64 [M], ascending, of :data:`HARD_RULE`; probabilities [N, K], labels [N]."""
    p_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    chosen = []
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        order = members[np.argsort(p_true[members], kind="stable")]
        chosen.append(order[: -(-len(members) // 3)])
    return np.sort(np.concatenate(chosen))


def compare_more(
    bench: Workbench,
    test: Images,
    val_thresh: Images,
    positive: int,
    arms: Mapping[str, ArmScores],
    primary: Pairs,
    others: Pairs,
) -> list[ComparisonRecord]:
    """The secondary endpoints of the ``primary`` pairs (Benjamini-Hochberg) and of ``others`` (for information).

    pAUC above 80 % TPR, and specificity and sensitivity at the threshold of 95 % sensitivity on ``val_thresh``.
    """
    from bench.stats.endpoints import SECONDARY

    inputs, rows = {"val_thresh": val_thresh.key}, np.arange(len(test))
    pairs = [*primary, *others]
    return _compared(bench, "secondary endpoints", test, positive, arms, pairs, SECONDARY, inputs, rows)[0]


def compare_on_hard(
    bench: Workbench,
    test: Images,
    positive: int,
    probabilities: Probabilities,
    judges: Sequence[str],
    arms: Mapping[str, ArmScores],
    primary: Pairs,
) -> tuple[list[ComparisonRecord], dict[str, EstimateRecord]]:
    """AUC on the hard test images: differences of the ``primary`` pairs and from the re-seeded C0, and of each arm.

    ``probabilities`` [N, K] tell which are hard, ``judges``: keys of the classifiers that gave them.
    """
    pairs = [*primary, *((name, RESEEDED) for name in arms if name != RESEEDED and RESEEDED in arms)]
    rows, inputs = hard_rows(probabilities, test.labels), {"judges": list(judges), "rule": HARD_RULE}
    found, means = _compared(bench, "AUC on hard cases", test, positive, arms, pairs, ("auc",), inputs, rows)
    return [row.model_copy(update={"endpoint": HARD}) for row in found], means


def stratum(
    probabilities: Probabilities, judges: int, test: Images, positive: int, auc: dict[str, EstimateRecord], folder: Path
) -> StratumRecord:
    """The record of the hard test images; the judges' ``probabilities`` are written beside it."""
    rows = hard_rows(probabilities, test.labels)
    return StratumRecord(
        name="hard", rule=HARD_RULE, n=len(rows), positives=int(np.sum(test.labels[rows] == positive)), judges=judges,
        predictions=write_predictions(folder / "predictions" / "judges-test.npz", test, probabilities), auc=auc,
    )  # fmt: skip


def correct(rows: Sequence[ComparisonRecord], primary: Pairs) -> None:
    """Benjamini-Hochberg over the secondary endpoints of the ``primary`` pairs, AUC on hard cases among them."""
    from bench.stats import benjamini_hochberg

    family = [(r, r.p) for r in rows if (r.arm, r.versus) in primary and r.endpoint != "auc" and r.p is not None]
    if family:
        for (row, _), p in zip(family, benjamini_hochberg([p for _, p in family]), strict=True):
            row.p_adjusted, row.correction = float(p), CORRECTION


def _compared(
    bench: Workbench,
    title: str,
    test: Images,
    positive: int,
    arms: Mapping[str, ArmScores],
    pairs: Pairs,
    endpoints: Sequence[str],
    more: Mapping[str, Any],
    rows: NDArray[np.int64],
) -> tuple[list[ComparisonRecord], dict[str, EstimateRecord]]:
    """Differences of all ``pairs`` on ``rows`` of ``test``, and the mean of the first endpoint of each arm: a stage."""
    from bench.stats import VERSION

    def measure(seed: int) -> dict[str, Any]:
        from bench.stats import compare_endpoints, minimum_detectable_difference, resample_endpoints

        y, groups = test.labels[rows] == positive, test.groups[rows]
        found = {}
        for name, arm in arms.items():
            scores = np.stack([s[rows, positive] for s in arm.scores])
            found[name] = resample_endpoints(y, scores, groups, endpoints, arm.cuts, REPLICATES, measure_seed())
        compared = [
            {"endpoint": endpoint, "arm": arm, "versus": versus, "estimate": _estimate(d, len(rows), endpoint),
             "p": d.p, "minimum_detectable_difference": float(minimum_detectable_difference(d.wide_se))}
            for (endpoint, arm, versus), d in compare_endpoints(found, pairs, measure_seed()).items()
        ]  # fmt: skip
        first = endpoints[0]
        means = {
            name: _estimate(of[first].mean(measure_seed()), len(rows), first, mean=True) for name, of in found.items()
        }
        return {"rows": compared, "means": means}

    inputs: dict[str, Any] = {"test": test.key, "positive": positive, "pairs": [list(pair) for pair in pairs]}
    inputs |= {"arms": {name: arm.keys for name, arm in arms.items()}, **more}
    config = {"endpoints": list(endpoints), "replicates": REPLICATES}
    result = bench.json_stage("compare", title, f"bench.stats@{VERSION}", config, inputs, measure)
    seeds = len(next(iter(arms.values())).keys)
    compared = [ComparisonRecord(**row, n_seeds=seeds) for row in result["rows"]]
    return compared, {name: EstimateRecord(**e) for name, e in result["means"].items()}


def _estimate(found: ArmDifference, n: int, endpoint: str, *, mean: bool = False) -> dict[str, Any]:
    method = f"two-level bootstrap over {len(found.per_seed)} seeds and clusters, {REPLICATES} replicates"
    fixed = "; thresholds as fitted on val_thresh" if "@" in endpoint else ""
    note = f"; {found.note}" if found.note else ""
    from bench.stats import bounded

    within = bounded(found, 0.0 if mean else -1.0)
    return vars(Estimate(found.value, within.low, within.high, n, "", "higher", method + fixed + note))
