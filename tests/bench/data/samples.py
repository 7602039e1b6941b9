"""Small image files, official folder layouts and prepared sets made on the spot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.contracts import Task
from bench.data.base import DatasetInfo, Prepared
from bench.data.write import PreparedWriter

INFO = DatasetInfo("made", "Made for a test", "CC0", "nobody", "lesion")
MELANOMA = Task("melanoma", ("other", "melanoma"), 1)


def lesion_like(rng: np.random.Generator, size: int = 48) -> NDArray[np.uint8]:
    """A dark ellipse on textured skin, uint8 [size, size, 3]: no two draws are near-duplicates."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    a, b, angle = *rng.uniform(0.12, 0.35, 2), rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = 1 / (1 + np.exp(20 * (np.hypot(u / a, v / b) - 1)))
    texture = rng.normal(0, 14, (size, size, 1))
    skin = np.array([220, 180, 160]) + rng.normal(0, 10, 3)
    colour = skin * (1 - 0.6 * inside[..., None]) + texture
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)


def encoded(pixels: NDArray[Any], form: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    """Image file bytes of an array."""
    picture = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (picture if mode is None else picture.convert(mode)).save(buffer, form, **options)
    return buffer.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with a header."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def prepared_set(
    folder: Path,
    labels: Sequence[int],
    groups: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
    pixels: NDArray[np.uint8] | None = None,
    task: Task = MELANOMA,
    seed: int = 0,
    **columns: Any,
) -> Prepared:
    """A prepared set of 16-pixel textures with the given table."""
    n = len(labels)
    drawn = np.random.default_rng(seed).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8) if pixels is None else pixels
    names = [f"im{i:06d}" for i in range(n)] if ids is None else ids
    with PreparedWriter(folder, task, INFO, size=drawn.shape[1], preprocessing="drawn") as writer:
        writer.add(drawn, np.asarray(labels), names, groups, "train" if parts is None else parts, **columns)
    return writer.prepared()


def ham_layout(root: Path, n: int = 24, n_test: int = 6, seed: int = 0) -> dict[str, bytes]:
    """The official HAM10000 and ISIC 2018 test files below ``root`` with drawn images; returns the files by name."""
    rng = np.random.default_rng(seed)
    classes = ("nv", "mel", "bkl")
    rows = []
    for name in (
        "HAM10000_images_part_1",
        "HAM10000_images_part_2",
        "HAM10000_segmentations",
        "ISIC2018_Task3_Test_Input",
    ):
        (root / name).mkdir(parents=True)
    files: dict[str, bytes] = {}
    for i in range(n):
        name = f"ISIC_{24306 + i:07d}"
        files[f"HAM10000_images_part_{1 + i % 2}/{name}.jpg"] = encoded(lesion_like(rng), "JPEG", quality=90)
        mask = np.zeros((48, 48), dtype=np.uint8)
        mask[12:36, 12:36] = 255
        files[f"HAM10000_segmentations/{name}_segmentation.png"] = encoded(mask)
        rows.append({"lesion_id": f"HAM_{i // 2:07d}", "image_id": name, "dx": classes[i // 2 % 3], "dx_type": "histo"})
        rows[-1] |= {"age": "" if i == 0 else 40 + i, "sex": "female", "localization": "back", "dataset": "rosendahl"}
    tests = []
    for i in range(n_test):
        name = f"ISIC_{34524 + i:07d}"
        files[f"ISIC2018_Task3_Test_Input/{name}.jpg"] = encoded(lesion_like(rng), "JPEG", quality=90)
        marks = {c: float(c == ("NV", "MEL")[i % 2]) for c in ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")}
        tests.append({"image": name, **marks})
    for name, data in files.items():
        (root / name).write_bytes(data)
    write_csv(root / "HAM10000_metadata.csv", rows)
    write_csv(root / "ISIC2018_Task3_Test_GroundTruth.csv", tests)
    return files
