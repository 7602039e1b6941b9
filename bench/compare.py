"""Two arms of stored runs against each other, from their predictions alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.record import ArmRecord, Record

Floats = NDArray[np.float64]
REPLICATES = 10_000
RULE = "youden"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a record, its folder and an arm of it."""

    record: Record
    folder: Path
    arm: str

    @property
    def title(self) -> str:
        """Run and arm."""
        return f"{self.record.run_id}:{self.arm}"

    def seeds(self) -> dict[int, ArmRecord]:
        """The arm's rows by seed; those without predictions are left out."""
        return {a.seed: a for a in self.record.arms if a.name == self.arm and a.predictions is not None}


@dataclass(frozen=True)
class Predictions:
    """Stored predictions on test: y int64 [N], scores of the positive class [N], ids and groups str [N]."""

    y: NDArray[np.int64]
    score: Floats
    ids: NDArray[np.str_]
    groups: NDArray[np.str_]


@dataclass(frozen=True)
class Difference:
    """A minus B on one endpoint with 95 % limits and a two-sided p. ``method`` says how both were found."""

    endpoint: str
    arm_a: str
    arm_b: str
    a: float
    b: float
    value: float
    low: float
    high: float
    p: float | None
    method: str
    seeds: tuple[int, ...]


def check_comparable(a: Record, b: Record) -> None:
    """Raise :class:`DataError` that names what differs unless both were tested on the same images."""
    if a.split is None or b.split is None:
        raise DataError(f"{(a if a.split is None else b).run_id} has no split: it failed before it had one")
    pairs = {
        "data fingerprint": (a.data.fingerprint, b.data.fingerprint),
        "split checksum": (a.split.checksum, b.split.checksum),
        "task": (a.data.task, b.data.task),
        "classes": (", ".join(a.data.class_names), ", ".join(b.data.class_names)),
        "positive class": (str(a.data.positive), str(b.data.positive)),
    }
    for what, (first, second) in pairs.items():
        if first != second:
            raise DataError(
                f"cannot compare: the {what} differs, {first[:16]} in {a.run_id} and {second[:16]} in {b.run_id}; "
                f"differences of test sets would pass for differences of arms"
            )


def compare_arms(a: Side, b: Side, replicates: int = REPLICATES) -> list[Difference]:
    """Differences of AUC, and of sensitivity, specificity and accuracy at the threshold of each arm.

    An arm without such a threshold, as of predictions submitted without those of val_thresh, has the AUC alone. Seeds
    that both sides have are paired; without any, all are paired in order. Raises :class:`DataError`.
    """
    check_comparable(a.record, b.record)
    pairs = _paired_seeds(a, b)
    loaded = [(read_predictions(a, a.seeds()[s]), read_predictions(b, b.seeds()[t])) for s, t in pairs]
    first = loaded[0][0]
    for row in loaded:
        for part in row:
            if not (np.array_equal(part.ids, first.ids) and np.array_equal(part.y, first.y)):
                raise DataError(f"{a.title} and {b.title}: predictions are not of the same images in the same order")
    seeds = tuple(s for s, _ in pairs)
    positive = first.y == a.record.data.positive
    rows = [_auc_difference(a, b, positive, loaded, seeds, replicates)]
    without = [side.title for side, i in ((a, 0), (b, 1)) if not all(RULE in _cuts(side, pair[i]) for pair in pairs)]
    if without:
        told = f"{rows[0].method}; no threshold from val_thresh in {', '.join(without)}: AUC alone"
        return [replace(rows[0], method=told)]
    right = [
        (_right(a, s, x, positive), _right(b, t, z, positive)) for (s, t), (x, z) in zip(pairs, loaded, strict=True)
    ]
    masks = {"sensitivity": positive, "specificity": ~positive, "accuracy": np.ones(len(positive), dtype=bool)}
    for name, mask in masks.items():
        rows.append(_share_difference(name, a, b, positive, mask, right, first.groups, seeds, replicates))
    return rows


