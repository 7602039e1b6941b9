"""The hard invariants raise, and name what broke them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.contracts import Images
from bench.data.invariants import check_disjoint, check_generator_output, check_no_synthetic, check_subset, near_copies
from bench.errors import LeakError
from tests.bench.data.samples import lesion_like

RNG = np.random.default_rng(0)


def _images(n: int, prefix: str, pixels: np.ndarray | None = None, source: str = "real") -> Images:
    drawn = np.stack([lesion_like(RNG, 32) for _ in range(n)]) if pixels is None else pixels
    ids = np.array([f"{prefix}{i}" for i in range(n)])
    return Images(drawn, np.arange(n) % 2, ids, np.char.add("lesion-", ids), ("other", "melanoma"), source)


TRAIN, TEST = _images(120, "train-"), _images(80, "test-")
FRESH = _images(100, "syn-", source="synthetic:honest")


def test_disjoint_sets_pass() -> None:
    check_disjoint(TRAIN, TEST, "train and test")


def test_shared_ids_groups_and_pictures_are_named() -> None:
    with pytest.raises(LeakError, match=r"train and test: 2 shared ids: test-3, test-5"):
        check_disjoint(TRAIN + TEST.take([5, 3]), TEST, "train and test")
    renamed = replace(TEST.take([7]), ids=np.array(["other"]))
    with pytest.raises(LeakError, match=r"1 shared groups: lesion-test-7"):
        check_disjoint(TRAIN + renamed, TEST, "train and test")
    hidden = replace(renamed, groups=np.array(["other"]))
    with pytest.raises(LeakError, match=r"1 near-duplicate pairs: other = test-7"):
        check_disjoint(TRAIN + hidden, TEST, "train and test")
    turned = replace(hidden, pixels=np.ascontiguousarray(np.rot90(hidden.pixels, 1, (1, 2))), key="")
    with pytest.raises(
        LeakError, match=r"1 near-duplicate pairs, mirrored or turned: other = test-7; leave one of each"
    ):
        check_disjoint(TRAIN + turned, TEST, "train and test")


def test_evaluation_sets_are_real() -> None:
    check_no_synthetic(TEST, "test")
    with pytest.raises(LeakError, match=r"test: 100 synthetic images in an evaluation set: syn-0, .* and 95 more"):
        check_no_synthetic(FRESH, "test")
    with pytest.raises(LeakError, match="'synthetic:x', it must be 'real'"):
        check_no_synthetic(replace(TEST, source="synthetic:x"), "test")


def test_mined_ids_come_from_train() -> None:
    check_subset(TRAIN.ids[:5], TRAIN, "round 1")
    check_subset([], TRAIN, "round 1")
    with pytest.raises(LeakError, match=r"round 1: 1 ids .*: test-0"):
        check_subset([*TRAIN.ids[:5], "test-0"], TRAIN, "round 1")


def test_an_honest_generator_and_a_copy_of_train_pass() -> None:
    check_generator_output(FRESH, TEST)
    check_generator_output(_images(120, "syn-", TRAIN.pixels, "synthetic:copy"), TEST)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: np.clip(np.rint(x + RNG.normal(0, 2, x.shape)), 0, 255).astype(np.uint8),
        lambda x: x[:, :, ::-1],
        lambda x: np.rot90(x, 1, (1, 2)),
        lambda x: np.rot90(x[:, ::-1], 3, (1, 2)),
        lambda x: np.clip(np.rint(x * np.array([1.04, 1.0, 0.94])), 0, 255).astype(np.uint8),
    ],
    ids=["exact", "noise 2", "mirrored", "turned", "mirrored and turned", "white balance"],
)
def test_a_test_peeker_is_found(change: object) -> None:
    peeked = np.ascontiguousarray(change(TEST.pixels))  # type: ignore[operator]
    found = near_copies(_images(80, "syn-", peeked, "synthetic:peeker"), TEST)
    assert set(map(tuple, found.pairs.tolist())) >= {(i, i) for i in range(80)}


def test_a_few_copies_among_many_are_found_and_named() -> None:
    mixed = FRESH.pixels.copy()
    mixed[[11, 42]] = TEST.pixels[[3, 77]]
    with pytest.raises(
        LeakError, match=r"synthetic:peeker: 2\.0% of 100 .* \(val\): syn-11 = test-3, syn-42 = test-77"
    ):
        check_generator_output(_images(100, "syn-", mixed, "synthetic:peeker"), TEST, "val")


def test_images_are_compared_at_the_size_they_have() -> None:
    for size in (16, 64):
        drawn = np.stack([lesion_like(RNG, size) for _ in range(30)])
        forbidden, fresh = _images(30, "test-", drawn), np.stack([lesion_like(RNG, size) for _ in range(30)])
        check_generator_output(_images(30, "syn-", fresh, "synthetic:honest"), forbidden)
        with pytest.raises(LeakError, match=r"100\.0%"):
            check_generator_output(_images(30, "syn-", drawn, "synthetic:peeker"), forbidden)
