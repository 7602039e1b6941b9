"""Ranks that say what is known: tie groups and rank intervals from a paired, clustered bootstrap over seeds.

Two rows are judged on the same test images with the same bootstrap weights (Davison & Hinkley 1997, section 3.8), so
what is hard for both cancels. The error of a difference has two parts: which lesions are in the test set (bootstrap
over lesions, within class) and which seeds were run (variance between seeds, of paired differences where both rows
have the same seeds). Rank intervals follow from all pairwise tests together (Mogstad et al. 2024, Review of Economic
Studies 91:476): the best rank counts the rows that are surely better, the worst those that are surely worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from leaderboard.load import Predictions, read_predictions
from leaderboard.paired import ALPHA, Difference, Float, Measured, difference, lend
from leaderboard.rows import Row

REPLICATES = 2_000
SEED = 0  # of the bootstrap over lesions: fixed, so that equal records give equal boards


@dataclass(frozen=True)
class Standing:
    """``rank`` 1 is best; ``best`` to ``worst`` its interval; a ``tie_group`` cannot be told apart from its leader."""

    rank: int
    best: int
    worst: int
    tie_group: int


@dataclass
class Ranking:
    """What a track's rows look like against each other; keyed by position in the list of rows."""

    measured: dict[int, Measured] = field(default_factory=dict)
    standings: dict[int, Standing] = field(default_factory=dict)
    minimum_detectable_difference: float | None = None
    images: int = 0
    positives: int = 0
    groups: int = 0


def rank(rows: Sequence[Row], positive: int, replicates: int = REPLICATES) -> Ranking:
    """Measure all rows with readable predictions on the same test images and rank those with status "ranked".

    Controls are measured and not ranked. A row whose predictions are missing or of other images becomes "incomplete",
    and its ``notes`` say why.
    """
    out = Ranking()
    stored = {i: found for i, row in enumerate(rows) if (found := _predictions(row))}
    if not stored:
        return out
    reference = next(iter(next(iter(stored.values())).values()))
    for i in list(stored):
        if any(not _same_images(p, reference) for p in stored[i].values()):
            _set_aside(rows[i], "judged on other test images than the other rows of this track")
            del stored[i]
    labels = reference.y == positive
    out.images, out.positives = len(reference), int(labels.sum())
    out.groups = len(np.unique(reference.groups))
    out.measured = lend(measure(stored, labels, reference, positive, replicates))
    ranked = [i for i, row in enumerate(rows) if i in out.measured and takes_part(row)]
    differences = {(i, j): difference(out.measured[i], out.measured[j]) for i, j in combinations(ranked, 2)}
    out.standings = standings(ranked, differences)
    out.minimum_detectable_difference = detectable(list(differences.values()))
    return out


def takes_part(row: Row) -> bool:
    """Entrants and baselines are ranked; controls mark the scale and are not."""
    return row.status == "ranked" and row.kind in ("entrant", "baseline")


def _predictions(row: Row) -> dict[int, Predictions]:
    """Test predictions by seed; empty, with a note, where one of them is missing."""
    found: dict[int, Predictions] = {}
    for seed, source in row.sources.items():
        if source.arm.error is not None:
            continue
        if source.arm.predictions is None:
            _set_aside(row, f"seed {seed}: no stored predictions")
            return {}
        try:
            found[seed] = _by_id(read_predictions(source.entry, source.arm.predictions))
        except BenchError as error:
            _set_aside(row, str(error))
            return {}
    return found


def _set_aside(row: Row, note: str) -> None:
    row.notes.append(note)
    row.status = "incomplete" if row.status in ("ranked", "unranked") else row.status


def _by_id(predictions: Predictions) -> Predictions:
    order = np.argsort(predictions.ids, kind="stable")
    return Predictions(
        predictions.ids[order], predictions.groups[order], predictions.y[order], predictions.scores[order]
    )


def _same_images(a: Predictions, b: Predictions) -> bool:
    return np.array_equal(a.ids, b.ids) and np.array_equal(a.y, b.y) and np.array_equal(a.groups, b.groups)


def measure(
    stored: Mapping[int, Mapping[int, Predictions]],
    labels: NDArray[np.bool_],
    reference: Predictions,
    positive: int,
    replicates: int,
) -> dict[int, Measured]:
    """AUC of every row and seed at the full test set and under shared bootstrap weights; none without both classes."""
    from bench.stats.bootstrap import ranked_runs, weighted_auc
    from bench.stats.checks import group_codes
    from bench.stats.resample import case_weights

    if labels.all() or not labels.any():
        return {}
    runs = {
        (i, seed): ranked_runs(labels, p.scores[:, positive].astype(np.float64))
        for i, by_seed in stored.items()
        for seed, p in by_seed.items()
    }
    codes = group_codes(reference.groups, len(labels))
    blocks: dict[tuple[int, int], list[Float]] = {key: [] for key in runs}
    for weights in case_weights(labels, codes, replicates, SEED):
        for key, (run, count) in runs.items():
            blocks[key].append(weighted_auc(weights, labels, run, count))
    ones = np.ones((1, len(labels)))
    out: dict[int, Measured] = {}
    for i, by_seed in stored.items():
        per_seed = {seed: float(weighted_auc(ones, labels, *runs[i, seed])[0]) for seed in sorted(by_seed)}
        by_case = np.mean([np.concatenate(blocks[i, seed]) for seed in by_seed], axis=0)
        out[i] = Measured(per_seed, by_case)
    return out


def standings(ranked: Sequence[int], differences: Mapping[tuple[int, int], Difference]) -> dict[int, Standing]:
    """Rank, rank interval and tie group of each of ``ranked``; pairs are separated at 5 % after Holm's correction."""
    from bench.stats import holm

    pairs = list(differences)
    adjusted = holm([differences[pair].p for pair in pairs])
    surely: set[tuple[int, int]] = set()  # (better, worse)
    for (i, j), p in zip(pairs, adjusted, strict=True):
        if p <= ALPHA:
            surely.add((i, j) if differences[i, j].value > 0 else (j, i))
    ahead = {i: sum(_lead(differences, j, i) > 0 for j in ranked if j != i) for i in ranked}
    out: dict[int, Standing] = {}
    leader, group = -1, 0
    for i in sorted(ranked, key=lambda i: (ahead[i], i)):
        if leader < 0 or (leader, i) in surely:
            leader, group = i, group + 1
        best = 1 + sum((j, i) in surely for j in ranked)
        worst = len(ranked) - sum((i, j) in surely for j in ranked)
        out[i] = Standing(1 + ahead[i], best, worst, group)
    return out


def _lead(differences: Mapping[tuple[int, int], Difference], i: int, j: int) -> float:
    return differences[i, j].value if (i, j) in differences else -differences[j, i].value


def detectable(differences: Sequence[Difference]) -> float | None:
    """Median over pairs of the difference that would be seen with power 80 % at 5 %; None without pairs."""
    from bench.stats import minimum_detectable_difference

    errors = [d.se for d in differences if d.se > 0]
    return minimum_detectable_difference(float(np.median(errors))) if errors else None