def read_predictions(side: Side, arm: ArmRecord) -> Predictions:
    """Test predictions of one arm and seed. Raises :class:`DataError` where the file is gone or was changed."""
    assert arm.predictions is not None
    path = side.folder / arm.predictions.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {side.title} cannot be compared without it") from None
    if hashlib.sha256(content).hexdigest() != arm.predictions.sha256:
        raise DataError(f"{path}: not the file that the record names (sha256 differs)")
    with np.load(path, allow_pickle=False) as stored:
        score = stored["scores"][:, side.record.data.positive].astype(np.float64)
        return Predictions(stored["y"], score, stored["ids"], stored["groups"])


def _paired_seeds(a: Side, b: Side) -> list[tuple[int, int]]:
    mine, theirs = a.seeds(), b.seeds()
    for side, found in ((a, mine), (b, theirs)):
        if not found:
            arms = ", ".join(dict.fromkeys(r.name for r in side.record.arms)) or "none"
            raise DataError(f"{side.record.run_id} has no arm {side.arm!r} with predictions; its arms: {arms}")
    common = sorted(mine.keys() & theirs.keys())
    return [(s, s) for s in common] if common else list(zip(sorted(mine), sorted(theirs), strict=False))


def _auc_difference(
    a: Side, b: Side, positive: NDArray[np.bool_], loaded: list[tuple[Predictions, Predictions]],
    seeds: tuple[int, ...], replicates: int,
) -> Difference:  # fmt: skip
    from bench.stats import auc, two_level_bootstrap

    first, second = (np.stack([row[side].score for row in loaded]) for side in (0, 1))
    found = two_level_bootstrap(positive, first, second, groups=loaded[0][0].groups, replicates=replicates, seed=0)
    values = [float(np.mean([auc(positive, s) for s in scores])) for scores in (first, second)]
    method = f"two-level bootstrap over seeds and clusters, {replicates:,} replicates"
    method += f"; {found.note}" if found.note else ""
    return Difference(
        "auc", a.title, b.title, values[0], values[1], found.value, found.low, found.high, found.p, method, seeds
    )


def _right(side: Side, seed: int, predictions: Predictions, positive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each case is called right at the arm's own threshold, bool [N]."""
    return np.asarray((predictions.score >= _cuts(side, seed)[RULE]) == positive)


def _cuts(side: Side, seed: int) -> dict[str, float]:
    return {t.rule: t.value for t in side.seeds()[seed].thresholds}


def _share_difference(
    name: str, a: Side, b: Side, positive: NDArray[np.bool_], mask: NDArray[np.bool_],
    right: list[tuple[NDArray[np.bool_], NDArray[np.bool_]]], groups: NDArray[np.str_],
    seeds: tuple[int, ...], replicates: int,
) -> Difference:  # fmt: skip
    """Difference of a share over the cases in ``mask``, mean over seeds; p by McNemar where there is one seed."""
    from bench.stats import bootstrap_statistics, mcnemar
    from bench.stats.checks import group_codes

    first, second = (np.mean([row[side] for row in right], axis=0) for side in (0, 1))
    statistic: Callable[[Floats], Floats] = _masked_mean(first - second, mask)
    codes = group_codes(groups, len(positive))
    found = bootstrap_statistics(positive, {name: statistic}, codes, replicates, 0)[name]
    method = "clustered bootstrap over cases"
    p = None
    if len(right) == 1:
        truth: Any = positive[mask].astype(int)
        calls = [np.where(row[mask], truth, 1 - truth) for row in right[0]]
        p, method = mcnemar(truth, calls[0], calls[1]).p, f"{method}; p: exact McNemar"
    values = (float(first[mask].mean()), float(second[mask].mean()))
    title = f"{name}@{RULE}"
    return Difference(title, a.title, b.title, *values, found.value, found.low, found.high, p, method, seeds)


def _masked_mean(terms: Floats, mask: NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    inside, kept = terms[mask], np.flatnonzero(mask)
    return lambda w: np.asarray(w[:, kept] @ inside / w[:, kept].sum(axis=1))
