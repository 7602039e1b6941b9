"""The official layout in all its packings, and every way in which a download goes wrong."""

from __future__ import annotations

import csv
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts import Images
from bench.data.base import DataConfig, Prepared, load_prepared
from bench.data.prepare import prepare, resolve, source_key
from bench.data.splits import make_splits
from bench.errors import ConfigError, DataError
from tests.bench.data.samples import encoded, ham_layout, lesion_like, write_csv

IMAGES = Path("HAM10000_images_part_1")
FIRST = "ISIC_0024306"


@pytest.fixture
def official(tmp_path: Path) -> Path:
    root = tmp_path / "ham"
    ham_layout(root)
    return root


def _prepare(root: Path, **change: Any) -> Prepared:
    config = DataConfig(spec=f"ham10000:{root}", resolution=16, **change)
    return prepare(config, root.parent / f"prepared-{len(list(root.parent.iterdir()))}")


def _pack(root: Path, name: str, form: str) -> None:
    folder = root / name
    if form == "zip":
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, f"{name}/{file.name}")
    else:
        with tarfile.open(root / f"{name}.{form}", "w:gz" if form.endswith("gz") else "w") as archive:
            archive.add(folder, arcname=".")
    shutil.rmtree(folder)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_table_columns_masks_groups_and_parts(official: Path) -> None:
    prepared = _prepare(official)
    table, images = prepared.table, prepared.images
    assert len(images) == 30
    assert (table["part"] == "train").sum() == 24
    assert images.ids[0] == FIRST
    assert np.unique(images.groups[:24], return_counts=True)[1].tolist() == [2] * 12
    assert (images.groups[24:] == images.ids[24:]).all()
    assert np.array_equal(images.labels, table["dx"] == "mel")
    assert np.isnan(table["age"][0])
    assert table["age"][1] == 41
    assert table["site"][:2].tolist() == ["back", "back"]
    assert table["has_mask"].tolist() == [1] * 24 + [0] * 6
    assert images.masks is not None
    assert images.masks[0, 4:12, 4:12].all()
    assert not images.masks[24:].any()
    assert prepared.meta["notes"][1:] == []


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_packing_does_not_change_the_fingerprint(official: Path, form: str) -> None:
    loose = _prepare(official)
    for name in ("HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_segmentations"):
        _pack(official, name, form)
    _pack(official, "ISIC2018_Task3_Test_Input", form)
    assert _prepare(official).fingerprint == loose.fingerprint


