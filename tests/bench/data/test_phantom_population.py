"""The best possible AUC: closed form against Monte Carlo on the true latents, and what shortcuts add to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.data.phantom import PhantomConfig
from bench.data.phantom.config import ARTIFACT_NAMES
from bench.data.phantom.population import (
    Population,
    bayes_auc,
    exact_auc,
    monte_carlo_auc,
    population,
)
from bench.data.phantom.render import compose
from bench.data.phantom.streams import drawn_roster


def people(task: Any = "melanoma", **options: Any) -> Population:
    return population(PhantomConfig(**options), task)


def phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


@pytest.mark.parametrize("d_prime", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_equal_rates_give_the_textbook_formula(d_prime: float) -> None:
    assert bayes_auc(people(d_prime=d_prime)) == pytest.approx(phi(d_prime / math.sqrt(2)), abs=1e-12)
    assert np.linalg.norm(np.diff(people(d_prime=d_prime).means, axis=0)) == pytest.approx(d_prime)


def test_default_overlap_is_about_092() -> None:
    assert 0.915 < bayes_auc(people()) < 0.925
    assert bayes_auc(people("malignant")) == bayes_auc(people())


@pytest.mark.parametrize("ruler", [0.1, 0.4, 0.9])
def test_formula_with_a_shortcut_agrees_with_monte_carlo(ruler: float) -> None:
    planted = people(d_prime=1.5, artifact_rates={"ruler": {"melanoma": ruler, "benign": 0.1}, "hair": {"benign": 0.5}})
    n = 40_000
    simulated = monte_carlo_auc(planted, n, np.random.default_rng(3))
    assert simulated == pytest.approx(exact_auc(planted), abs=4 * 0.3 / n**0.5)


def test_formula_agrees_with_the_latents_of_composed_scenes() -> None:
    config = PhantomConfig(artifact_rates={"ruler": {"melanoma": 0.5}})
    planted = population(config, "melanoma")
    labels = np.arange(3000) % 2
    scene = compose(drawn_roster(config, labels, 1), planted, config)
    auc = roc_auc_score(labels, planted.log_ratio(scene.factors, scene.artifacts))
    assert auc == pytest.approx(exact_auc(planted), abs=4 * 0.005)


def test_log_ratio_of_two_classes_is_linear_in_the_factors() -> None:
    two = people()
    x = np.random.default_rng(0).standard_normal((50, two.means.shape[1]))
    gap = two.means[1] - two.means[0]
    flags = np.zeros((50, len(ARTIFACT_NAMES)), bool)
    assert two.log_ratio(x, flags) == pytest.approx(x @ gap - (two.means**2).sum(1) @ [-0.5, 0.5])


def test_a_perfect_shortcut_makes_the_task_trivial_and_a_partial_one_does_not() -> None:
    perfect = people(d_prime=0.0, artifact_rates={"ink": {"benign": 0.0, "melanoma": 1.0}})
    partial = people(d_prime=0.0, artifact_rates={"ink": {"benign": 0.0, "melanoma": 0.5}})
    assert exact_auc(perfect) == pytest.approx(1.0)
    assert exact_auc(partial) == pytest.approx(0.75)
    assert monte_carlo_auc(perfect, 2000, np.random.default_rng(0)) == pytest.approx(1.0)
    assert monte_carlo_auc(partial, 20_000, np.random.default_rng(0)) == pytest.approx(0.75, abs=0.02)


def test_melanoma_against_six_classes_is_reproducible_and_optimal() -> None:
    seven = people("classes")
    auc = bayes_auc(seven)
    assert auc == bayes_auc(seven)
    rng = np.random.default_rng(1)
    labels = rng.choice(7, size=60_000, p=seven.weights)
    factors, flags = seven.draw(labels, rng)
    y = labels == 1
    assert roc_auc_score(y, seven.log_ratio(factors, flags)) == pytest.approx(auc, abs=0.006)
    # The linear rule that is optimal against nevi alone cannot beat it.
    assert roc_auc_score(y, factors @ (seven.means[1] - seven.means[0])) < auc - 0.002


def test_melanoma_and_nevus_are_d_prime_apart_among_seven_classes() -> None:
    seven = people("classes", d_prime=1.3)
    assert np.linalg.norm(seven.means[1] - seven.means[0]) == pytest.approx(1.3)
    gaps = np.linalg.norm(seven.means[:, None] - seven.means[None], axis=2)[np.triu_indices(7, 1)]
    assert gaps.min() > 0.8
