"""Splits: nothing torn, nothing lost, every class spread as asked, and the same whatever the order of rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import Task
from bench.data.allocate import allocate
from bench.data.base import DataConfig, Prepared
from bench.data.splits import NAMES, SHARES, Splits, make_splits
from bench.errors import DataError, LeakError
from tests.bench.data.samples import prepared_set

CLASSES = Task("classes", ("a", "b", "c"), 1)


def _table(n: int, seed: int, group_size: int = 3, rare: float = 0.2) -> tuple[np.ndarray, list[str]]:
    """Labels (one class a group; ``rare``: share of the third class) and groups of up to ``group_size`` images."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n), rng.integers(1, group_size + 1, n))[:n]
    return rng.choice(3, n, p=[0.7 - rare, 0.3, rare])[groups], [f"L{g}" for g in groups]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    labels, groups = _table(300, 0)
    return prepared_set(tmp_path / "set", labels.tolist(), groups, task=CLASSES)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=200),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_allocation_keeps_groups_whole_and_ignores_row_order(
    rows: list[tuple[int, int]], seed: int, random: object
) -> None:
    groups, labels = np.array([f"g{g}" for g, _ in rows]), np.array([label for _, label in rows])
    dealt = allocate(groups, labels, SHARES, seed, "test")
    assert set(dealt.tolist()) <= set(SHARES)
    assert all(len(set(dealt[groups == g].tolist())) == 1 for g in set(groups.tolist()))
    order = np.array(random.sample(range(len(rows)), len(rows)))  # type: ignore[attr-defined]
    assert np.array_equal(allocate(groups[order], labels[order], SHARES, seed, "test"), dealt[order])


@settings(deadline=None, max_examples=40)
@given(st.integers(100, 1500), st.integers(1, 6), st.integers(0, 1000))
def test_every_class_is_spread_within_two_groups_of_its_share(n: int, group_size: int, seed: int) -> None:
    labels, groups = _table(n, seed, group_size, rare=0.1)
    dealt = allocate(np.array(groups), labels, SHARES, seed, "test")
    for k in range(3):
        total = (labels == k).sum()
        for name, share in SHARES.items():
            if total >= 10 * group_size:  # fewer cannot be shared out 7 : 1 : 1 : 1
                assert abs(((labels == k) & (dealt == name)).sum() - share * total) <= 2 * group_size


@settings(deadline=None, max_examples=15)
@given(st.integers(120, 250), st.integers(0, 3), st.sampled_from(["official", "split"]), st.booleans())
def test_splits_hold_every_image_once_whatever_the_order(n: int, seed: int, test: str, official: bool) -> None:
    labels, groups = _table(n, seed)
    config = DataConfig(split_seed=seed, test=test)  # type: ignore[arg-type]
    parts = np.where(np.array([int(g[1:]) for g in groups]) % 5 == 0, "test", "train") if official else None
    order = np.random.default_rng(seed).permutation(n)
    pixels = np.random.default_rng(1).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    ids = np.array([f"i{i}" for i in range(n)])
    made = []
    for rows in (np.arange(n), order):
        with tempfile.TemporaryDirectory() as folder:
            kept = {"ids": ids[rows], "parts": parts[rows] if parts is not None else None, "pixels": pixels[rows]}
            table = prepared_set(Path(folder), labels[rows], np.array(groups)[rows], task=CLASSES, **kept)  # type: ignore[arg-type]
            splits = make_splits(table, config)
            made.append(splits)
            images = {name: splits.images(table, name) for name in NAMES}
            halves = splits.reserve_halves(table)
        found = np.concatenate([i.ids for i in images.values()])
        unused = splits.ids[splits.split == "unused"]
        assert sorted([*found, *unused]) == sorted(ids)
        assert len(unused) == ((parts == "test").sum() if official and test == "split" else 0)
        for name, part in images.items():
            others = [g for other, i in images.items() if other != name for g in i.groups]
            assert not set(part.groups) & set(others)
        assert sorted([*halves[0].ids, *halves[1].ids]) == sorted(images["reserve"].ids)
        assert not set(halves[0].groups) & set(halves[1].groups)
    assert made[0].checksum == made[1].checksum


def test_seed_changes_the_splits_and_the_same_seed_does_not(prepared: Prepared) -> None:
    first = make_splits(prepared, DataConfig(split_seed=0))
    assert make_splits(prepared, DataConfig(split_seed=0)).checksum == first.checksum
    assert make_splits(prepared, DataConfig(split_seed=1)).checksum != first.checksum


def test_without_official_test_a_share_of_the_groups_is_test(prepared: Prepared) -> None:
    counts = make_splits(prepared, DataConfig(test_fraction=0.25)).counts()
    sizes = {name: sum(by_class.values()) for name, by_class in counts.items()}
    assert sum(sizes.values()) == 300
    assert abs(sizes["test"] - 75) <= 9
    assert abs(sizes["train"] - 0.7 * 225) <= 9


