"""The whole of ``bench measure`` beside torch-fidelity and prdc on the same files with the same extractor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.extractors import make
from bench.measure import Measured, measure_folders
from bench.store import Store
from bench.testkit import tiny_images

N, SIDE, GRID = 1_500, 64, 26


def pooled(tensor):
    """Features [B, 3 · 26²] of float images [B, 3, 64, 64] in 0..255: about as wide as those of Inception."""
    import torch

    return torch.nn.functional.adaptive_avg_pool2d(tensor, GRID).flatten(1) / 255


class Pooled:
    """The same for this package."""

    identity = f"pooled-{GRID}"

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        import torch

        return pooled(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float()).numpy()


def reference(real: Path, synthetic: Path, extractor: Any, subset: int) -> tuple[dict[str, float], dict[str, float]]:
    """torch-fidelity's FID, KID and precision/recall through its own input pipeline, then prdc on its features."""
    import prdc
    from torch_fidelity import utils
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    options = {"input1": str(synthetic), "input2": str(real), "cuda": False, "batch_size": 64, "verbose": False}
    options |= {"save_cpu_ram": True, "cache": False, "samples_find_deep": False, "samples_find_ext": "png"}
    (name,) = extractor.features_list
    drawn, kept = (utils.extract_featuresdict_from_input_id(i, extractor, **options)[name] for i in (1, 2))
    quiet = {"verbose": False, "save_cpu_ram": True}
    found = fid_statistics_to_metric(*map(fid_features_to_statistics, (drawn.double(), kept.double())), False)
    found |= kid_features_to_metric(drawn, kept, kid_subset_size=subset, **quiet)
    found |= prc_features_to_metric(drawn, kept, **quiet)
    return found, prdc.compute_prdc(kept.numpy(), drawn.numpy(), 5)


def pooled_for_torch_fidelity() -> Any:
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Theirs(FeatureExtractorBase):
        def __init__(self) -> None:
            super().__init__("pooled", ["pooled"])

        @staticmethod
        def get_provided_features_list():
            return ("pooled",)

        @staticmethod
        def can_be_compiled():
            return False

        def forward(self, x):
            return (pooled(x.float()),)

    return Theirs()


def two_folders(place: Path, n: int) -> tuple[Path, Path]:
    """``n`` PNG images of 64 px each."""
    for name, seed in (("real", 0), ("synthetic", 1)):
        (place / name).mkdir()
        for i, image in enumerate(tiny_images(n // 2, size=SIDE, seed=seed).pixels):
            Image.fromarray(image).save(place / name / f"{i:05d}.png")
    return place / "real", place / "synthetic"


def compared(
    sides: tuple[Path, Path], store: Store, theirs: Any, subset: int = 1_000, apart: float = 1e-12
) -> tuple[float, Measured]:
    """How many times faster ``measure_folders`` is, whose numbers are checked to be the same; and what it measured."""
    start = time.perf_counter()
    ours = measure_folders(*sides, extractor="replaced", store=store, failures=False)
    fast, start = time.perf_counter() - start, time.perf_counter()
    found, manifold = reference(*sides, theirs, subset)
    slow = time.perf_counter() - start
    print(f"{ours.n} images a side: {fast:.1f} s, references {slow:.1f} s")
    for name, value in manifold.items():
        assert ours.metrics[name].value == pytest.approx(value, abs=apart)
    se = ours.metrics["kid"].extra["se"]
    assert ours.metrics["kid"].value == pytest.approx(found["kernel_inception_distance_mean"], abs=3 * se)
    # Fewer images than features: the reference's eigenvalues of a singular product carry some 1e-8 each, 2,000 of them.
    assert ours.metrics["fid"].value == pytest.approx(found["frechet_inception_distance"], rel=1e-4, abs=2e-5)
    assert {"copy_rate", "authenticity", "realism"} <= set(ours.metrics)
    return slow / fast, ours


@pytest.mark.slow
@pytest.mark.speed
def test_faster_than_the_references_at_equal_numbers(tmp_path, monkeypatch):
    """Seen on one thread: 2.4. The references give no interval, no floor and no copies; neither looks for failures."""
    pytest.importorskip("torch_fidelity")
    pytest.importorskip("prdc")
    monkeypatch.setattr("bench.measure.make", lambda name, device: Pooled())
    ratio, _ = compared(two_folders(tmp_path, N), Store(tmp_path / "store"), pooled_for_torch_fidelity())
    assert ratio >= 2


@pytest.mark.slow
@pytest.mark.speed
def test_faster_than_the_references_with_the_published_network(tmp_path, monkeypatch, inception_file):
    """The 2015 network with the resize of its first implementation, from files to numbers.

    Two extractors that agree to 1e-5 may disagree on an image that lies on a rim: one of 128 is let pass.
    """
    from tests.extractors.test_inception import read_state, torch_fidelity_extractor

    pytest.importorskip("prdc")
    monkeypatch.setattr(
        "bench.measure.make", lambda name, device: make("inception", device, weights=inception_file, resize="tf1")
    )
    shipped = torch_fidelity_extractor(read_state(inception_file))
    ratio, ours = compared(two_folders(tmp_path, 128), Store(tmp_path / "store"), shipped, 100, 1 / 128)
    assert ours.extractor.startswith("inception")
    assert ratio >= 2
