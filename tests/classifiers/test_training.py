"""The parts of training: augmentation, the AUC that selects, the learning rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from classifiers._augment import augment, colour_jitter, random_affine, random_flips
from classifiers._base import TrainOptions
from classifiers._training import binary_auc, evaluated_steps, learning_rate, macro_auc


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flips_reach_all_eight_symmetries_equally() -> None:
    tile = torch.arange(9.0).reshape(1, 1, 3, 3)
    made = random_flips(tile.expand(4000, 1, 3, 3), rng())
    symmetries = [torch.rot90(t, k, (2, 3)) for t in (tile, tile.flip(3)) for k in range(4)]
    counts = [int((made == s).all((1, 2, 3)).sum()) for s in symmetries]
    assert sum(counts) == 4000
    assert min(counts) > 400  # 500 expected, standard deviation 21


def test_rectangles_are_flipped_but_not_turned() -> None:
    tile = torch.arange(6.0).reshape(1, 1, 2, 3)
    made = random_flips(tile.expand(200, 1, 2, 3), rng())
    assert made.shape == (200, 1, 2, 3)
    assert len(torch.unique(made, dim=0)) == 4


def test_colour_jitter_stays_in_range_and_near_one() -> None:
    x = torch.full((500, 3, 4, 4), 0.5)
    made = colour_jitter(x, rng(), 0.1)
    assert float(made.min()) >= 0.5 * 0.81 - 1e-6
    assert float(made.max()) <= 0.5 * 1.21 + 1e-6
    assert float(made.mean()) == pytest.approx(0.5, abs=0.005)
    assert colour_jitter(torch.ones(9, 3, 4, 4), rng(), 0.5).max() <= 1


def test_affine_keeps_a_disc_a_disc_also_in_rectangles() -> None:
    height, width = 32, 36  # so near a square that mirrored borders do not show the disc again
    v, u = torch.meshgrid(torch.arange(height) - 15.5, torch.arange(width) - 17.5, indexing="ij")
    disc = (torch.hypot(u, v) < 5).float().expand(64, 3, height, width)
    made = random_affine(disc, rng())
    weight = made[:, 0] / made[:, 0].sum((1, 2), keepdim=True)
    along = [(weight * axis).sum((1, 2), keepdim=True) for axis in (v, u)]
    spread = [((weight * (axis - c) ** 2).sum((1, 2))).sqrt() for axis, c in zip((v, u), along, strict=True)]
    torch.testing.assert_close(spread[0], spread[1], rtol=0.03, atol=0)
    area = made[:, 0].sum((1, 2)) / disc[0, 0].sum()
    assert 0.7 < float(area.min()) < 0.85
    assert 1.15 < float(area.max()) < 1.45


def test_augmentation_is_drawn_from_the_given_generator_alone() -> None:
    x = torch.rand(8, 3, 8, 8, generator=rng(1))
    one, two, other = (augment(x, rng(s), flips=True, colour=0.1, affine=True) for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(augment(x, rng(), flips=False, colour=0, affine=False), x)


@pytest.mark.parametrize("levels", [5, 10_000])
def test_auc_equals_the_reference_with_and_without_ties(levels: int) -> None:
    draw = np.random.default_rng(levels)
    y = draw.integers(0, 2, 300)
    score = np.round((y + 1.5 * draw.standard_normal(300)) * levels / 5)
    assert binary_auc(y == 1, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)


def test_macro_auc_is_the_mean_over_present_classes() -> None:
    draw = np.random.default_rng(0)
    y = draw.choice([0, 1, 3], 200)
    scores = draw.dirichlet(np.ones(4), 200).astype(np.float32)
    expected = np.mean([roc_auc_score(y == k, scores[:, k]) for k in (0, 1, 3)])
    assert macro_auc(y, scores) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(binary_auc(np.ones(3, bool), np.arange(3.0)))


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    options = TrainOptions(steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(i, options) for i in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] < 1e-3


@pytest.mark.parametrize(
    ("evaluations", "after", "steps"), [(3, 0.7, [80, 90, 100]), (4, 0.0, [25, 50, 75, 100]), (1, 0.5, [100])]
)
def test_val_is_scored_late_and_at_the_end(evaluations: int, after: float, steps: list[int]) -> None:
    options = TrainOptions(steps=100, evaluations=evaluations, select_after=after)
    assert sorted(evaluated_steps(options)) == steps
