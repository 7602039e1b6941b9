"""Semantic maps, superpixels and deformation: against definitions and slow references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from generators.pix2pixhd.deform import moved_ids, moved_masks, random_field, turned
from generators.pix2pixhd.maps import (
    border_ring,
    boundaries,
    map_channels,
    placed_styles,
    regions,
    ring_radius,
    semantic_map,
)
from generators.pix2pixhd.superpixels import connected, lab, slic


def blobs(n: int, size: int = 20, seed: int = 0) -> NDArray[np.bool_]:
    """Random smooth regions, bool [n, size, size]."""
    noise = np.random.default_rng(seed).standard_normal((n, size, size))
    return np.asarray(ndimage.gaussian_filter(noise, (0, 2, 2)) > 0)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_ring_is_dilation_minus_erosion(radius: int) -> None:
    inside = blobs(6)
    found = border_ring(torch.from_numpy(inside)[:, None].float(), radius)[:, 0].numpy() > 0
    square = np.ones((2 * radius + 1,) * 2, dtype=bool)
    for mask, ring in zip(inside, found, strict=True):
        eroded = ndimage.binary_erosion(mask, square, border_value=1)  # nothing is known beyond the image's edge
        assert (ring == (ndimage.binary_dilation(mask, square) & ~eroded)).all()


def test_boundaries_are_pixels_with_another_id_beside_them() -> None:
    ids = np.random.default_rng(0).integers(0, 3, (2, 9, 7))
    found = boundaries(torch.from_numpy(ids)[:, None])[:, 0].numpy()
    for plane, edge in zip(ids, found, strict=True):
        for y, x in np.ndindex(plane.shape):
            beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [plane[p] for p in beside if 0 <= p[0] < 9 and 0 <= p[1] < 7]
            assert edge[y, x] == any(i != plane[y, x] for i in inside)


def test_map_has_the_channels_it_says() -> None:
    masks = torch.from_numpy(np.stack([blobs(4, seed=s) for s in range(3)], axis=1)).to(torch.uint8) * 255
    ids = torch.zeros(4, 1, 20, 20, dtype=torch.int32)
    plain, with_ids = semantic_map(masks, None, 2), semantic_map(masks, ids, 2)
    assert plain.shape[1] == map_channels(3, False) == 5
    assert with_ids.shape[1] == map_channels(3, True) == 6
    assert set(with_ids.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(plain[:, 0] + plain[:, 1], torch.ones(4, 20, 20))
    assert torch.equal(plain[:, 1], (masks[:, 0] > 0).float())
    assert torch.equal(plain[:, 3:], (masks[:, 1:] > 0).float())
    assert torch.equal(with_ids[:, 5:], boundaries((masks[:, :1] > 0).int()))  # the outline alone: one superpixel
    assert torch.equal(regions(plain).sum(dim=1), torch.ones(4, 20, 20))


def test_styles_are_placed_on_their_region() -> None:
    where = regions(semantic_map(torch.from_numpy(blobs(1))[:, None].to(torch.uint8) * 255, None, 1))
    placed = placed_styles(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]), where)
    for region in range(3):
        there = where[0, region] > 0
        assert (placed[0, 0][there] == 2 * region + 1).all()
        assert (placed[0, 1][there] == 2 * region + 2).all()


def test_ring_is_at_least_a_pixel() -> None:
    assert ring_radius((16, 16), 0.04) == 1
    assert ring_radius((256, 256), 0.04) == 10


def test_lab_of_known_colours() -> None:
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]]], dtype=np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(lab(colours)[0], expected, atol=0.05)


def test_superpixels_follow_an_edge_and_are_connected() -> None:
    v, u = np.mgrid[:64, :64]
    inside = np.hypot(u - 30, v - 33) < 17
    noise = np.random.default_rng(0).normal(0, 3, (64, 64, 3))
    image = np.where(inside[..., None], (110, 70, 60), (215, 175, 160)) + noise
    ids = slic(np.clip(image, 0, 255).astype(np.uint8), 60)
    assert 35 <= len(np.unique(ids)) <= 90
    assert ids.max() + 1 == len(np.unique(ids))
    impure = 0
    for k in np.unique(ids):
        share = inside[ids == k].mean()
        impure += int(min(share, 1 - share) * (ids == k).sum())
        assert ndimage.label(ids == k)[1] == 1
    assert impure < 0.01 * inside.size
    assert (slic(np.clip(image, 0, 255).astype(np.uint8), 60) == ids).all()


def test_superpixels_of_a_flat_image_are_the_grid() -> None:
    flat = np.full((32, 48, 3), 128, dtype=np.uint8)
    ids = slic(flat, 24)
    sizes = np.bincount(ids.ravel())
    assert len(sizes) == 24
    assert sizes.min() >= 49
    assert sizes.max() <= 81


def test_small_pieces_join_their_largest_neighbour() -> None:
    ids = np.zeros((6, 8), dtype=np.int64)
    ids[:, 5:] = 1
    ids[2, 2], ids[5, 7] = 1, 2  # a stray pixel of 1 within 0, and a corner of its own
    found = connected(ids, smallest=3)
    assert found.tolist() == [[0] * 5 + [1] * 3] * 6
    assert connected(ids, smallest=1).max() == 3


def test_deformation_of_strength_zero_is_none() -> None:
    field = random_field((12, 9), 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(field, np.indices((12, 9)), atol=1e-9)
    masks = np.moveaxis(blobs(3, 12), 0, -1)[:, :9].astype(np.uint8) * np.uint8(255)
    assert (moved_masks(masks, field) == masks).all()
    ids = np.arange(108, dtype=np.uint16).reshape(12, 9)
    assert (moved_ids(ids, field) == ids).all()


def test_deformed_lesions_differ_and_keep_about_their_size() -> None:
    v, u = np.mgrid[:48, :48] - 23.5
    disc = ((np.hypot(u, v) < 12)[..., None] * 255).astype(np.uint8)
    rng = np.random.default_rng(0)
    moved = [moved_masks(disc, random_field((48, 48), 1.0, rng)) for _ in range(40)]
    areas = np.array([(m > 0).sum() / (disc > 0).sum() for m in moved])
    assert 0.5 < areas.min() < 0.9 < 1.1 < areas.max() < 1.8
    assert all((m != disc).mean() > 0.01 for m in moved)
    assert set(np.unique(np.stack(moved))) == {0, 255}


def test_turns_reach_all_eight_and_only_four_where_sides_differ() -> None:
    square, oblong = np.arange(9).reshape(3, 3, 1), np.arange(12).reshape(3, 4, 1)
    rng = np.random.default_rng(0)
    assert len({turned(square, "dihedral", rng).tobytes() for _ in range(200)}) == 8
    assert len({turned(square, "flips", rng).tobytes() for _ in range(200)}) == 4
    assert {turned(oblong, "dihedral", rng).shape for _ in range(50)} == {(3, 4, 1)}
    assert (turned(square, "none", rng) == square).all()
