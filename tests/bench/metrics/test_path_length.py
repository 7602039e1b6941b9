"""Path length of generators whose value is known: none, linear, linear behind a mapping; and of a convolutional one."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bench.capabilities import CanMapLatents, CanMapStyles
from bench.context import StageContext
from bench.errors import CapabilityError, ConfigError, UndefinedMetric
from bench.metrics.path_length import path_length, slerp, trimmed_mean

SIDE, LATENT = 6, 5
LABELS = np.zeros(400, dtype=np.int64)


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a.astype(np.float64) - b) ** 2).sum(axis=(1, 2, 3))


class Linear:
    """Images A z: d = |A (z1 - z0)|² eps² exactly, without a W space."""

    latent_size = LATENT

    def __init__(self, scale: float = 1.0) -> None:
        self.matrix = scale * np.random.default_rng(0).normal(size=(LATENT, SIDE * SIDE * 3))

    def render_latents(self, z, labels, ctx):
        return (z.astype(np.float64) @ self.matrix).reshape(-1, SIDE, SIDE, 3)


class Styled(Linear):
    """The same behind a linear map to W."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = np.random.default_rng(1).normal(size=(LATENT, LATENT))

    def map_styles(self, z, labels, ctx):
        return z.astype(np.float64) @ self.mapping

    def render_styles(self, w, labels, ctx):
        return Linear.render_latents(self, w, labels, ctx)

    def render_latents(self, z, labels, ctx):
        return self.render_styles(self.map_styles(z, labels, ctx), labels, ctx)


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(0, tmp_path)


def test_constant_generator_has_none(ctx):
    found = path_length(Linear(0.0), LABELS, squared, ctx)
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_linear_generator_in_w_has_its_analytic_value(ctx, sampling):
    """E |A B (z1 - z0)|² = 2 |A B|² (Frobenius), wherever on the straight path."""
    model = Styled()
    expected = 2 * np.sum((model.mapping @ model.matrix) ** 2)
    labels = np.zeros(4000, dtype=np.int64)
    found = path_length(model, labels, squared, ctx, sampling=sampling, trim=(0, 100))
    assert found.extra["name"] == f"ppl2_w{sampling}"
    assert found.low < expected < found.high
    assert found.value == pytest.approx(expected, rel=0.05)


def test_linear_generator_in_z_has_its_analytic_value(ctx):
    """On the great circle of radius sqrt(Z) a step is eps · angle · radius along a unit tangent."""
    model = Linear()
    rng = np.random.default_rng(5)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 200_000, LATENT)))
    angles = np.arccos(np.clip((u * v).sum(axis=1), -1, 1))
    expected = np.mean(angles**2) * np.sum(model.matrix**2)  # E tangent tangentᵀ = I / Z, times radius² = Z
    found = path_length(model, np.zeros(4000, dtype=np.int64), squared, ctx, trim=(0, 100))
    assert found.extra["name"] == "ppl_zend"
    assert found.value == pytest.approx(expected, rel=0.05)
    assert found.low < expected < found.high


def test_trim_is_recorded_and_lowers_a_heavy_tail(ctx):
    plain = path_length(Styled(), LABELS, squared, ctx, trim=(0, 100))
    found = path_length(Styled(), LABELS, squared, ctx)
    assert found.value < plain.value
    assert (found.extra["trim"], found.extra["untrimmed"]) == ([1, 99], plain.value)
    assert "1-99 % kept" in found.method


def test_trimmed_mean_is_the_one_of_the_field_and_its_error_is_right():
    values = np.random.default_rng(0).exponential(size=1000)
    ordered = np.sort(values)
    mean, _, limits = trimmed_mean(values, (1, 99))
    assert limits == (ordered[9], ordered[990])
    assert mean == pytest.approx(ordered[9:991].mean())
    draws = np.random.default_rng(1).exponential(size=(2000, 300))
    found = [trimmed_mean(row, (1, 99)) for row in draws]
    assert np.mean([se for _, se, _ in found]) == pytest.approx(np.std([m for m, _, _ in found]), rel=0.07)


def test_batches_change_nothing_and_the_seed_does(ctx, tmp_path, monkeypatch):
    found = path_length(Styled(), LABELS[:50], squared, ctx)
    other = path_length(Styled(), LABELS[:50], squared, StageContext(1, tmp_path))
    monkeypatch.setattr(import_module("bench.metrics.path_length"), "BATCH", 7)
    assert path_length(Styled(), LABELS[:50], squared, ctx).value == pytest.approx(found.value, rel=1e-12)
    assert other.value != found.value


def test_slerp_stays_on_the_sphere():
    a, b = np.random.default_rng(0).normal(size=(2, 30, 7))
    for t in (0.0, 0.3, 1.0):
        assert np.linalg.norm(slerp(a, b, np.full(30, t)), axis=1) == pytest.approx(np.sqrt(7), rel=1e-6)
    ends = slerp(a, b, np.ones(30))
    assert ends == pytest.approx(b / np.linalg.norm(b, axis=1, keepdims=True) * np.sqrt(7), abs=1e-5)
    assert np.isfinite(slerp(a, a, np.full(30, 0.5))).all()


def test_capabilities_and_bad_input(ctx):
    assert isinstance(Linear(), CanMapLatents)
    assert not isinstance(Linear(), CanMapStyles)
    assert isinstance(Styled(), CanMapStyles)
    with pytest.raises(CapabilityError, match="Linear has no W space"):
        path_length(Linear(), LABELS, squared, ctx, space="w")
    with pytest.raises(CapabilityError, match="object has no latent vector"):
        path_length(object(), LABELS, squared, ctx)
    with pytest.raises(UndefinedMetric, match="n = 19 paths"):
        path_length(Linear(), LABELS[:19], squared, ctx)
    with pytest.raises(ConfigError, match="trim"):
        path_length(Linear(), LABELS, squared, ctx, trim=(99, 1))


def test_smoother_network_has_the_shorter_path_by_lpips(tmp_path):
    """A transposed-convolution generator with LPIPS: contrast halved around grey, the path is shorter."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("lpips")
    from bench.metrics.perceptual import lpips_distance
    from tests.bench.metrics.test_perceptual import drawn_backbone

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(8, 16, 8), torch.nn.Tanh(), torch.nn.ConvTranspose2d(16, 3, 4, stride=4)
    )

    class Small:
        latent_size = 8

        def __init__(self, contrast: float) -> None:
            self.contrast = contrast

        def render_latents(self, z, labels, ctx):
            with torch.no_grad():
                images = net(torch.from_numpy(z)[:, :, None, None]) * self.contrast
            return (127.5 + 127.5 * images).permute(0, 2, 3, 1).numpy()

    distance, ctx = lpips_distance(drawn_backbone("alex"), "alex"), StageContext(0, tmp_path)
    strong, weak = (path_length(Small(c), LABELS[:24], distance, ctx, eps=1e-2) for c in (1.0, 0.2))
    assert 0 < weak.value < strong.value
