"""Grouped splits of the ISIC 2019 and 2020 tables at full size: lesions and patients, duplicates, speed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import Task
from bench.data.allocate import allocate
from bench.data.base import DataConfig
from bench.data.duplicates import join_groups
from bench.data.splits import NAMES, SHARES, make_splits
from bench.data.tables import read_table
from tests.bench.data.samples import prepared_set

pytestmark = pytest.mark.realdata
ISIC_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
MALIGNANT = Task("malignant", ("benign", "malignant"), 1)


def _table(real_data_dir: Path, name: str, required: tuple[str, ...]) -> list[dict[str, str]]:
    path = real_data_dir / "metadata" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return read_table(path, required)


def test_isic_2020_by_patient(real_data_dir: Path, tmp_path: Path) -> None:
    rows = _table(real_data_dir, "ISIC_2020_Training_GroundTruth_v2.csv.gz", ("image_name", "patient_id", "target"))
    labels = np.array([int(r["target"]) for r in rows])
    patients = np.array([r["patient_id"] for r in rows])
    assert (len(rows), len(set(patients.tolist())), labels.sum()) == (33126, 2056, 584)
    ids = [r["image_name"] for r in rows]
    prepared = prepared_set(tmp_path, labels.tolist(), patients.tolist(), ids=ids, task=MALIGNANT)
    start = time.process_time()
    splits = make_splits(prepared, DataConfig(spec="isic2020"))
    assert time.process_time() - start < 5
    counts = splits.counts()
    total = {name: sum(counts[name].values()) for name in NAMES}
    assert sum(total.values()) == 33126
    for name, share in {"test": 0.2, **{k: 0.8 * v for k, v in SHARES.items()}}.items():
        assert abs(total[name] / 33126 - share) < 0.005
        assert abs(counts[name]["malignant"] - 584 * share) < 8  # a patient has up to 8 melanomas
    assert all(len(np.unique(splits.split[splits.group == p])) == 1 for p in np.unique(patients)[:200])


def test_isic_2020_duplicate_list_joins_patients(real_data_dir: Path) -> None:
    rows = _table(real_data_dir, "ISIC_2020_Training_GroundTruth_v2.csv.gz", ("image_name", "patient_id", "target"))
    twins = _table(real_data_dir, "ISIC_2020_Training_Duplicates.csv.gz", ("image_name_1", "image_name_2"))
    place = {r["image_name"]: i for i, r in enumerate(rows)}
    pairs = np.array(
        [(place[t["image_name_1"]], place[t["image_name_2"]]) for t in twins if t["image_name_1"] in place]
    )
    labels = np.array([int(r["target"]) for r in rows])
    groups = join_groups(np.array([r["patient_id"] for r in rows]), pairs)
    split = allocate(groups, labels, SHARES, 0, "test")
    assert len(pairs) > 400
    assert (split[pairs[:, 0]] == split[pairs[:, 1]]).all()


def test_isic_2019_by_lesion_with_eight_classes(real_data_dir: Path) -> None:
    truth = _table(real_data_dir, "ISIC_2019_Training_GroundTruth.csv.gz", ("image", *ISIC_2019))
    meta = _table(real_data_dir, "ISIC_2019_Training_Metadata.csv.gz", ("image", "lesion_id"))
    lesion = {r["image"]: r["lesion_id"] or r["image"] for r in meta}
    labels = np.array([[float(r[c]) for c in ISIC_2019].index(1.0) for r in truth])
    groups = np.array([lesion[r["image"]] for r in truth])
    assert len(truth) == 25331
    assert sum(bool(r["lesion_id"]) for r in meta) == 23247
    split = allocate(groups, labels, SHARES, 0, "splits")
    largest = np.unique(groups, return_counts=True)[1].max()
    for k in np.unique(labels):
        for name, share in SHARES.items():
            assert abs(((labels == k) & (split == name)).sum() - share * (labels == k).sum()) <= largest
    _, group_of = np.unique(groups, return_inverse=True)
    code = np.unique(split, return_inverse=True)[1]
    assert len(np.unique(np.stack([group_of, code]), axis=1).T) == group_of.max() + 1  # one split a group
