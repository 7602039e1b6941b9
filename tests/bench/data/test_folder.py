"""Any folder or table of labelled images, and clear errors where it is none."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.base import DataConfig, Prepared
from bench.data.prepare import prepare
from bench.data.splits import NAMES, make_splits
from bench.errors import ConfigError, DataError
from tests.bench.data.samples import encoded, lesion_like, write_csv

CLASSES = ("mel", "nv", "bkl")


def _images(root: Path, names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(lesion_like(rng)))


def _prepare(root: Path, table: str = "", **change: Any) -> Prepared:
    config = DataConfig(spec=f"folder:{root}{',' + table if table else ''}", resolution=16, **change)
    return prepare(config, root.parent / f"prepared-{len(list(root.parent.iterdir()))}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    _images(root, [f"{c}/{i}.png" for c in CLASSES for i in range(4)])
    return root


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    root = tmp_path / "flat"
    _images(root, [f"im{i}.png" for i in range(10)])
    return root


def _rows(**columns: Any) -> list[dict[str, Any]]:
    cells = {"image": lambda i: f"im{i}.png", "label": lambda i: CLASSES[i % 3], **columns}
    return [{name: make(i) for name, make in cells.items()} for i in range(10)]


def test_class_folders(tree: Path) -> None:
    prepared = _prepare(tree)
    assert prepared.images.ids.tolist() == sorted(f"{c}/{i}" for c in CLASSES for i in range(4))
    assert prepared.task.class_names == ("other", "melanoma")
    assert np.array_equal(prepared.images.labels, np.char.startswith(prepared.images.ids, "mel/"))
    assert any("no groups are given" in note for note in prepared.meta["notes"])
    assert _prepare(tree, task="classes").task.class_names == ("bkl", "mel", "nv")


def test_train_and_test_folders_are_the_official_parts(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    _images(root, [f"{p}/{c}/{i}.png" for p in ("train", "test") for c in CLASSES for i in range(3)])
    prepared = _prepare(root, task="classes")
    assert prepared.task.num_classes == 3
    assert (prepared.table["part"] == "test").sum() == 9


def test_a_zip_gives_the_same_as_its_folder(tree: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as archive:
        for file in tree.rglob("*.png"):
            archive.write(file, file.relative_to(tree))
    assert _prepare(tmp_path / "tree.zip").fingerprint == _prepare(tree).fingerprint


def test_table_with_groups_parts_and_metadata(flat: Path) -> None:
    extra = {"group": lambda i: f"L{i // 2}", "split": lambda i: "test" if i > 7 else "", "age": lambda i: 50 + i}
    write_csv(flat / "list.csv", _rows(**extra, sex=lambda i: "female", image=lambda i: f"./im{i}"))
    prepared = _prepare(flat, "list.csv", options={"group": "patient", "licence": "CC0"})
    assert prepared.images.groups.tolist() == [f"L{i // 2}" for i in range(10)]
    assert prepared.table["part"].tolist() == ["train"] * 8 + ["test"] * 2
    assert prepared.table["age"].tolist() == list(range(50, 60))
    assert (prepared.meta["info"]["group"], prepared.meta["info"]["licence"]) == ("patient", "CC0")
    assert prepared.meta["notes"] == []


def test_full_split_names_are_obeyed(flat: Path) -> None:
    write_csv(flat / "list.csv", _rows(split=lambda i: NAMES[i // 2], label=lambda i: CLASSES[i % 2]))
    splits = make_splits(prepared := _prepare(flat, "list.csv"), DataConfig(split_seed=5))
    assert splits.split.tolist() == [NAMES[i // 2] for i in range(10)]
    assert splits.images(prepared, "reserve").ids.tolist() == ["im6", "im7"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"lable": lambda i: "x"}, r"unknown column 'lable'; is 'label' meant\?"),
        ({"split": lambda i: "validation"}, "line 2: split 'validation' is not one of train"),
        ({"split": lambda i: "val_select" if i else ""}, "line 2: split is empty, but other rows name a full split"),
        ({"label": lambda i: "" if i == 3 else "mel"}, "line 5: label is empty"),
        ({"image": lambda i: "im1.png" if i == 4 else f"im{i}.png"}, r"lines 3 and 6: image im1.png is listed twice"),
        ({"age": lambda i: "old"}, "line 2: age is 'old', not a number"),
        ({"image": lambda i: f"there/im{i}.png"}, "10 of 10 listed train images have no file"),
        ({"label": lambda i: "mole"}, "task 'melanoma' needs positive and other classes"),
    ],
)
def test_tables_that_cannot_be_used_name_the_line(flat: Path, columns: dict[str, Any], message: str) -> None:
    write_csv(flat / "list.csv", _rows(**columns))
    with pytest.raises((DataError, ConfigError), match=message):
        _prepare(flat, "list.csv")


def test_ragged_binary_and_empty_tables_are_named(flat: Path) -> None:
    table = flat / "list.csv"
    for content, message in (
        (b"image,label\nim0.png\n", r"list\.csv, line 2: expected 2 cells as in its head, found 1"),
        (b"image,label\nim0.png,mel,x\n", r"list\.csv, line 2: expected 2 cells as in its head, found 3"),
        (b"image,label\nim0.png,m\xe9l\n", r"list\.csv: not UTF-8"),
        (b"", r"list\.csv: no column 'image'"),
        (b"image,label\n", "no usable image|needs positive"),
    ):
        table.write_bytes(content)
        with pytest.raises((DataError, ConfigError), match=message):
            _prepare(flat, "list.csv")


def test_positive_classes_by_name(tree: Path) -> None:
    prepared = _prepare(tree, options={"positive": ["bkl", "mel"]})
    assert prepared.images.labels.sum() == 8
    with pytest.raises(ConfigError, match="positive class 'mole' is not in the data"):
        _prepare(tree, options={"positive": ["mole"]})


def test_places_that_are_no_data_set(flat: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"im0\.png lies in no class folder"):
        _prepare(flat)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image here"):
        _prepare(tmp_path / "empty")
    with pytest.raises(DataError, match=r"other\.csv: no such table"):
        _prepare(flat, "other.csv")
    with pytest.raises(ConfigError, match="a table needs the folder of its images too"):
        _prepare(tmp_path / "alone.csv")
