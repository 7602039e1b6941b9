"""``bench measure`` on dermoscopy photographs: held-out reals as the generator, and some copies among them."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.measure import Measured, measure_folders
from bench.store import Store

N, COPIES = 500, 40


@pytest.fixture(scope="module")
def measured(real_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """One image a lesion, dealt to real, train and synthetic; 40 synthetic ones are copies of training images, turned
    by a quarter and compressed again."""
    root, source = tmp_path_factory.mktemp("photographs"), real_data_dir / "ham10000"
    with (source / "HAM10000_metadata.csv").open() as file:
        lesions = {row["lesion_id"]: row["image_id"] for row in csv.DictReader(file)}
    wanted, found = set(lesions.values()), []
    with tarfile.open(source / "HAM10000_images.tar") as tar:
        for member in tar:
            if Path(member.name).stem in wanted:
                found.append(tar.extractfile(member).read())  # type: ignore[union-attr]
            if len(found) == 3 * N:
                break
    for i, data in enumerate(found):
        folder = root / ("real", "train", "synthetic")[i % 3]
        folder.mkdir(exist_ok=True)
        (folder / f"{i // 3:04d}.jpg").write_bytes(data)
    for i in range(COPIES):
        with Image.open(io.BytesIO(found[3 * i + 1])) as picture:
            picture.rotate(90).save(root / "synthetic" / f"{i:04d}.jpg", quality=75)
    return measure_folders(
        root / "real", root / "synthetic", root / "train", resolution=64, store=Store(root / "store")
    )


@pytest.mark.realdata
@pytest.mark.slow
def test_held_out_reals_are_at_the_floor(measured):
    found, floor = measured.metrics, measured.floor
    assert found["kid"].low < 0 < found["kid"].high
    for name in ("fid", "precision", "recall", "density", "coverage"):
        se = np.hypot(found[name].extra["se"], floor[name].extra["se"])
        assert abs(found[name].value - floor[name].value) < 3 * se, name


@pytest.mark.realdata
@pytest.mark.slow
def test_turned_and_compressed_copies_are_counted_and_shown(measured):
    rate, share = measured.metrics["copy_rate"], COPIES / N
    assert abs(rate.value - share) < 3 * np.sqrt(share * (1 - share) / N)
    assert rate.low > 0.04
    assert measured.metrics["authenticity"].value < measured.metrics["authenticity"].extra["null"]
    assert measured.metrics["c_t"].extra["z"] > -3  # the known blind spot: few copies do not move C_T
    assert len({pair.synthetic for pair in measured.pairs}) == 20
    assert all(pair.synthetic == pair.real for pair in measured.pairs)
