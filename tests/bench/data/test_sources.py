"""Folder, zip and tar give the same files; damage is named."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.data.decode import BadImage
from bench.data.sources import index_by_stem, open_source
from bench.errors import DataError

FILES = {"a/one.jpg": b"1" * 2000, "a/two.png": b"22" * 700, "three.JPG": b"333"}
HIDDEN = {"__MACOSX/a/._one.jpg": b"x", ".DS_Store": b"y", "a/.hidden.jpg": b"z"}


def _folder(root: Path) -> Path:
    for name, data in {**FILES, **HIDDEN}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def _zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


def _tarred(folder: Path, path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(folder, arcname=".")
    return path


@pytest.fixture
def containers(tmp_path: Path) -> list[Path]:
    folder = _folder(tmp_path / "images")
    return [
        folder,
        _zipped(folder, tmp_path / "images.zip"),
        _tarred(folder, tmp_path / "images.tar", "w"),
        _tarred(folder, tmp_path / "images.tar.gz", "w:gz"),
        _tarred(folder, tmp_path / "images.tar.xz", "w:xz"),
    ]


def test_all_containers_show_the_same_files(containers: list[Path]) -> None:
    for path in containers:
        source = open_source(path)
        assert source.names() == sorted(FILES)
        assert {name: source.read(name) for name in source.names()} == FILES


def test_signature_follows_size_time_and_name_but_not_the_place(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "images")
    before = open_source(folder).signature()
    moved = folder.rename(tmp_path / "elsewhere")
    moved = moved.rename(tmp_path / "images")
    assert open_source(moved).signature() == before
    os.utime(moved / "three.JPG", (1, 1))
    touched = open_source(moved).signature()
    assert touched != before
    (moved / "four.jpg").write_bytes(b"4")
    assert open_source(moved).signature() != touched


def test_a_truncated_tar_is_named(containers: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(containers[2].read_bytes()[:1500])
    with pytest.raises(DataError, match=r"cut\.tar"):
        open_source(cut)


def test_a_tar_that_shrinks_later_gives_bad_images_and_no_crash(containers: list[Path]) -> None:
    source = open_source(containers[2])
    os.truncate(containers[2], 700)
    with pytest.raises(BadImage, match=r"images\.tar ends"):
        [source.read(name) for name in source.names()]


def test_a_damaged_zip_member_is_bad_and_the_others_are_read(containers: list[Path]) -> None:
    data = bytearray(containers[1].read_bytes())
    with zipfile.ZipFile(containers[1]) as archive:
        info = archive.getinfo("a/one.jpg")
        start = info.header_offset + 30 + len(info.filename)
    data[start : start + info.compress_size] = b"\xff" * info.compress_size
    containers[1].write_bytes(bytes(data))
    source = open_source(containers[1])
    with pytest.raises(BadImage, match=r"damaged in images\.zip"):
        source.read("a/one.jpg")
    assert source.read("a/two.png") == FILES["a/two.png"]


@pytest.mark.parametrize("name", ["images.zip", "images.tar", "images.tar.gz"])
def test_an_archive_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>login</html>" * 100)
    with pytest.raises(DataError, match=name):
        open_source(tmp_path / name)


def test_places_that_are_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "x.rar").write_bytes(b"r")
    with pytest.raises(DataError, match="expected a folder or one of"):
        open_source(tmp_path / "x.rar")


def test_files_by_stem_the_first_source_wins(tmp_path: Path) -> None:
    for part in ("p1", "p2"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "ISIC_1.jpg").write_bytes(part.encode())
    (tmp_path / "p2" / "readme.txt").write_text("no image")
    found, again = index_by_stem([open_source(tmp_path / "p1"), open_source(tmp_path / "p2")])
    assert found["ISIC_1"].read() == b"p1"
    assert again == ["ISIC_1"]
    assert list(found) == ["ISIC_1"]


def test_a_broken_link_is_listed_and_bad(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    source = open_source(tmp_path)
    assert source.signature()["files"] == 1
    with pytest.raises(BadImage, match="cannot be read"):
        source.read("gone.jpg")