def test_files_one_folder_below_are_found(official: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in ("ham10000", "isic2018_task3_test"):
        (root / name).mkdir(parents=True)
    for path in official.iterdir():
        path.rename(root / ("isic2018_task3_test" if path.name.startswith("ISIC2018") else "ham10000") / path.name)
    assert len(_prepare(root).images) == 30


@pytest.mark.parametrize(
    ("task", "positive", "classes"),
    [("melanoma", {"mel"}, 2), ("malignant", {"mel", "bcc", "akiec"}, 2), ("classes", {"mel"}, 7)],
)
def test_tasks(official: Path, task: Any, positive: set[str], classes: int) -> None:
    prepared = _prepare(official, task=task)
    assert prepared.task.num_classes == classes
    is_positive = prepared.images.labels == prepared.task.positive
    assert np.array_equal(is_positive, np.isin(prepared.table["dx"], list(positive)))


def test_repeated_rows_are_used_once_and_said(official: Path) -> None:
    path = official / "HAM10000_metadata.csv"
    rows = _rows(path)
    write_csv(path, [*rows, *rows[:3], rows[0]])
    prepared = _prepare(official)
    assert len(prepared.images) == 30
    assert any(f"repeats 4 rows (an oversampled copy: {FIRST} is there 3 times)" in n for n in prepared.meta["notes"])


@pytest.mark.parametrize(("column", "value"), [("dx", "bkl"), ("lesion_id", "HAM_1"), ("age", "99")])
def test_repeated_rows_that_disagree_are_an_error(official: Path, column: str, value: str) -> None:
    path = official / "HAM10000_metadata.csv"
    rows = _rows(path)
    write_csv(path, [*rows, {**rows[3], column: value}])
    with pytest.raises(DataError, match=rf"lines 5 and 26: {rows[3]['image_id']} has two values of {column}"):
        _prepare(official)


def test_unknown_diagnosis_and_missing_column_name_the_place(official: Path) -> None:
    path = official / "HAM10000_metadata.csv"
    rows = _rows(path)
    write_csv(path, [*rows[:2], {**rows[2], "dx": "melanom"}, *rows[3:]])
    with pytest.raises(DataError, match="line 4: dx 'melanom' is not one of mel, nv"):
        _prepare(official)
    write_csv(path, [{("diagnosis" if k == "dx" else k): v for k, v in row.items()} for row in rows])
    with pytest.raises(DataError, match=r"HAM10000_metadata\.csv: no column 'dx'"):
        _prepare(official)


def test_absent_files_stop_above_the_limit_and_are_noted_below_it(official: Path) -> None:
    (official / IMAGES / f"{FIRST}.jpg").unlink()
    with pytest.raises(DataError, match=rf"1 of 24 listed train images have no file \({FIRST}\).*--on-bad skip"):
        _prepare(official)
    allowed, skipped = _prepare(official, options={"max_absent": 0.05}), _prepare(official, on_bad="skip")
    for prepared in (allowed, skipped):
        assert len(prepared.images) == 29
        assert prepared.meta["bad"] == [{"file": FIRST, "reason": "listed in the table, but there is no such file"}]
        assert any(f"left out: {FIRST}" in note for note in prepared.meta["notes"])


def test_all_unusable_files_are_named_and_can_be_left_out(official: Path) -> None:
    rng = np.random.default_rng(1)
    bad = {
        IMAGES / f"{FIRST}.jpg": b"",
        IMAGES / "ISIC_0024308.jpg": b"<html>sorry</html>",
        IMAGES / "ISIC_0024310.jpg": encoded(lesion_like(rng), "JPEG")[:500],
        Path("ISIC2018_Task3_Test_Input/ISIC_0034525.jpg"): b"\x00" * 100,
    }
    for name, data in bad.items():
        (official / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        _prepare(official)
    assert "4 unusable files" in str(caught.value)
    assert all(name.as_posix() in str(caught.value) for name in bad)
    prepared = _prepare(official, on_bad="skip")
    assert len(prepared.images) == 26
    assert [b["file"] for b in prepared.meta["bad"]] == [name.as_posix() for name in bad]
    assert "0 bytes" in prepared.meta["bad"][0]["reason"]


def test_a_damaged_mask_is_named_and_its_image_kept_with_skip(official: Path) -> None:
    mask = Path(f"HAM10000_segmentations/{FIRST}_segmentation.png")
    (official / mask).write_bytes(b"no mask")
    with pytest.raises(DataError, match=mask.name):
        _prepare(official)
    prepared = _prepare(official, on_bad="skip")
    assert len(prepared.images) == 30
    assert prepared.table["has_mask"][0] == 0


def test_converted_files_are_noted(official: Path) -> None:
    picture = lesion_like(np.random.default_rng(2))
    (official / IMAGES / f"{FIRST}.jpg").write_bytes(encoded(picture, "JPEG", mode="CMYK"))
    prepared = _prepare(official)
    assert prepared.meta["converted"] == {"CMYK": [FIRST]}
    assert any(note.startswith("CMYK in 1 images") for note in prepared.meta["notes"])


def test_what_is_missing_is_named(official: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ham10000:DIR"):
        resolve(DataConfig(spec="ham10000"))
    with pytest.raises(DataError, match="no such folder"):
        _prepare(tmp_path / "nowhere")
    shutil.rmtree(official / "HAM10000_images_part_2")
    with pytest.raises(DataError, match="HAM10000_images_part_2 is missing beside HAM10000_images_part_1"):
        _prepare(official)
    shutil.rmtree(official / "HAM10000_images_part_1")
    with pytest.raises(DataError, match="no images: HAM10000_images_part_1 and HAM10000_images_part_2 or"):
        _prepare(official)
    (official / "HAM10000_metadata.csv").unlink()
    with pytest.raises(DataError, match=r"none of HAM10000_metadata\.csv"):
        _prepare(official)


def test_masks_can_be_switched_off_or_required(official: Path) -> None:
    assert _prepare(official, options={"masks": "off"}).images.masks is None
    shutil.rmtree(official / "HAM10000_segmentations")
    assert _prepare(official).images.masks is None
    with pytest.raises(DataError, match="masks=require"):
        _prepare(official, options={"masks": "require"})


def test_without_the_test_set_a_share_of_the_lesions_is_test_and_half_of_it_is_an_error(official: Path) -> None:
    shutil.rmtree(official / "ISIC2018_Task3_Test_Input")
    with pytest.raises(DataError, match="ISIC2018_Task3_Test_Input"):
        _prepare(official)
    (official / "ISIC2018_Task3_Test_GroundTruth.csv").unlink()
    prepared = _prepare(official)
    assert any("no ISIC 2018 task 3 test set found" in note for note in prepared.meta["notes"])
    test: Images = make_splits(prepared, DataConfig(test_fraction=0.3)).images(prepared, "test")
    assert 4 <= len(test) <= 10


def test_the_source_key_follows_files_and_options_but_not_place_or_split(official: Path, tmp_path: Path) -> None:
    def key(**change: Any) -> dict[str, Any]:
        config = DataConfig(**{"spec": f"ham10000:{official}", **change})
        return source_key(resolve(config), config)

    first = key()
    assert key(split_seed=4, test="split") == first
    assert key(resolution=64) != first
    assert key(options={"masks": "off"}) != first
    moved = official.rename(tmp_path / "moved")
    assert key(spec=f"ham10000:{moved}") == first
    (moved / IMAGES / f"{FIRST}.jpg").write_bytes(b"changed")
    assert key(spec=f"ham10000:{moved}") != first


def test_prepare_opens_a_finished_folder_and_refuses_a_strange_one(official: Path, tmp_path: Path) -> None:
    config, out = DataConfig(spec=f"ham10000:{official}", resolution=16), tmp_path / "out"
    prepare(config, out)
    before = (out / "pixels.npy").stat().st_mtime_ns
    prepare(config, out)
    assert (out / "pixels.npy").stat().st_mtime_ns == before
    assert load_prepared(out).images.size == (16, 16)
    prepare(config.model_copy(update={"resolution": 24}), out)
    assert load_prepared(out).images.size == (24, 24)
    with pytest.raises(ConfigError, match="not empty"):
        prepare(config, official)
