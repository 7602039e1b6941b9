"""The prepared set on disk: streamed, checked, and fingerprinted by content."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bench.data.base import load_prepared
from bench.data.duplicates import near_duplicates, stored_duplicates
from bench.data.write import PreparedWriter
from bench.errors import DataError
from tests.bench.data.samples import INFO, MELANOMA, prepared_set

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def _writer(folder: Path, **more: object) -> PreparedWriter:
    return PreparedWriter(folder, MELANOMA, INFO, size=16, preprocessing="drawn", **more)  # type: ignore[arg-type]


def test_blocks_come_back_as_one_memory_mapped_set(tmp_path: Path) -> None:
    masks = RNG.integers(0, 256, (6, 16, 16, 2), dtype=np.uint8)
    with _writer(tmp_path, mask_names=("lesion", "globules")) as writer:
        writer.add(PIXELS[:4], np.array([0, 1, 0, 1]), list("abcd"), list("ggHH"), masks=masks[:4], age=np.arange(4.0))
        writer.add(PIXELS[4:], np.array([1, 0]), list("ef"), list("ef"), "test", masks[4:], sex=["female", "male"])
        writer.note("one note")
    prepared = load_prepared(tmp_path)
    assert isinstance(prepared.images.pixels, np.memmap)
    assert np.array_equal(prepared.images.pixels, PIXELS)
    assert np.array_equal(prepared.images.masks, masks)
    assert prepared.images.ids.tolist() == list("abcdef")
    assert prepared.table["part"].tolist() == ["train"] * 4 + ["test"] * 2
    assert np.isnan(prepared.table["age"][4:]).all()
    assert prepared.table["sex"].tolist() == ["", "", "", "", "female", "male"]
    assert prepared.task == MELANOMA
    assert prepared.meta["notes"] == ["one note"]
    assert prepared.meta["mask_names"] == ["lesion", "globules"]


def test_fingerprint_changes_with_pixel_label_id_group_and_part_and_with_nothing_else(tmp_path: Path) -> None:
    def fingerprint(name: str, **change: object) -> str:
        given = {"labels": [0, 1, 0, 1, 0, 1], "groups": list("aabbcc"), "pixels": PIXELS, **change}
        return prepared_set(tmp_path / name, **given).fingerprint  # type: ignore[arg-type]

    first = fingerprint("first")
    assert fingerprint("again") == first
    assert fingerprint("metadata", age=np.arange(6.0)) == first
    one_pixel = PIXELS.copy()
    one_pixel[3, 5, 5, 1] ^= 1
    changes = {
        "pixel": {"pixels": one_pixel},
        "label": {"labels": [1, 1, 0, 1, 0, 1]},
        "group": {"groups": list("aabbcd")},
        "id": {"ids": list("uvwxyz")},
        "part": {"parts": ["train"] * 5 + ["test"]},
    }
    found = {name: fingerprint(name, **change) for name, change in changes.items()}
    assert len({first, *found.values()}) == 6


def _interrupted(folder: Path) -> None:
    with _writer(folder) as writer:
        writer.add(PIXELS, np.zeros(6, np.int64), list("abcdef"), list("abcdef"))
        raise KeyboardInterrupt


def test_an_interrupted_set_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path)
    assert not (tmp_path / "meta.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": list("abcdea")}, "image id a is there 2 times"),
        ({"ids": ["syn-1", *"bcdef"]}, "syn-"),
        ({"parts": ["train"] * 5 + ["val"]}, "got 'val'"),
        ({"labels": [0, 1, 2, 0, 0, 0]}, "labels must lie in"),
    ],
)
def test_what_cannot_be_a_data_set_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    given = {"labels": [0, 1, 0, 1, 0, 1], "groups": list("aabbcc"), "pixels": PIXELS, **change}
    with pytest.raises(DataError, match=message):
        prepared_set(tmp_path, **given)  # type: ignore[arg-type]
    assert not (tmp_path / "meta.json").exists()


def test_no_image_at_all_names_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jpg: empty file"), _writer(tmp_path) as writer:
        writer.leave_out("a.jpg", "empty file (0 bytes)")


def test_lengths_that_disagree_are_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="age does not have one value"), _writer(tmp_path) as writer:
        writer.add(PIXELS, np.zeros(6, np.int64), list("abcdef"), list("abcdef"), age=[1.0])


def test_memory_stays_at_a_block(tmp_path: Path) -> None:
    writer = PreparedWriter(tmp_path, MELANOMA, INFO, size=128, preprocessing="drawn")
    tracemalloc.start()
    with writer:
        for b in range(24):
            block = RNG.integers(0, 256, (64, 128, 128, 3), dtype=np.uint8)
            writer.add(block, np.arange(64) % 2, [f"{b}-{i}" for i in range(64)], ["g"] * 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * (tmp_path / "pixels.npy").stat().st_size


def test_near_duplicates_are_stored_with_the_set(tmp_path: Path) -> None:
    twice = np.concatenate([PIXELS, PIXELS[:1]])
    prepared = prepared_set(tmp_path, [0] * 7, list("abcdefg"), pixels=twice)
    assert stored_duplicates(prepared).tolist() == [[0, 6]]
    assert near_duplicates(prepared.images.pixels, prepared.table["hash"]).pairs.tolist() == [[0, 6]]
    assert json.loads((tmp_path / "meta.json").read_text())["hash"] == "dct-sign-63"
