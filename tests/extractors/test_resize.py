"""Both resize policies give the bits of the libraries they are named after."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.errors import DataError
from bench.extractors.resize import resize
from tests.extractors.conftest import photographs

SIZES = [(32, 32), (299, 299), (450, 600), (7, 5)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_clean_is_clean_fids(size):
    cleanfid = pytest.importorskip("cleanfid.resize")
    theirs = cleanfid.make_resizer("PIL", False, "bicubic", (299, 299))
    assert np.array_equal(resize(noise(*size), 299, "clean"), theirs(noise(*size)))


@pytest.mark.parametrize("size", SIZES)
def test_tf1_is_torch_fidelitys(size):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    x = torch.from_numpy(noise(*size)).permute(2, 0, 1)[None].float()
    theirs = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    assert np.array_equal(resize(noise(*size), 299, "tf1"), theirs[0].permute(1, 2, 0).numpy())


def test_policies_differ_most_where_images_shrink():
    """Without antialiasing a shrunken checkerboard keeps full contrast; the mean of black and white is grey."""
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    image = np.repeat(board[..., None], 3, axis=-1).astype(np.uint8)
    clean, tf1 = (resize(image, 64, policy)[8:-8, 8:-8] for policy in ("clean", "tf1"))
    assert np.abs(clean - 127.5).max() < 1
    assert np.abs(tf1 - 127.5).min() > 127


def test_values_stay_in_range_and_are_not_rounded():
    found = resize(photographs(1, 3)[0], 299)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.mean(found == np.rint(found)) < 0.5


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_image_is_told(bad):
    with pytest.raises(DataError, match=r"uint8 \[H, W, 3\]"):
        resize(bad, 299)
