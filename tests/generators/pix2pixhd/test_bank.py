"""What new images are drawn from: maps with their superpixels, and styles by smoothed bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import DataError
from generators.pix2pixhd.bank import MapBank, StyleBank, spread


def bank(ids: bool = True, deform: float = 1.0, n: int = 6) -> MapBank:
    """Discs of several sizes off the centre, whose superpixels are the quadrants of the disc."""
    v, u = np.mgrid[:24, :24]
    masks = np.stack([np.hypot(u - 9, v - 12) < 4 + i for i in range(n)])[..., None].astype(np.uint8) * np.uint8(255)
    quadrants = (2 * (u >= 9) + (v >= 12) + 10).astype(np.uint16) * (masks[..., 0] > 0)
    labels = np.arange(n, dtype=np.int64) % 2
    return MapBank(labels, masks, quadrants.astype(np.uint16) if ids else None, "dihedral", deform)


def test_superpixels_move_with_their_mask() -> None:
    maps = bank()
    for i in range(20):
        masks, ids = maps.draw(i % 2, np.random.default_rng(i))
        assert ids is not None
        assert ids.shape == masks.shape[:2]
        inside = masks[..., 0] > 0
        assert ((ids > 0) == inside).mean() > 0.9
        assert set(np.unique(ids[inside])) <= {0, 10, 11, 12, 13}


def test_maps_come_from_their_class_and_repeat_by_seed() -> None:
    maps = bank(ids=False, deform=0.0)
    sizes = {0: {}, 1: {}}
    for label in (0, 1):
        own = {int((m > 0).sum()) for m in maps.masks[maps.labels == label]}
        sizes[label] = {int((maps.draw(label, np.random.default_rng(i))[0] > 0).sum()) for i in range(40)}
        assert sizes[label] == own
    first, again = (bank().draw(0, np.random.default_rng(5))[0] for _ in range(2))
    assert (first == again).all()
    with pytest.raises(DataError, match="no training image of class 2 has a lesion mask"):
        maps.draw(2, np.random.default_rng(0))


def test_a_lesion_is_never_moved_out_of_the_image() -> None:
    corner = np.zeros((1, 24, 24, 1), dtype=np.uint8)
    corner[0, 0, 0] = 255
    maps = MapBank(np.zeros(1, dtype=np.int64), corner, None, "none", 3.0)
    drawn = [maps.draw(0, np.random.default_rng(i))[0] for i in range(60)]
    assert all(m.any() for m in drawn)
    assert any((m != corner[0]).any() for m in drawn)


@pytest.mark.parametrize("ids", [True, False])
def test_bank_survives_storage(ids: bool) -> None:
    maps = bank(ids)
    state = maps.state()
    assert state["bits"].nbytes == maps.masks.size / 8
    again = MapBank.from_state(state, "dihedral", 1.0)
    assert (again.masks == maps.masks).all()
    assert (again.ids is None) == (maps.ids is None)
    for a, b in zip(maps.draw(1, np.random.default_rng(3)), again.draw(1, np.random.default_rng(3)), strict=True):
        assert (a is None and b is None) or (np.asarray(a) == np.asarray(b)).all()


def test_styles_keep_mean_and_covariance_of_their_class_and_copy_none() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 4))
    own = (rng.standard_normal((300, 4)) @ mixing + 5).astype(np.float32)
    other = rng.standard_normal((300, 4)).astype(np.float32)
    looks = StyleBank(np.repeat([0, 1], 300), np.concatenate([other, own]))
    drawn = np.stack([looks.draw(1, rng) for _ in range(6000)])
    scale = own.std(axis=0)
    assert (np.abs(drawn.mean(0) - own.mean(0)) < 4 * scale / np.sqrt(6000) + 1e-3).all()
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(own.T), atol=0.08 * scale.max() ** 2)
    nearest = np.abs(drawn[:200, None] - own[None]).max(axis=2).min(axis=1)
    assert nearest.min() > 0


def test_styles_of_many_numbers_that_vary_together_keep_their_skew() -> None:
    """24 numbers in a line: smoothing follows the one dimension that they fill, h = n^(-1/5) = .32, not .82."""
    rng = np.random.default_rng(0)
    along, direction = rng.exponential(size=300), rng.standard_normal(24)
    looks = StyleBank(np.zeros(300, dtype=np.int64), np.outer(along, direction).astype(np.float32))
    drawn = np.stack([looks.draw(0, rng) for _ in range(4000)]) @ direction / (direction @ direction)

    def skew(x: NDArray[Any]) -> float:
        return float((((x - x.mean()) / x.std()) ** 3).mean())

    expected = skew(along) / (1 + 300 ** (-2 / 5)) ** 1.5
    assert skew(drawn) == pytest.approx(expected, rel=0.15)
    assert expected > 1.5 * skew(along) / (1 + 300 ** (-2 / 28)) ** 1.5


def test_one_image_has_one_style_and_none_is_an_error() -> None:
    single = StyleBank(np.zeros(1, dtype=np.int64), np.array([[0.5, -0.5]], dtype=np.float32))
    assert single.draw(0, np.random.default_rng(0)).tolist() == [0.5, -0.5]
    with pytest.raises(DataError, match="class 1 has a lesion mask"):
        single.draw(1, np.random.default_rng(0))
    assert StyleBank(np.zeros(3, dtype=np.int64), np.zeros((3, 0), dtype=np.float32)).draw(0, None).shape == (0,)  # type: ignore[arg-type]


def test_spread_takes_even_rows_of_each_class() -> None:
    labels = np.array([0] * 10 + [1] * 3, dtype=np.int64)
    assert spread(labels, 4).tolist() == [0, 3, 6, 9, 10, 11, 12]
    assert spread(labels, 99).tolist() == list(range(13))
