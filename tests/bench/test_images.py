"""Images: views, keys, joins, and clear errors for what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import Images, concatenate
from bench.folds import grouped_folds
from bench.pixels import PixelView


def make(n: int = 12, seed: int = 0, classes: int = 2, per_group: int = 2) -> Images:
    rng = np.random.default_rng(seed)
    return Images(
        pixels=rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8),
        labels=np.arange(n, dtype=np.int64) // per_group % classes,
        ids=np.array([f"i{seed}-{i}" for i in range(n)]),
        groups=np.array([f"g{i // per_group}" for i in range(n)]),
        class_names=tuple("abcdefg"[:classes]),
    )


@given(st.lists(st.integers(0, 29), max_size=40), st.integers(0, 2**16))
@settings(max_examples=50, deadline=None)
def test_a_view_indexes_like_the_joined_array(rows: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, 256, (n, 2, 2, 3), dtype=np.uint8) for n in (10, 5, 15)]
    whole, view = np.concatenate(parts), PixelView(parts)
    index = np.array(rows, dtype=np.int64)
    assert np.array_equal(view[index], whole[index])
    assert np.array_equal(view.take(index)[:], whole[index])
    assert np.array_equal(view[3:17], whole[3:17])
    assert np.array_equal(view[-1], whole[-1])


def test_memory_maps_stay_on_disk(tmp_path: Path) -> None:
    images = make()
    np.save(tmp_path / "p.npy", images.pixels)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    lazy = Images(mapped, images.labels, images.ids, images.groups, images.class_names)
    taken = lazy.take([3, 1]) + images.take([0])
    assert isinstance(taken.pixels, PixelView)
    assert np.array_equal(taken.pixels[:], images.pixels[[3, 1, 0]])
    assert lazy.key == images.key


def test_keys_follow_content_and_order() -> None:
    images = make()
    assert images.key == make().key
    assert images.take([0, 1]).key != images.take([1, 0]).key
    assert (images.take([0]) + images.take([1])).key != (images.take([1]) + images.take([0])).key
    changed = make()
    changed.pixels[0, 0, 0, 0] ^= 1
    assert Images(changed.pixels, images.labels, images.ids, images.groups, images.class_names).key != images.key


def test_boolean_index_and_counts() -> None:
    images = make()
    part = images.take(images.labels == 1)
    assert part.counts().tolist() == [0, 6]
    assert set(part.ids) <= set(images.ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": np.zeros((12, 4, 4, 3), dtype=np.float32)}, "uint8"),
        ({"ids": np.array(["a"])}, "ids has 1 rows"),
        ({"labels": np.full(12, 2)}, r"0\.\.1"),
    ],
)
def test_bad_images_are_refused(change: dict, message: str) -> None:
    images = make()
    fields = {"pixels": images.pixels, "labels": images.labels, "ids": images.ids, "groups": images.groups}
    with pytest.raises(ValueError, match=message):
        Images(**{**fields, **change}, class_names=images.class_names)


def test_images_of_different_tasks_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different tasks"):
        concatenate([make(classes=2), make(classes=3)])


@given(st.integers(2, 5), st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_folds_never_tear_a_group_and_do_not_depend_on_row_order(folds: int, seed: int, per_group: int) -> None:
    images = make(60, seed=seed, per_group=per_group)
    fold = grouped_folds(images, folds, seed)
    for g in np.unique(images.groups):
        assert len(set(fold[images.groups == g])) == 1
    order = np.random.default_rng(seed).permutation(len(images))
    assert np.array_equal(grouped_folds(images.take(order), folds, seed), fold[order])
    counts = np.array([[np.sum((fold == k) & (images.labels == c)) for c in range(2)] for k in range(folds)])
    assert (counts.max(0) - counts.min(0)).max() <= 2 * per_group


def test_too_few_groups_for_the_folds() -> None:
    with pytest.raises(ValueError, match="at least as many groups"):
        grouped_folds(make(4), 3, 0)
