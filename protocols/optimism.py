"""How much of a gain in AUC comes from having looked at the cases it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Estimate
from bench.errors import DataError

Bool = NDArray[np.bool_]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """AUC of scores ``a`` minus AUC of scores ``b`` (both [N]) on the cases ``among`` (bool [N])."""

    among: Bool
    a: NDArray[np.floating[Any]]
    b: NDArray[np.floating[Any]]


def mean_contrast(
    y: Bool, groups: Any, repeats: Sequence[Sequence[Contrast]], *, replicates: int = 2000, seed: int = 0
) -> Estimate:
    """Mean over repeats of the mean of their contrasts, with a 95 % interval over cases and repeats.

    y bool [N]; groups str [N]. Cases are drawn within class by group, and all repeats see the same draw, as they share
    cases; then repeats are drawn, their deviation scaled by sqrt(R / (R - 1)) as in
    :func:`bench.stats.two_level_bootstrap` (Davison & Hinkley 1997, section 2.3). ``extra``: ``se`` and the values of
    the repeats. Raises :class:`DataError` where a part lacks two cases of a class.
    """
    from bench.stats.checks import group_codes
    from bench.stats.resample import case_weights

    tables = [[_Wins.of(y, contrast) for contrast in repeat] for repeat in repeats]
    codes = group_codes(groups, len(y))
    drawn = np.concatenate([_means(tables, weights) for weights in case_weights(y, codes, replicates, seed)])  # [B, R]
    per_repeat = _means(tables, np.ones((1, len(y))))[0]
    r = len(per_repeat)
    rng = np.random.default_rng([seed, r])
    share = rng.multinomial(r, np.full(r, 1 / r), size=len(drawn)) / r
    centre = drawn.mean(axis=1)
    out = centre + (np.sqrt(r / (r - 1)) if r > 1 else 0.0) * ((share * drawn).sum(axis=1) - centre)
    low, high = np.nanquantile(out, [0.025, 0.975])
    method = f"bootstrap over groups within class and over {r} repeats, {replicates} replicates"
    return Estimate(
        float(per_repeat.mean()), float(low), float(high), len(y), "", "none", method,
        extra={"se": float(np.nanstd(out, ddof=1)), "per_repeat": per_repeat.tolist()},
    )  # fmt: skip


@dataclass(frozen=True)
class _Wins:
    """Pairs won by ``a`` minus pairs won by ``b``, ties half: table [P, Q] of positive and negative rows."""

    positive: NDArray[np.int64]
    negative: NDArray[np.int64]
    table: Float

    @classmethod
    def of(cls, y: Bool, contrast: Contrast) -> _Wins:
        positive, negative = np.flatnonzero(contrast.among & y), np.flatnonzero(contrast.among & ~y)
        if min(len(positive), len(negative)) < 2:
            counts = f"{len(positive)} positive and {len(negative)} negative cases"
            raise DataError(f"a part has {counts}; an AUC with an interval needs two of each: hold out more")
        scores = [s.astype(np.float64) for s in (contrast.a, contrast.b)]
        won = [np.sign(s[positive][:, None] - s[negative][None, :]) for s in scores]
        return cls(positive, negative, (won[0] - won[1]) / 2)

    def difference(self, weights: Float) -> Float:
        """Weighted difference of AUC, float64 [B], for weights [B, N]; NaN where a class was not drawn."""
        u, v = weights[:, self.positive], weights[:, self.negative]
        pairs = u.sum(axis=1) * v.sum(axis=1)
        won = np.einsum("bq,bq->b", u @ self.table, v)
        return np.asarray(np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0))


def _means(tables: Sequence[Sequence[_Wins]], weights: Float) -> Float:
    """Mean of the contrasts of each repeat, float64 [B, R]."""
    return np.stack([np.mean([t.difference(weights) for t in repeat], axis=0) for repeat in tables], axis=1)
