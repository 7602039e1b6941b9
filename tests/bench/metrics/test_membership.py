"""Membership inference: arrays with a known answer, and a real denoiser that knows its training images by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.capabilities import HasLoss
from bench.context import StageContext
from bench.errors import ConfigError, DataError
from bench.metrics.membership import measure_membership, membership_inference
from bench.testkit import tiny_images


def test_no_leak_is_found_where_there_is_none():
    rng = np.random.default_rng(0)
    runs = [membership_inference(rng.normal(size=500), rng.normal(size=500), replicates=300) for _ in range(60)]
    assert np.mean([r["membership_auc"].low <= 0.5 <= r["membership_auc"].high for r in runs]) >= 0.87
    assert np.mean([r["membership_tpr01"].low <= 0.01 <= r["membership_tpr01"].high for r in runs]) >= 0.87


def test_few_images_given_away_show_at_low_false_positives():
    """Five of a hundred training images have a tiny loss: AUC hardly moves, the rate at 1 % FPR says 5 %."""
    rng = np.random.default_rng(1)
    train, held_out = rng.uniform(1, 2, 2000), rng.uniform(1, 2, 2000)
    train[:100] = 0.1
    found = membership_inference(train, held_out)
    assert found["membership_auc"].value < 0.55
    rate = found["membership_tpr01"]
    assert rate.low > 0.04
    assert rate.value == pytest.approx(0.06, abs=0.01)
    assert rate.extra["null"] <= 0.01


def test_order_changes_no_bit_and_all_losses_equal_tell_nothing():
    rng = np.random.default_rng(2)
    train, held_out = rng.normal(size=300) - 1, rng.normal(size=200)
    found = membership_inference(train, held_out, replicates=100)
    assert membership_inference(train[rng.permutation(300)], held_out[::-1], replicates=100) == found
    flat = membership_inference(np.ones(300), np.ones(200), replicates=100)
    assert flat["membership_auc"].value == 0.5
    assert flat["membership_tpr01"].value == 0
    assert flat["membership_tpr01"].method.startswith("Clopper-Pearson")


def test_undefined_and_bad_input():
    few = membership_inference(np.zeros(20), np.ones(99), replicates=100)
    assert "needs 100 held-out images, n = 99" in few["membership_tpr01"].reason
    assert few["membership_auc"].value == 1
    assert 0.8 < few["membership_auc"].low < few["membership_auc"].high == 1
    for sides in ((np.zeros(0), np.zeros(200)), (np.zeros(0), np.zeros(0)), (np.zeros(1), np.ones(200))):
        assert membership_inference(*sides, replicates=100)["membership_auc"].reason
    with pytest.raises(DataError, match="losses of train are not finite in 1 of 3 rows; the first is row 1"):
        membership_inference([0.0, np.nan, 1.0], np.zeros(200))
    with pytest.raises(ConfigError, match="fpr"):
        membership_inference([0.0], [1.0], fpr=0)


class OverfittedDenoiser:
    """A two-layer network that predicts flattened 8 px images from noisy ones, trained for long on few of them."""

    def __init__(self) -> None:
        import torch

        torch.manual_seed(0)
        width = 192
        self.net = torch.nn.Sequential(torch.nn.Linear(width, 512), torch.nn.ReLU(), torch.nn.Linear(512, width))

    def _error(self, images, seed, shared=True, level=0.5):
        import torch

        x = torch.from_numpy(np.asarray(images.pixels)).float().reshape(len(images), -1) / 127.5 - 1
        rows = 1 if shared else len(x)
        noise = torch.randn(rows, x.shape[1], generator=torch.Generator().manual_seed(seed))
        return ((self.net(x + level * noise) - x) ** 2).mean(dim=1)

    def fit(self, images, steps: int) -> None:
        import torch

        optimizer = torch.optim.Adam(self.net.parameters(), 2e-3)
        for step in range(steps):
            optimizer.zero_grad()
            self._error(images, step, shared=False).mean().backward()
            optimizer.step()

    def losses(self, images, ctx):
        import torch

        with torch.no_grad():
            return np.mean([self._error(images, s).numpy().astype(np.float64) for s in range(20)], axis=0)


def test_a_denoiser_that_learnt_by_heart_is_caught(tmp_path: Path):
    pytest.importorskip("torch")
    train, held_out = tiny_images(10, size=8, seed=1), tiny_images(120, size=8, seed=2)
    ctx = StageContext(0, tmp_path)
    model = OverfittedDenoiser()
    assert isinstance(model, HasLoss)
    before = measure_membership(model, train, held_out, ctx)
    model.fit(train, 800)
    after = measure_membership(model, train, held_out, ctx)
    assert before["membership_auc"].low < 0.5 < before["membership_auc"].high
    assert after["membership_auc"].low > 0.9
    assert after["membership_auc"].n == 260
