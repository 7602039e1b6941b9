"""The whole of ``bench measure`` beside torch-fidelity and prdc on the same files with the same extractor."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.measure import measure_folders
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


def reference(real: Path, synthetic: Path) -> tuple[dict[str, float], dict[str, float]]:
    """torch-fidelity's FID, KID and precision/recall through its own input pipeline, then prdc on its features."""
    import prdc
    from torch_fidelity import utils
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

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

    options = {"input1": str(synthetic), "input2": str(real), "cuda": False, "batch_size": 64, "verbose": False}
    options |= {"save_cpu_ram": True, "cache": False, "samples_find_deep": False, "samples_find_ext": "png"}
    drawn, kept = (utils.extract_featuresdict_from_input_id(i, Theirs(), **options)["pooled"] for i in (1, 2))
    quiet = {"verbose": False, "save_cpu_ram": True}
    found = fid_statistics_to_metric(*map(fid_features_to_statistics, (drawn.double(), kept.double())), False)
    found |= kid_features_to_metric(drawn, kept, **quiet)
    found |= prc_features_to_metric(drawn, kept, **quiet)
    return found, prdc.compute_prdc(kept.numpy(), drawn.numpy(), 5)


@pytest.mark.slow
@pytest.mark.speed
def test_faster_than_the_references_at_equal_numbers(tmp_path, monkeypatch):
    """The aim is 2; seen on one thread: 2.2. The references give no interval, no floor and no copies."""
    pytest.importorskip("torch_fidelity")
    pytest.importorskip("prdc")
    for name, seed in (("real", 0), ("synthetic", 1)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(tiny_images(N // 2, size=SIDE, seed=seed).pixels):
            Image.fromarray(image).save(tmp_path / name / f"{i:05d}.png")
    sides = tmp_path / "real", tmp_path / "synthetic"
    monkeypatch.setattr("bench.measure.extractor_called", lambda name, device: Pooled())
    start = time.perf_counter()
    ours = measure_folders(*sides, extractor="pooled", store=Store(tmp_path / "store"))
    fast, start = time.perf_counter() - start, time.perf_counter()
    theirs, manifold = reference(*sides)
    slow = time.perf_counter() - start
    print(f"{N} images a side: {fast:.1f} s, references {slow:.1f} s")
    # Fewer images than features: the reference's eigenvalues of a singular product carry some 1e-8 each, 2,000 of them.
    assert ours.metrics["fid"].value == pytest.approx(theirs["frechet_inception_distance"], abs=2e-5)
    assert ours.metrics["kid"].value == pytest.approx(
        theirs["kernel_inception_distance_mean"], abs=3 * ours.metrics["kid"].extra["se"]
    )
    for name, value in manifold.items():
        assert ours.metrics[name].value == pytest.approx(value, abs=1e-12)
    assert {"copy_rate", "authenticity", "realism"} <= set(ours.metrics)
    assert slow / fast >= 1.8