def test_images_have_keys_of_their_own_and_joined_groups(prepared: Prepared) -> None:
    splits = make_splits(prepared, DataConfig())
    keys = {splits.images(prepared, name).key for name in NAMES}
    keys |= {half.key for half in splits.reserve_halves(prepared)}
    assert len(keys) == 7
    other = make_splits(prepared, DataConfig(split_seed=1)).images(prepared, "train")
    assert other.key not in keys


def _with_twins(folder: Path, pairs: list[tuple[int, int]], **columns: object) -> Prepared:
    """200 single-image groups in which the pictures of some rows are the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    for i, j in pairs:
        pixels[j] = pixels[i]
    labels = (np.arange(200) % 4 == 0).astype(int)
    return prepared_set(folder, labels.tolist(), [f"L{i:03d}" for i in range(200)], pixels=pixels, **columns)  # type: ignore[arg-type]


def test_near_duplicates_join_groups(tmp_path: Path) -> None:
    twins = [(i, i + 100) for i in range(100)]
    splits = make_splits(_with_twins(tmp_path, twins), DataConfig())
    for i, j in twins:
        assert splits.split[i] == splits.split[j]
        assert splits.group[j] == f"L{i:03d}"
    assert sum(splits.groups().values()) == 100


def test_training_images_that_show_a_test_image_are_left_out_with_a_note(tmp_path: Path) -> None:
    parts = ["train"] * 150 + ["test"] * 50
    splits = make_splits(_with_twins(tmp_path, [(7, 160), (9, 199)], parts=parts), DataConfig())
    assert splits.split[[7, 9]].tolist() == ["unused", "unused"]
    assert (splits.split[150:] == "test").all()
    assert splits.notes == (
        "2 training images share a lesion or a picture with test images and are left out: im000007, im000009",
    )
    assert splits.counts()["unused"] == {"other": 2, "melanoma": 0}


def test_a_prescribed_split_is_obeyed_but_must_not_tear_a_group(tmp_path: Path) -> None:
    split = np.array(NAMES * 40)
    prepared = _with_twins(tmp_path / "whole", [], split=split)
    assert np.array_equal(make_splits(prepared, DataConfig(split_seed=3)).split, split)
    torn = _with_twins(tmp_path / "torn", [(0, 101)], split=split)
    with pytest.raises(LeakError, match=r"group L000 .* lies in train and val_select"):
        make_splits(torn, DataConfig())


def test_frozen_splits_come_back_and_tampering_is_named(prepared: Prepared, tmp_path: Path) -> None:
    splits = make_splits(prepared, DataConfig(split_seed=2))
    path = tmp_path / "frozen" / "splits.csv"
    splits.write(path)
    back = Splits.read(path)
    assert back.checksum == splits.checksum
    assert all(back.images(prepared, n).key == splits.images(prepared, n).key for n in NAMES)
    assert [h.key for h in back.reserve_halves(prepared)] == [h.key for h in splits.reserve_halves(prepared)]
    text = path.read_text()
    assert text.splitlines()[1] == "id,group,label,split"
    for old, new in (("test", "train"), ('"seed": 2', '"seed": 3'), ("L1,", "L2,")):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(DataError, match=r"splits\.csv: changed since it was frozen"):
            Splits.read(path)


@pytest.mark.parametrize("content", ["", "id,group,label,split\n", "# frozen splits {broken\n", "\x00\xff"])
def test_a_file_that_is_no_frozen_split_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(DataError, match=r"x\.csv: not frozen splits"):
        Splits.read(tmp_path / "x.csv")


def test_names_with_commas_and_quotes_survive(tmp_path: Path) -> None:
    ids = [f'a,"b" {i}' for i in range(120)]
    prepared = prepared_set(tmp_path / "set", [i % 2 for i in range(120)], ids, ids=ids)
    splits = make_splits(prepared, DataConfig())
    splits.write(tmp_path / "s.csv")
    assert Splits.read(tmp_path / "s.csv").ids.tolist() == sorted(ids)


def test_splits_of_other_images_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    splits = make_splits(prepared, DataConfig())
    labels, groups = _table(300, 0)
    ids = ["stranger", *(f"im{i:06d}" for i in range(1, 300))]
    other = prepared_set(tmp_path / "ids", labels.tolist(), groups, ids=ids, task=CLASSES)
    with pytest.raises(DataError, match="stranger is not in the splits"):
        splits.images(other, "train")
    relabelled = prepared_set(tmp_path / "labels", ((labels + 1) % 3).tolist(), groups, task=CLASSES)
    with pytest.raises(DataError, match="another task: im000000 has another label"):
        splits.images(relabelled, "train")


def test_too_few_groups_are_an_error_and_a_class_missing_somewhere_a_note(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="came out empty"):
        make_splits(prepared_set(tmp_path / "few", [0, 0, 1, 1], list("aabb")), DataConfig())
    labels = [1, 1, 1] + [0] * 97
    rare = prepared_set(tmp_path / "rare", labels, [f"g{i}" for i in range(100)])
    splits = make_splits(rare, DataConfig())
    empty = [name for name, counts in splits.counts().items() if not counts["melanoma"]]
    assert empty
    assert list(splits.notes) == [f"no image of class melanoma in split {n}: too few groups of it" for n in empty]
