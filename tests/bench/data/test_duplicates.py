"""Near-duplicates: found whatever was done to them, and only they."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from bench.data.decode import Recipe
from bench.data.duplicates import (
    hash_of,
    hash_pairs,
    join_groups,
    low_frequencies,
    near_duplicates,
    perceptual_hash,
    thumbnails,
    turn,
)
from tests.bench.data.samples import encoded, lesion_like

RNG = np.random.default_rng(0)
LESIONS = np.stack([lesion_like(RNG, 96) for _ in range(60)])


def _each(change: object) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(x))) for x in LESIONS])  # type: ignore[operator]


def _warm(picture: Image.Image) -> np.ndarray:
    return np.clip(np.asarray(picture) * np.array([1.05, 1.0, 0.88]) + 6, 0, 255).astype(np.uint8)


def _recompressed(picture: Image.Image) -> np.ndarray:
    return Recipe(96).image(encoded(np.asarray(picture), "JPEG", quality=60))[0]


def test_distinct_lesions_are_no_duplicates() -> None:
    assert len(near_duplicates(LESIONS, perceptual_hash(LESIONS))) == 0


@pytest.mark.parametrize("change", [_warm, _recompressed, lambda p: p.filter(ImageFilter.GaussianBlur(1))])
def test_colour_balance_compression_and_blur_do_not_hide_a_duplicate(change: object) -> None:
    both = np.concatenate([LESIONS, _each(change)])
    found = near_duplicates(both, perceptual_hash(both))
    assert found.pairs.tolist() == [[i, i + 60] for i in range(60)]


def test_exact_copies_have_no_distance() -> None:
    both = np.concatenate([LESIONS, LESIONS[:5]])
    found = near_duplicates(both, perceptual_hash(both))
    assert found.pairs.tolist() == [[i, i + 60] for i in range(5)]
    assert not found.rms.any()
    np.testing.assert_allclose(found.correlation, 1, atol=1e-5)


def test_the_hash_hardly_depends_on_the_resolution() -> None:
    large = perceptual_hash(LESIONS)
    small = perceptual_hash(np.stack([Recipe(32).image(encoded(x))[0] for x in LESIONS]))
    assert np.bitwise_count(large ^ small).max() <= 4


@pytest.mark.parametrize("symmetry", range(8))
def test_hash_of_a_turned_image_without_turning_it(symmetry: int) -> None:
    turned = turn(LESIONS.astype(np.float32), symmetry).astype(np.uint8)
    computed = hash_of(low_frequencies(LESIONS), symmetry)
    assert np.bitwise_count(perceptual_hash(turned) ^ computed).max() <= 2  # a coefficient at the median may round over


def test_the_eight_symmetries_differ() -> None:
    seen = {turn(LESIONS[:1].astype(np.float32), s).tobytes() for s in range(8)}
    assert len(seen) == 8


def test_thumbnails_are_area_averages() -> None:
    found = thumbnails(LESIONS, np.array([3, 1]))
    expected = LESIONS[[3, 1]].reshape(2, 32, 3, 32, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.array_equal(thumbnails(LESIONS[:, :20, :20], np.array([0]))[0], LESIONS[0, :20, :20])


def test_pictures_without_structure_match_nothing_but_their_own_colour() -> None:
    flat = np.stack([np.full((32, 32, 3), v, dtype=np.uint8) for v in (0, 100, 200)])
    candidates = np.array([[0, 1], [0, 2], [1, 2]])
    from bench.data.duplicates import matches

    assert len(matches(flat, flat, candidates)) == 0
    assert len(matches(flat, flat, np.array([[1, 1]]))) == 1


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.integers(0, 64))
def test_hash_pairs_are_all_within_the_distance(values: list[int], distance: int) -> None:
    hashes = np.array(values, dtype=np.uint64)
    expected = [[i, j] for i, a in enumerate(values) for j, b in enumerate(values) if (a ^ b).bit_count() <= distance]
    assert hash_pairs(hashes, hashes, distance).tolist() == expected


@given(st.lists(st.integers(0, 8), min_size=1, max_size=25), st.data())
def test_joined_groups_are_the_connected_components(groups: list[int], data: st.DataObject) -> None:
    row = st.integers(0, len(groups) - 1)
    pairs = data.draw(st.lists(st.tuples(row, row), max_size=10))
    names = np.array([f"g{g}" for g in groups])
    joined = join_groups(names, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    expected = {i: {i} | {j for j in range(len(groups)) if groups[i] == groups[j]} for i in range(len(groups))}
    for _ in groups:
        for i, j in pairs:
            merged = set().union(*(expected[k] for k in expected[i] | expected[j]))
            for k in merged:
                expected[k] = merged
    for i, members in expected.items():
        assert joined[i] == min(names[list(members)])
