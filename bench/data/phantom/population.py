"""The classes as distributions: factor means, shares, artifact rates, and the AUC nobody can beat."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Labels, Task
from bench.data.phantom.config import (
    ARTIFACT_NAMES,
    CLASS_SHIFTS,
    DEFAULT_RATES,
    FACTOR_NAMES,
    FACTORS,
    PhantomConfig,
)
from bench.data.phantom.streams import Array
from bench.errors import ConfigError

MONTE_CARLO_DRAWS = 200_000
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "melanoma": ("benign", "melanoma"),
    "malignant": ("benign", "malignant"),
    "classes": ("nv", "mel", "bkl", "bcc", "akiec", "df", "vasc"),
}


@dataclass(frozen=True)
class Population:
    """K classes over F factors and A artifacts; the factors of class k are normal(means[k], identity).

    means float64 [K, F]; weights float64 [K], sum 1; rates float64 [K, A], chance of each artifact in a view.
    """

    task: Task
    means: Array
    weights: Array
    rates: Array

    def log_ratio(self, factors: Array, artifacts: NDArray[np.bool_]) -> Array:
        """log p(factors, artifacts | positive) / p(… | any other class), float64 [N], of [N, F] and [N, A]."""
        joint = self._log_likelihood(factors, artifacts)
        with np.errstate(divide="ignore"):
            others = np.delete(joint + np.log(self.weights), self.task.positive, axis=1)
        top = others.max(axis=1, keepdims=True)
        share = np.log1p(-self.weights[self.task.positive])
        rest = top[:, 0] + np.log(np.exp(others - top).sum(axis=1)) - share
        return joint[:, self.task.positive] - rest  # type: ignore[no-any-return]

    def _log_likelihood(self, factors: Array, artifacts: NDArray[np.bool_]) -> Array:
        # Up to -|x|² / 2 and constants, which every class shares.
        normal = factors @ self.means.T - 0.5 * (self.means**2).sum(axis=1)
        # A certain artifact (rate 0 or 1) would give 0 * log 0; the floor keeps its ratio finite and decisive.
        rates = np.clip(self.rates, 1e-12, 1 - 1e-12)
        return artifacts @ np.log(rates).T + ~artifacts @ np.log1p(-rates).T + normal  # type: ignore[no-any-return]

    def draw(self, labels: Labels, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        """Factors float64 [N, F] and artifact flags bool [N, A] for ``labels`` int64 [N]."""
        factors = self.means[labels] + rng.standard_normal((len(labels), self.means.shape[1]))
        return factors, rng.random((len(labels), self.rates.shape[1])) < self.rates[labels]


def population(config: PhantomConfig, task: Literal["melanoma", "malignant", "classes"]) -> Population:
    """The population of ``config`` for a task; raises :class:`ConfigError` for a class name the task does not have."""
    names = CLASS_NAMES[task]
    kinds = names if task == "classes" else ("nv", "mel")
    shifts = np.array([[CLASS_SHIFTS[kind].get(f, 0.0) for f in FACTOR_NAMES] for kind in kinds])
    melanoma = np.array([f.melanoma for f in FACTORS])
    # Melanoma and nevus lie symmetric to 0, where the drawing of a factor resolves best.
    means = (shifts - melanoma / 2) * config.d_prime / np.linalg.norm(melanoma)
    weights = {kind: config.class_weights.get(kind, 0.0) for kind in kinds if kind != "mel"}  # type: ignore[call-overload]
    total = sum(weights.values()) or 1.0
    shares = [config.prevalence if k == "mel" else (1 - config.prevalence) * weights[k] / total for k in kinds]
    if task != "classes":
        shares = [1 - config.prevalence, config.prevalence]
    return Population(Task(task, names, 1), means, np.array(shares), _rates(config, names))


def _rates(config: PhantomConfig, names: tuple[str, ...]) -> Array:
    rates = np.empty((len(names), len(ARTIFACT_NAMES)))
    for column, artifact in enumerate(ARTIFACT_NAMES):
        given = config.artifact_rates.get(artifact, DEFAULT_RATES[artifact])  # type: ignore[call-overload]
        by_class = given if isinstance(given, dict) else dict.fromkeys(names, given)
        if unknown := sorted(set(by_class) - set(names)):
            raise ConfigError(
                f"artifact_rates.{artifact}: no class {unknown[0]!r} in this task; its classes are {', '.join(names)}"
            )
        rates[:, column] = [by_class.get(name, DEFAULT_RATES[artifact]) for name in names]
    return rates


def bayes_auc(people: Population, *, seed: int = 0) -> float:
    """AUC of the likelihood ratio for an observer told the factors and artifacts of one image, its class unknown.

    Two classes: exact (:func:`exact_auc`). More: seeded Monte Carlo over 200,000 images a side, standard error < 0.001.
    The class reaches the pixels only through these factors and artifacts, so by the data-processing inequality no
    observer of one image's pixels does better in expectation.
    """
    if people.task.num_classes == 2:
        return exact_auc(people)
    return monte_carlo_auc(people, MONTE_CARLO_DRAWS, np.random.default_rng([seed, 0xA0C]))


def exact_auc(people: Population) -> float:
    """Closed form for two classes.

    With D = d'² the factor part of the log ratio is normal(±D/2, D), the artifact part takes finitely many values L:
    AUC = sum over artifact sets a (positive), b (negative) of P(a) P(b) Phi((D + L(a) - L(b)) / sqrt(2 D)).
    Equal rates leave Phi(d' / sqrt 2) (Green and Swets 1966, equation for two equal-variance normals).
    """
    positive, negative = people.task.positive, 1 - people.task.positive
    distance = float(((people.means[1] - people.means[0]) ** 2).sum())
    of_positive, of_negative = (_artifact_sets(people.rates[k]) for k in (positive, negative))
    ratio = {s: _log(of_positive[s]) - _log(of_negative[s]) for s in of_positive if of_positive[s] or of_negative[s]}
    pairs = itertools.product(
        [(p, ratio[s]) for s, p in of_positive.items() if p], [(p, ratio[s]) for s, p in of_negative.items() if p]
    )
    return math.fsum(p * q * _above(a - b, distance) for (p, a), (q, b) in pairs)


def monte_carlo_auc(people: Population, n: int, rng: np.random.Generator) -> float:
    """AUC of :meth:`Population.log_ratio` from ``n`` draws of the positive class and ``n`` of the others."""
    positive = people.task.positive
    others = people.weights.copy()
    others[positive] = 0.0
    labels = np.concatenate([np.full(n, positive), rng.choice(len(others), size=n, p=others / others.sum())])
    score = people.log_ratio(*people.draw(labels, rng))
    negatives = np.sort(score[n:])
    below = np.searchsorted(negatives, score[:n], "left") + np.searchsorted(negatives, score[:n], "right")
    return float(below.mean() / (2 * n))


def _artifact_sets(rates: Array) -> dict[tuple[bool, ...], float]:
    """Chance of every combination of the A artifacts."""
    sets = itertools.product((False, True), repeat=len(rates))
    return {s: math.prod(r if here else 1 - r for here, r in zip(s, rates.tolist(), strict=True)) for s in sets}


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf


def _above(gap: float, distance: float) -> float:
    """P(normal(gap + D, 2 D) > 0), with half of a tie."""
    if distance > 0:
        return 0.5 * math.erfc(-(gap + distance) / (2 * math.sqrt(distance)))
    return 0.5 if abs(gap) < 1e-12 else float(gap > 0)
