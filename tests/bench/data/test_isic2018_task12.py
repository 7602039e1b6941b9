"""ISIC 2018 tasks 1 and 2 from their official names: diagnoses from two tables, six masks an image, clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.data.base import DataConfig, Prepared
from bench.data.isic2018_task12 import ARTIFACTS, ATTRIBUTE_NAMES
from bench.data.prepare import prepare
from bench.data.splits import make_splits
from bench.errors import ConfigError, DataError
from tests.bench.data.samples import encoded, lesion_like, write_csv

IMAGES = "ISIC2018_Task1-2_Training_Input"
LESIONS = "ISIC2018_Task1_Training_GroundTruth"
ATTRIBUTES = "ISIC2018_Task2_Training_GroundTruth_v3"
CLASSES = ("nv", "mel", "bkl")


def region(top: int, left: int) -> NDArray[np.uint8]:
    """A square of 12 of 48 pixels, as a mask file holds it."""
    mask = np.zeros((48, 48), dtype=np.uint8)
    mask[top : top + 12, left : left + 12] = 255
    return mask


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Nine images with masks; streaks are missing for the first, and the last has no diagnosis."""
    rng, rows = np.random.default_rng(0), []
    for name in (IMAGES, LESIONS, ATTRIBUTES):
        (tmp_path / name).mkdir()
    for i in range(9):
        name = f"ISIC_{i:07d}"
        (tmp_path / IMAGES / f"{name}.jpg").write_bytes(encoded(lesion_like(rng), "JPEG", quality=90))
        (tmp_path / LESIONS / f"{name}_segmentation.png").write_bytes(encoded(region(0, 0)))
        for k, attribute in enumerate(ATTRIBUTE_NAMES):
            if i or attribute != "streaks":
                file = tmp_path / ATTRIBUTES / f"{name}_attribute_{attribute}.png"
                file.write_bytes(encoded(region(12 * (k % 3), 12 + 12 * (k // 3))))
        dx = CLASSES[i % 3] if i < 8 else ""
        rows.append({"image_id": name, "dx2019": dx, "lesion_id": f"L{i // 2}" if i < 4 else "", "age_approx": 30 + i})
        rows[-1] |= {"sex": "male", "anatom_site_general": "head", **dict.fromkeys(ARTIFACTS, i % 2)}
    write_csv(tmp_path / "labels_and_artifacts.csv", rows)
    return tmp_path


def prepared(root: Path, folder: str = "prepared", **config: Any) -> Prepared:
    return prepare(DataConfig(spec=f"isic2018_task12:{root}", resolution=16, **config), root.parent / folder)


def test_six_masks_an_image_labels_and_groups(official: Path, tmp_path: Path) -> None:
    made = prepared(official)
    assert made.meta["mask_names"] == ["lesion", *ATTRIBUTE_NAMES]
    assert made.images.ids.tolist() == [f"ISIC_{i:07d}" for i in range(8)]
    assert made.images.labels.tolist() == [0, 1, 0, 0, 1, 0, 0, 1]
    assert made.images.groups.tolist() == ["L0", "L0", "L1", "L1", *(f"ISIC_{i:07d}" for i in range(4, 8))]
    assert made.table["artifact_ruler"].tolist() == [0, 1] * 4
    assert any("1 images have no diagnosis" in note for note in made.meta["notes"])
    masks = np.asarray(made.images.masks)
    assert masks.shape == (8, 16, 16, 6)
    for channel, (top, left) in enumerate([(0, 0), (0, 4), (4, 4), (8, 4), (0, 8), (4, 8)]):
        expected = np.zeros((16, 16), dtype=np.uint8)
        expected[top : top + 4, left : left + 4] = 255
        assert (masks[1:, ..., channel] == expected).all(), channel
    assert not masks[0, ..., 5].any()


def test_options_leave_masks_out(official: Path) -> None:
    assert prepared(official, "a", options={"attributes": "off"}).meta["mask_names"] == ["lesion"]
    assert prepared(official, "b", options={"masks": "off"}).images.masks is None


def test_diagnoses_from_the_isic_2019_table(official: Path) -> None:
    (official / "labels_and_artifacts.csv").unlink()
    marks = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    rows = [
        {"image": f"ISIC_{i:07d}", **{m: float(m == ("NV", "MEL", "SCC")[i % 3]) for m in marks}} for i in range(30)
    ]
    rows[4]["MEL"], rows[4]["UNK"] = 0.0, 1.0
    write_csv(official / "ISIC_2019_Training_GroundTruth.csv", rows)
    metadata = [{"image": f"ISIC_{i:07d}", "lesion_id": "one", "age_approx": "", "sex": "female"} for i in range(2)]
    write_csv(official / "ISIC_2019_Training_Metadata.csv", metadata)
    made = prepared(official, task="classes")
    assert made.images.class_names == ("mel", "nv", "akiec")
    assert made.images.labels.tolist() == [1, 0, 2, 1, 2, 1, 0, 2]
    assert made.images.groups.tolist()[:3] == ["one", "one", "ISIC_0000002"]


def test_what_is_missing_is_named(official: Path) -> None:
    with pytest.raises(ConfigError, match="masks=off with attributes=require"):
        prepared(official, options={"masks": "off", "attributes": "require"})
    (official / ATTRIBUTES / "ISIC_0000003_attribute_globules.png").write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"ISIC_0000003_attribute_globules\.png: not an image"):
        prepared(official)
    (official / "labels_and_artifacts.csv").unlink()
    with pytest.raises(DataError, match=r"no diagnoses; add labels_and_artifacts\.csv"):
        prepared(official)
    rows = [{"image_id": name, "dx2019": dx, "lesion_id": ""} for name, dx in (("a", "nv"), ("b", "mel"))]
    write_csv(official / "labels_and_artifacts.csv", rows)
    (official / IMAGES).rename(official / "elsewhere")
    with pytest.raises(DataError, match=f"no images: {IMAGES}"):
        prepared(official)


def test_required_masks_stop_without_them(official: Path) -> None:
    (official / ATTRIBUTES).rename(official / "elsewhere")
    assert prepared(official, "lesion").meta["mask_names"] == ["lesion"]
    with pytest.raises(DataError, match=f"no attribute masks .{ATTRIBUTES}., which attributes=require wants"):
        prepared(official, options={"attributes": "require"})
    (official / LESIONS).rename(official / "there")
    with pytest.raises(DataError, match=f"no lesion masks .{LESIONS}., which masks=require wants"):
        prepared(official, options={"masks": "require"})


@pytest.mark.realdata
def test_the_real_images(real_data_dir: Path, tmp_path: Path) -> None:
    """Published: 2,594 images; of the attributes, pigment network is the commonest and streaks are rare."""
    root = real_data_dir / "isic2018_task12"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    config = DataConfig(spec=f"isic2018_task12:{root}", test="split")
    made = prepare(config, tmp_path / "isic")
    names, counts = np.unique(made.table["dx"], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"bkl": 208, "mel": 519, "nv": 1866}
    masks = np.asarray(made.images.masks) > 0
    assert masks[..., 0].any(axis=(1, 2)).mean() > 0.99
    having = dict(zip(ATTRIBUTE_NAMES, masks[..., 1:].any(axis=(1, 2)).sum(axis=0).tolist(), strict=True))
    assert max(having, key=having.__getitem__) == "pigment_network"
    assert min(having, key=having.__getitem__) in ("streaks", "negative_network")
    inside = (masks[..., 1:] & masks[..., :1]).sum() / masks[..., 1:].sum()
    assert inside > 0.9
    assert make_splits(made, config).counts()["train"]["melanoma"] > 250
