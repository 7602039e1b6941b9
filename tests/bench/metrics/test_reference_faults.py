"""What other packages get wrong, pinned beside what is right here.

The float32 precision and recall of torch-fidelity on features with an offset are in ``test_neighbours``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import metrics
from bench.extractors.plain import Pixels
from bench.metrics import folders
from bench.store import Store
from bench.testkit import tiny_images


def authenticity_as_published(real: np.ndarray, synthetic: np.ndarray) -> float:
    """The code of Alaa et al. and of synthcity: of each real image it finds the nearest synthetic one, and then reads
    the real-to-real distance at the position of that synthetic image."""
    wide = (z.astype(np.float64) for z in (real, synthetic))
    x, z = wide
    to_real = metrics.neighbours.k_nearest(x, x, same=True).distance[:, 0]
    to_synthetic, position = metrics.neighbours.k_nearest(x, z)
    return float(np.mean(to_real[position[:, 0]] < to_synthetic[:, 0]))


def test_authenticity_reads_one_array_with_the_index_of_another(golden_set):
    """The published code's number is the stored one; it moves when the synthetic images are put in another order."""
    expected, arrays = golden_set
    real, synthetic = arrays["train"], arrays["gen"]
    theirs = expected["authenticity"]["alaa_synthcity_code_fraction"]
    if isinstance(theirs, str):
        assert len(synthetic) > len(real)
        with pytest.raises(IndexError):
            authenticity_as_published(real, synthetic)
        assert 0 <= metrics.authenticity(real, synthetic) <= 1
        return
    assert authenticity_as_published(real, synthetic) == pytest.approx(theirs, abs=1e-12)
    orders = [np.random.default_rng(s).permutation(len(synthetic)) for s in range(5)]
    ours = {metrics.authenticity(real, synthetic[order]) for order in orders}
    assert ours == {metrics.authenticity(real, synthetic)}
    if not np.array_equal(real, synthetic):
        assert len({authenticity_as_published(real, synthetic[order]) for order in orders}) > 1


def test_identical_models_do_not_differ():
    """A public implementation of DeLong's test divides 0 by 0 here and reports p = 0."""
    from bench.stats import delong_paired

    rng = np.random.default_rng(0)
    y, score = np.arange(300) % 3 == 0, rng.normal(size=300)
    ours = delong_paired(y, score, score)
    assert (ours.difference, ours.z, ours.p) == (0, 0, 1)
    assert delong_paired(y, score, 2 * score + 1).p == 1


def test_cache_by_name_is_stale_and_cache_by_content_is_not(tmp_path: Path):
    """torch-fidelity keeps features under a name that the caller gives: other images under that name get the old ones.

    Its own extractor interface, input and cache are used; the features are the mean of each channel.
    """
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import utils
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Means(FeatureExtractorBase):
        def __init__(self) -> None:
            super().__init__("channel-means", ["means"])

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("means",)

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x.float().mean(dim=(2, 3)),)  # [B, 3]

    class Rows(torch.utils.data.Dataset):
        def __init__(self, images: torch.Tensor) -> None:
            self.images = images

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, i: int) -> torch.Tensor:
            return self.images[i]

    def theirs(pixels: np.ndarray) -> np.ndarray:
        images = Rows(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
        options = {"input1": images, "input1_cache_name": "mine", "cache_root": str(tmp_path / "fidelity")}
        options |= {"cache": True, "cuda": False, "batch_size": 4, "verbose": False, "save_cpu_ram": True}
        return utils.extract_featuresdict_from_input_id_cached(1, Means(), **options)["means"].numpy()

    def ours(pixels: np.ndarray) -> np.ndarray:
        from PIL import Image

        shutil.rmtree(tmp_path / "images", ignore_errors=True)
        (tmp_path / "images").mkdir()
        for i, image in enumerate(pixels):
            Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
        listing = folders.list_images(tmp_path / "images")
        return np.asarray(folders.feature_set(listing, Pixels(), None, Store(tmp_path / "s")).features)

    first, second = (np.asarray(tiny_images(4, size=16, seed=s).pixels) for s in (0, 1))
    before = theirs(first)
    assert np.array_equal(theirs(second), before)  # stale: these are the features of other images
    assert not np.allclose(second.mean(axis=(1, 2)), before)
    assert np.array_equal(ours(first), metrics.pixel_features(first))
    assert np.array_equal(ours(second), metrics.pixel_features(second))
