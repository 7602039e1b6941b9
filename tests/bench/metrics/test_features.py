"""Pixel features, orientations and the colour floor, on drawn and on real dermoscopy images."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.contracts import Images
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics import (
    colour_features,
    colour_floor,
    copy_rate,
    nearest,
    nn_ratio,
    pixel_features,
    symmetric_features,
)
from bench.metrics.features import area_matrix, orientations, thumbnails
from bench.pixels import PixelView
from bench.stats import auc


def speckle(n: int, side: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_area_mean_of_whole_blocks():
    pixels = speckle(5, 32)
    expected = pixels.reshape(5, 8, 4, 8, 4, 3).mean(axis=(2, 4)) / 255
    assert thumbnails(pixels, 8) == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 70), st.integers(1, 40))
def test_area_weights_keep_the_mean(source, target):
    weights = area_matrix(source, target)
    assert weights.sum(axis=1) == pytest.approx(np.ones(target))
    assert weights.sum(axis=0) == pytest.approx(np.full(source, target / source))


def test_block_size_and_memory_map_change_no_bit(tmp_path, monkeypatch):
    pixels = speckle(40)
    np.save(tmp_path / "p.npy", pixels)
    mapped = PixelView([np.load(tmp_path / "p.npy", mmap_mode="r")])
    whole, colours = pixel_features(pixels, 7), colour_features(pixels)
    monkeypatch.setattr("bench.metrics.features.BLOCK", 3)
    assert np.array_equal(pixel_features(mapped, 7), whole)
    assert np.array_equal(colour_features(mapped), colours)
    assert whole.dtype == np.float32
    assert whole.shape == (40, 147)


def test_eight_orientations_form_the_group():
    pixels = speckle(1, 6)
    seen = {np.asarray(o[0:1]).tobytes() for o in orientations(pixels)}
    assert len(seen) == 8
    again = {np.asarray(o[0:1]).tobytes() for turned in orientations(pixels) for o in orientations(turned)}
    assert again == seen
    assert np.array_equal(orientations(pixels)[0][:], pixels)
    assert np.array_equal(orientations(pixels)[3][0], orientations(pixels)[3][0:1][0])


def test_distance_to_train_forgets_how_an_image_was_turned():
    train = speckle(30, seed=1)
    features = pixel_features(train, 12)
    for turned in orientations(train):
        found = nearest(symmetric_features(turned[:], lambda p: pixel_features(p, 12)), features)
        assert np.array_equal(found.rows, np.arange(30))
        assert found.distances.max() < 1e-5
    assert nearest(pixel_features(orientations(train)[1], 12), features).distances.min() > 0.5


def test_images_that_cannot_be_turned():
    with pytest.raises(DataError, match="24 x 20"):
        symmetric_features(speckle(2)[:, :, :20])
    with pytest.raises(ConfigError, match="side"):
        pixel_features(speckle(2), 0)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_colour_features_are_mean_and_sd(seed):
    pixels = speckle(3, 9, seed)
    flat = pixels.reshape(3, -1, 3).astype(np.float64)
    expected = np.concatenate([flat.mean(axis=1), flat.std(axis=1)], axis=1)
    assert colour_features(pixels) == pytest.approx(expected, abs=1e-9)
    assert np.all(colour_features(np.full((1, 4, 4, 3), 77, np.uint8))[0, 3:] == 0)


def coloured(n: int, seed: int, gap: float) -> Images:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    shade = 150 - gap * labels + rng.normal(0, 10, n)
    pixels = np.clip(shade[:, None, None, None] + rng.normal(0, 20, (n, 8, 8, 3)), 0, 255).astype(np.uint8)
    names = np.array([f"{seed}-{i}" for i in range(n)])
    return Images(pixels, labels.astype(np.int64), names, names, ("benign", "melanoma"))


def test_colour_floor_sees_colour_and_only_colour():
    train, test = coloured(1500, 0, 15), coloured(1500, 1, 15)
    scores = colour_floor(train, test, 1)
    assert scores.shape == (1500,)
    assert auc(test.labels == 1, scores) == pytest.approx(0.856, abs=0.03)  # Phi(15 / (10 sqrt 2))
    assert auc(test.labels == 1, colour_floor(train, test, 0)) < 0.2
    assert np.array_equal(scores, colour_floor(train, test, 1))


def test_colour_floor_needs_both_classes():
    train = coloured(50, 0, 10)
    with pytest.raises(UndefinedMetric, match="one class"):
        colour_floor(train.take(train.labels == 1), train, 1)


def read_tar(path: Path, wanted: dict[str, int], side: int = 64) -> Images:
    """Images of a tar whose name is in ``wanted`` (name -> label), reduced to ``side`` pixels."""
    pixels, labels, names = [], [], []
    with tarfile.open(path) as tar:
        for member in tar:
            name = Path(member.name).stem
            if name in wanted:
                picture = Image.open(io.BytesIO(tar.extractfile(member).read()))  # type: ignore[union-attr]
                pixels.append(np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BOX)))
                labels.append(wanted[name])
                names.append(name)
    ids = np.array(names)
    return Images(np.stack(pixels), np.array(labels, np.int64), ids, ids, ("rest", "melanoma"))


@pytest.fixture(scope="module")
def dermoscopy(real_data_dir: Path) -> tuple[Images, Images]:
    """(every third HAM10000 image, one a lesion; the ISIC 2018 test images)."""
    with (real_data_dir / "ham10000" / "HAM10000_metadata.csv").open() as file:
        lesions = {row["lesion_id"]: row for row in csv.DictReader(file)}
    train = {row["image_id"]: int(row["dx"] == "mel") for row in list(lesions.values())[::3]}
    folder = real_data_dir / "isic2018_task3_test"
    with (folder / "ISIC2018_Task3_Test_GroundTruth.csv").open() as file:
        test = {row["image"]: int(float(row["MEL"])) for row in csv.DictReader(file)}
    return (
        read_tar(real_data_dir / "ham10000" / "HAM10000_images.tar", train),
        read_tar(folder / "ISIC2018_Task3_Test_Input.tar", test),
    )


@pytest.mark.realdata
@pytest.mark.slow
def test_colour_alone_tells_melanoma(dermoscopy):
    train, test = dermoscopy
    found = auc(test.labels == 1, colour_floor(train, test, 1))
    assert 0.77 <= found <= 0.85


@pytest.mark.realdata
@pytest.mark.slow
def test_flipped_and_noised_copies_of_real_images_are_found(dermoscopy):
    """Only the eight orientations see through a flip: without them such a copy passes the ratio test."""
    train, test = dermoscopy
    rng = np.random.default_rng(0)
    reals = pixel_features(train.pixels)
    chosen = np.asarray(train.pixels[:300])[:, :, ::-1]
    copies = np.clip(chosen + rng.normal(0, 2, chosen.shape), 0, 255).astype(np.uint8)
    seen, unseen = nn_ratio(reals, symmetric_features(copies)), nn_ratio(reals, pixel_features(copies))
    assert np.median(seen) < 0.2
    assert np.median(unseen) > 0.9
    half, rest = np.asarray(test.pixels[:750]), np.asarray(test.pixels[750:])
    null, oracle = symmetric_features(half), symmetric_features(rest)
    assert copy_rate(reals, null, symmetric_features(copies)) > 0.97
    assert copy_rate(reals, null, oracle) <= 0.01 + 3 * np.sqrt(2 * 0.01 * 0.99 / 750)
