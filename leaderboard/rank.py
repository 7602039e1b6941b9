"""Ranks that say what is known: tie groups and rank intervals from paired differences over lesions and seeds.

Two rows are judged on the same test images, so what is hard for both cancels. The error of a difference has two parts:
which lesions are in the test set (:mod:`leaderboard.paired`) and which seeds were run (variance between seeds, of
paired differences where both rows have the same seeds). Rank intervals follow from all pairwise tests together
(Mogstad et al. 2024, Review of Economic Studies 91:476): the best rank counts the rows that are surely better, the
worst those that are surely worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from leaderboard.load import Predictions, read_predictions
from leaderboard.paired import ALPHA, Differences, Measured, differences, influence, lend
from leaderboard.rows import Row


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


def rank(rows: Sequence[Row], positive: int) -> Ranking:
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
    out.measured = lend(measure(stored, labels, reference, positive))
    ranked = [i for i, row in enumerate(rows) if i in out.measured and takes_part(row)]
    if ranked:
        pairs = differences([out.measured[i] for i in ranked])
        out.standings = dict(zip(ranked, standings(pairs), strict=True))
        out.minimum_detectable_difference = detectable(pairs)
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
) -> dict[int, Measured]:
    """AUC of every row and seed, and each lesion's influence on it; none with fewer than two cases of a class."""
    from bench.stats.checks import group_codes

    if labels.sum() < 2 or (~labels).sum() < 2:
        return {}
    codes = group_codes(reference.groups, len(labels))
    assert codes is not None
    out: dict[int, Measured] = {}
    for i, by_seed in stored.items():
        found = {s: influence(labels, codes, p.scores[:, positive].astype(np.float64)) for s, p in by_seed.items()}
        per_seed = {seed: found[seed][0] for seed in sorted(found)}
        out[i] = Measured(per_seed, np.mean([part for _, part in found.values()], axis=0))
    return out


def standings(pairs: Differences) -> list[Standing]:
    """Rank, rank interval and tie group of each row; pairs are separated at 5 % after Holm's correction."""
    from bench.stats import holm

    rows = len(pairs.value)
    first, second = np.triu_indices(rows, 1)
    separated = np.zeros((rows, rows), dtype=bool)
    separated[first, second] = holm(pairs.upper(pairs.p)) <= ALPHA
    separated |= separated.T
    surely = separated & (pairs.value > 0)  # [better, worse]
    ahead = (pairs.value < 0).sum(axis=1)
    groups = np.zeros(rows, dtype=np.int64)
    leader, group = -1, 0
    for i in np.argsort(ahead, kind="stable"):
        if leader < 0 or surely[leader, i]:
            leader, group = int(i), group + 1
        groups[i] = group
    best, worst = 1 + surely.sum(axis=0), rows - surely.sum(axis=1)
    return [Standing(*map(int, row)) for row in zip(1 + ahead, best, worst, groups, strict=True)]


def detectable(pairs: Differences) -> float | None:
    """Median over pairs of the difference that would be seen with power 80 % at 5 %; None without pairs."""
    from bench.stats import minimum_detectable_difference

    errors = pairs.upper(pairs.se)
    errors = errors[errors > 0]
    return minimum_detectable_difference(float(np.median(errors))) if len(errors) else None
