"""``bench measure`` names the failures that a generator planted: a real checkerboard, twins, bare skin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.data.base import DataConfig
from bench.data.prepare import resolve
from bench.measure import Measured, measure_folders
from bench.metrics import checkerboard, duplicate_rate, folder_failures, no_lesion_rate
from bench.pixels import UInt8
from bench.store import Store

SIDE, N = 32, 200


def phantom(seed: int) -> UInt8:
    dataset: Any = resolve(DataConfig(spec="phantom", resolution=SIDE))
    return np.asarray(dataset.draw(np.arange(N, dtype=np.int64) % 2, seed).pixels)


def write(folder: Path, pixels: UInt8) -> Path:
    folder.mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:04d}.png")
    return folder


def upsampled(pixels: UInt8) -> UInt8:
    """As a generator paints: every second pixel through a transposed convolution of stride 2 and kernel 3, whose
    overlaps are uneven (Odena, Dumoulin & Olah 2016)."""
    import torch

    small = torch.from_numpy(pixels[:, ::2, ::2].copy()).permute(0, 3, 1, 2).double()
    line = torch.tensor([1.0, 1.3, 1.0]).double()
    kernel = torch.outer(line, line).expand(3, 1, 3, 3) * 4 / float(line.sum()) ** 2  # as bright as before
    drawn = torch.nn.functional.conv_transpose2d(small, kernel, stride=2, padding=1, output_padding=1, groups=3)
    return drawn.permute(0, 2, 3, 1).numpy().round().clip(0, 255).astype(np.uint8)


def skin_only(pixels: UInt8) -> UInt8:
    """The border's colour with noise."""
    colour = np.median(pixels[:, :2].reshape(len(pixels), -1, 3), axis=1)[:, None, None]
    return (colour + np.random.default_rng(1).normal(0, 3, pixels.shape)).round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("reals") / "real", phantom(1))


def measured(real: Path, synthetic: UInt8, place: Path) -> Measured:
    return measure_folders(real, write(place / "synthetic", synthetic), store=Store(place / "store"))


def test_other_reals_are_at_the_null(real, tmp_path):
    found = measured(real, phantom(2), tmp_path).failures
    assert list(found) == ["checkerboard", "duplicate_rate", "no_lesion_rate"]
    for name, e in found.items():
        assert e.low <= e.value <= e.high, name
        assert e.low <= e.extra["null"] * 1.1, name
        assert e.n == N


def test_each_planted_failure_is_found_and_no_other(real, tmp_path):
    others = phantom(2)
    twins = others[np.r_[0 : N // 2, 0 : N // 2]]
    twins[N // 2 :] = np.rot90(twins[N // 2 :], axes=(1, 2))
    planted = {"checkerboard": upsampled(others), "duplicate_rate": twins, "no_lesion_rate": skin_only(others)}
    for name, images in planted.items():
        found = measured(real, images, tmp_path / name).failures
        null = {"checkerboard": 10, "duplicate_rate": 0.95, "no_lesion_rate": 0.95}
        assert found[name].low > null[name], name
        if name == "checkerboard":
            assert found["duplicate_rate"].value < 0.05
            assert found["no_lesion_rate"].value < 0.05
        elif name == "duplicate_rate":
            assert found["checkerboard"].low < 1.1
            assert found["no_lesion_rate"].value < 0.05


def test_numbers_are_those_of_a_run(real, tmp_path):
    """Kept in float32 between the image and the number."""
    drawn, kept = phantom(2), phantom(1)
    found = measured(real, drawn, tmp_path).failures
    assert found["checkerboard"].value == pytest.approx(checkerboard(kept, drawn).value, rel=1e-5)
    assert found["no_lesion_rate"].value == no_lesion_rate(kept, drawn).value
    assert found["duplicate_rate"].extra["threshold"] == pytest.approx(
        duplicate_rate(kept, drawn).extra["threshold"], rel=1e-5
    )
    assert found["duplicate_rate"].value == duplicate_rate(kept, drawn).value


def test_each_image_is_looked_at_once_and_at_most_so_many_are(real, tmp_path, monkeypatch):
    looked: list[int] = []
    original = folder_failures.Looks.__call__
    monkeypatch.setattr(folder_failures.Looks, "__call__", lambda s, p: looked.append(len(p)) or original(s, p))
    monkeypatch.setattr(folder_failures, "INSPECTED", 120)
    synthetic, store = write(tmp_path / "synthetic", phantom(2)), Store(tmp_path / "store")
    first = measure_folders(real, synthetic, store=store)
    assert sum(looked) == 240
    assert first.failures["no_lesion_rate"].n == 120
    assert measure_folders(real, synthetic, store=store, extractor="bench.extractors.plain:Pixels") == first
    assert sum(looked) == 240
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for i, path in enumerate(sorted(synthetic.iterdir(), reverse=True)):
        path.rename(renamed / f"{i}.png")
    assert measure_folders(real, renamed, store=store).failures == first.failures
    assert sum(looked) == 240


def test_what_cannot_be_looked_for_says_why(tmp_path):
    small = [write(tmp_path / name, phantom(seed)[:60, :28, :28]) for seed, name in enumerate(("real", "synthetic"))]
    found = measure_folders(*small, store=Store(tmp_path / "store")).failures
    assert "a multiple of 4 and at least 32, and these are 28 x 28" in found["checkerboard"].reason
    assert found["no_lesion_rate"].reason == "there are 60 held-out images and 100 are needed"
    assert found["duplicate_rate"].value is not None


def test_the_command_prints_them_below_the_rest(real, tmp_path):
    from bench.cli import app

    write(tmp_path / "synthetic", upsampled(phantom(2)))
    command = ["measure", str(real), str(tmp_path / "synthetic"), "--store", str(tmp_path / "store")]
    shown = CliRunner().invoke(app, [*command, "--plain"])
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.output.splitlines() if line.strip()]
    rows = {name: next(i for i, line in enumerate(lines) if line.startswith(name)) for name in ("FID", "checkerboard")}
    assert rows["FID"] < rows["checkerboard"]
    assert "(null)" in lines[rows["checkerboard"]]
    values = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert values["failures"]["checkerboard"]["low"] > 10
