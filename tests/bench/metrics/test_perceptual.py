"""LPIPS through the network of the package with drawn backbone weights, and the diversity it measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import ConfigError, DataError
from bench.metrics.perceptual import class_diversity, lpips_distance, perceptual_diversity
from bench.testkit import tiny_images


def drawn_backbone(net: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of torchvision's network drawn by its own initialisation: same shapes and names as the trained ones."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(seed)
    features = {"alex": models.alexnet, "vgg": models.vgg16}[net](weights=None).features
    return {f"features.{name}": value.numpy() for name, value in features.state_dict().items()}


@pytest.fixture(scope="module")
def alex() -> lpips_distance:
    pytest.importorskip("lpips")
    return lpips_distance(drawn_backbone("alex"), "alex")


def l2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(((a - b) ** 2).mean(axis=(1, 2, 3)))


def test_same_numbers_as_the_package(alex):
    """The package's own module with the same backbone, on images scaled to -1..1."""
    import lpips
    import torch
    import torchvision

    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = drawn_backbone("alex")
    features = torchvision.models.alexnet(weights=None).features
    features.load_state_dict({k.removeprefix("features."): torch.from_numpy(v) for k, v in weights.items()})
    for own, theirs in zip(reference.net.parameters(), features.parameters(), strict=True):
        own.data.copy_(theirs.data)
    a, b = (tiny_images(3, size=64, seed=s).pixels.astype(np.float32) for s in (0, 1))
    tensors = (torch.from_numpy(x.transpose(0, 3, 1, 2)) / 127.5 - 1 for x in (a, b))
    with torch.no_grad():
        expected = reference(*tensors).flatten().numpy()
    assert alex(a, b) == pytest.approx(expected, rel=1e-5)
    assert np.all(alex(a, a) == 0)
    assert np.all(expected > 1e-3)


@pytest.mark.parametrize("n", [12, 60])
def test_rows_give_the_same_distances_as_pairs(alex, n):
    """All pairs of few images, and the pairs of a circle: one look at each image, the same mean."""
    pixels = tiny_images(n // 2, size=40).pixels
    one_by_one = perceptual_diversity(pixels, lambda a, b: alex(a, b))
    by_rows = perceptual_diversity(pixels, alex)
    assert by_rows.value == pytest.approx(one_by_one.value, rel=1e-5)
    assert by_rows.extra["se"] == pytest.approx(one_by_one.extra["se"], rel=1e-4)
    assert by_rows.extra["pairs"] == one_by_one.extra["pairs"]


def test_weights_from_a_file_and_their_digest(alex, tmp_path: Path):
    from safetensors.numpy import save_file

    weights = {k: np.ascontiguousarray(v) for k, v in drawn_backbone("alex").items()}
    save_file(weights, tmp_path / "alex.safetensors")
    assert lpips_distance(tmp_path / "alex.safetensors", "alex").identity == alex.identity
    assert lpips_distance(drawn_backbone("alex", seed=1), "alex").identity != alex.identity
    with pytest.raises(ConfigError, match=r"no\.safetensors: no such file"):
        lpips_distance(tmp_path / "no.safetensors", "alex")
    del weights["features.3.bias"]
    with pytest.raises(ConfigError, match=r"tensor 'features\.3\.bias' is missing, expected \(192,\)"):
        lpips_distance(weights, "alex")
    with pytest.raises(ConfigError, match="'resnet' is unknown"):
        lpips_distance(weights, net="resnet")


def test_weights_of_the_cache(tmp_path: Path, monkeypatch):
    """What `bench weights fetch lpips-vgg` keeps is the backbone of LPIPS (vgg)."""
    from safetensors.numpy import save_file

    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(ConfigError, match="bench weights fetch lpips-vgg"):
        lpips_distance()
    with pytest.raises(ConfigError, match="bench weights fetch lpips-alex"):
        lpips_distance(net="alex")
    weights = {k: np.ascontiguousarray(v) for k, v in drawn_backbone("vgg").items()}
    (tmp_path / "lpips-vgg").mkdir()
    save_file(weights, tmp_path / "lpips-vgg" / "weights.safetensors")
    distance = lpips_distance()
    assert distance.identity == lpips_distance(weights).identity
    a, b = (tiny_images(1, size=32, seed=s).pixels.astype(np.float32) for s in (0, 1))
    assert np.all(distance(a, b) > 0)
    assert np.all(distance(a, a) == 0)


def test_images_too_small_for_the_network(alex):
    with pytest.raises(DataError, match="at least 32 px, got 16 x 16"):
        alex(*[np.zeros((1, 16, 16, 3), dtype=np.float32)] * 2)


def test_diversity_of_reals_of_few_and_of_one(alex):
    images = tiny_images(15, size=32)
    reals = perceptual_diversity(images.pixels, alex, partners=4)
    repeated = perceptual_diversity(np.repeat(images.pixels[:3], 10, axis=0), alex, partners=29)
    collapsed = perceptual_diversity(np.repeat(images.pixels[:1], 10, axis=0), alex)
    assert 0 < reals.low < reals.value < reals.high
    assert (reals.n, reals.extra["pairs"]) == (30, 60)
    assert repeated.value < reals.value
    assert (collapsed.value, collapsed.low, collapsed.high) == (0, 0, 0)
    assert reals.extra["distance"].startswith("lpips-alex-0.1:")


def test_order_of_images_changes_no_bit():
    pixels = tiny_images(20, size=16).pixels
    order = np.random.default_rng(0).permutation(40)
    assert perceptual_diversity(pixels[order], l2, partners=6) == perceptual_diversity(pixels, l2, partners=6)


def test_interval_covers_the_diversity_of_the_population():
    population = tiny_images(700, size=8).pixels
    rng = np.random.default_rng(0)
    truth = perceptual_diversity(population, l2, partners=60).value
    draws = [population[rng.choice(1400, 40, replace=False)] for _ in range(150)]
    found = [perceptual_diversity(rows, l2, partners=10) for rows in draws]
    assert np.mean([e.low <= truth <= e.high for e in found]) == pytest.approx(0.95, abs=0.05)


def test_classes_by_themselves_and_what_is_undefined():
    images = tiny_images((20, 3), size=16)
    found = class_diversity(images.pixels, images.labels, images.class_names, l2, partners=5)
    assert list(found) == ["lpips_diversity", "lpips_diversity[other]", "lpips_diversity[melanoma]"]
    assert found["lpips_diversity[other]"].value < found["lpips_diversity"].value
    assert "4 cases and n = 3" in found["lpips_diversity[melanoma]"].reason
    with pytest.raises(DataError, match="shape"):
        perceptual_diversity(images.pixels, lambda a, b: np.zeros(1), partners=5)
    with pytest.raises(DataError, match="negative number or NaN"):
        perceptual_diversity(images.pixels, lambda a, b: np.full(len(a), np.nan), partners=5)
