"""``bench measure``: two folders of drawn moles through files, features, cache and table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench import metrics
from bench.errors import ConfigError, DataError
from bench.extractors.plain import Pixels
from bench.measure import Measured, measure_folders, measure_sets
from bench.metrics import folders
from bench.store import Store
from bench.testkit import tiny_images


def write(folder: Path, pixels: np.ndarray, classes: np.ndarray | None = None, suffix: str = "png") -> Path:
    for i, image in enumerate(pixels):
        into = folder if classes is None else folder / str(classes[i])
        into.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(into / f"im{i:04d}.{suffix}")
    return folder


def moles(per_class: int, seed: int, size: int = 24) -> np.ndarray:
    return np.asarray(tiny_images(per_class, size=size, seed=seed).pixels)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Flat folders of 24 px PNG: real 260, train 260, synthetic 240 of which every tenth is a turned training image."""
    root = tmp_path_factory.mktemp("folders")
    train, synthetic = moles(130, 1), moles(120, 2)
    synthetic[::10] = np.rot90(train[:24], 1, axes=(1, 2))
    sets = {"real": moles(130, 0), "train": train, "synthetic": synthetic}
    return {name: write(root / name, pixels) for name, pixels in sets.items()}


@pytest.fixture(scope="module")
def measured(places: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    store = Store(tmp_path_factory.mktemp("store"))
    return measure_folders(places["real"], places["synthetic"], places["train"], store=store)


def features_of(folder: Path) -> np.ndarray:
    return metrics.pixel_features(np.stack([np.asarray(Image.open(p)) for p in sorted(folder.iterdir())]), 16)


def test_numbers_are_those_of_the_plain_functions(places, measured):
    real, synthetic = (features_of(places[name]) for name in ("real", "synthetic"))
    kept, drawn, n = metrics.generation.equal_n(real, synthetic, 0)
    assert n == measured.n == 240
    found = measured.metrics
    assert found["fid"].value == pytest.approx(metrics.frechet_distance(kept, drawn), abs=1e-9)
    assert found["kid"].value == pytest.approx(float(metrics.kernel_distance(real, synthetic)), rel=1e-9)
    expected = metrics.prdc(kept, drawn)
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name].value == expected[name]
    assert set(measured.floor) == {"fid", "kid", "precision", "recall", "density", "coverage"}
    assert measured.floor_n == 240


def test_turned_copies_are_found_and_listed(places, measured):
    rate = measured.metrics["copy_rate"]
    assert rate.low < 0.1 < rate.high
    assert rate.value >= 0.1
    assert rate.extra["null"] <= 0.01
    assert len(measured.pairs) == 20
    for pair in measured.pairs:
        assert int(pair.synthetic[2:6]) == 10 * int(pair.real[2:6])
        assert pair.distance < 1e-4


def test_every_number_has_n_interval_and_method(measured):
    names = {"fid", "kid", "precision", "recall", "density", "coverage", "realism"}
    names |= {"copy_rate", "nn_ratio", "share_nearer_train", "authenticity", "c_t"}
    assert set(measured.metrics) == names
    for name, e in measured.metrics.items():
        assert e.reason is None, name
        assert e.low <= e.value <= e.high, name
        assert e.n >= 240, name
        assert e.method, name
    json.dumps(measured.plain(), allow_nan=False)


def test_without_train_the_reals_themselves_are_searched(places, tmp_path):
    found = measure_folders(places["train"], places["synthetic"], store=Store(tmp_path))
    assert set(found.metrics) >= {"copy_rate", "authenticity"}
    assert not {"nn_ratio", "share_nearer_train", "c_t"} & set(found.metrics)
    assert found.metrics["copy_rate"].low < 0.1 < found.metrics["copy_rate"].high
    assert found.floor_n == 130
    said = " ".join(found.notes)
    assert "no --train" in said
    assert "260 real and 240 synthetic images are compared at equal n = 240" in said
    assert "measured at n = 130 only" in said


def test_features_are_made_once_for_each_content(places, tmp_path, monkeypatch):
    store, made = Store(tmp_path / "store"), []
    original = Pixels.__call__
    monkeypatch.setattr(Pixels, "__call__", lambda self, p: made.append(len(p)) or original(self, p))
    first = measure_folders(places["real"], places["synthetic"], store=store)
    assert sum(made) == 500
    assert measure_folders(places["real"], places["synthetic"], store=store).plain() == first.plain()
    assert sum(made) == 500
    moved = write(tmp_path / "moved", np.stack([np.asarray(Image.open(p)) for p in sorted(places["real"].iterdir())]))
    measure_folders(moved, places["synthetic"], store=store)
    assert sum(made) == 500
    image = np.array(Image.open(moved / "im0007.png"))
    image[3, 4, 1] ^= 1
    Image.fromarray(image).save(moved / "im0007.png")
    measure_folders(moved, places["synthetic"], store=store)
    assert sum(made) == 760


def test_a_name_and_its_class_are_one_extractor(places, tmp_path):
    """One identity, so one entry of the store."""
    store = Store(tmp_path)
    first = measure_folders(places["real"], places["synthetic"], store=store)
    again = measure_folders(places["real"], places["synthetic"], extractor="bench.extractors.plain:Pixels", store=store)
    assert again.plain() == first.plain()
    assert len(list(store.stages())) == 4  # of either side the features, and what the failure detectors read


def test_killed_pass_goes_on_at_its_last_block(places, tmp_path, monkeypatch):
    store, made = Store(tmp_path / "store"), []
    original = Pixels.__call__

    def dies(self, pixels):
        made.append(len(pixels))
        if len(made) == 3:
            raise KeyboardInterrupt
        return original(self, pixels)

    monkeypatch.setattr(Pixels, "__call__", dies)
    listing = folders.list_images(places["real"])
    with pytest.raises(KeyboardInterrupt):
        folders.feature_set(listing, Pixels(), None, store)
    found = folders.feature_set(listing, Pixels(), None, store)
    assert made == [128, 128, 4, 4]
    assert np.array_equal(found.features, features_of(places["real"]))


def test_class_subfolders_give_numbers_by_class(tmp_path):
    names = np.array(["nevus", "melanoma"])[np.arange(120) // 60]
    real = write(tmp_path / "real", moles(60, 0), names)
    synthetic = write(tmp_path / "synthetic", moles(60, 1), names)
    found = measure_folders(real, synthetic, store=Store(tmp_path / "store"))
    for name in ("fid", "kid", "precision", "recall", "density", "coverage"):
        assert found.metrics[f"{name}[melanoma]"].n == 60
    dropped = write(tmp_path / "dropped", moles(60, 1)[:60], names[:60])
    found = measure_folders(real, dropped, store=Store(tmp_path / "store"))
    assert found.metrics["coverage[melanoma]"].value == 0
    assert found.metrics["fid[melanoma]"].reason == "no synthetic image is of class melanoma"


def test_sizes_must_agree_or_be_made_to(places, tmp_path):
    small = write(tmp_path / "small", moles(60, 3, size=16))
    with pytest.raises(DataError, match=r"small/im0000\.png is 16 x 16 px, .*im0000\.png 24 x 24.*--resolution N"):
        measure_folders(places["real"], small, store=Store(tmp_path / "store"))
    found = measure_folders(places["real"], small, resolution=16, store=Store(tmp_path / "store"))
    assert found.resize.startswith("square-crop,lanczos,16px,pillow-")
    assert found.n == 120


def test_unequal_extractors_and_resize_policies_are_refused(places, tmp_path):
    store, listing = Store(tmp_path), folders.list_images(places["real"])
    plain = folders.feature_set(listing, Pixels(), None, store)
    resized = folders.feature_set(listing, Pixels(), folders.Recipe(16), store)
    with pytest.raises(DataError, match=r"different resize policies cannot be compared: .*24x24px as they are"):
        measure_sets(plain, resized)

    class Means(Pixels):
        identity = "channel-means"

    other = folders.feature_set(listing, Means(), None, store)
    with pytest.raises(DataError, match=r"different extractors cannot be compared.*channel-means"):
        measure_sets(plain, other)


def test_files_that_cannot_be_used_are_all_named(tmp_path):
    place = write(tmp_path / "real", moles(75, 0))
    (place / "im0003.png").write_bytes(b"")
    (place / "im0140.png").write_text("not an image")
    with pytest.raises(DataError, match=r"real: 2 unusable images: im0003\.png: empty file.*im0140\.png: not an image"):
        folders.list_images(place)
    for name in ("im0003.png", "im0140.png"):
        whole = (place / "im0004.png").read_bytes()
        (place / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"2 unusable images: im0003\.png: truncated.*im0140\.png: truncated"):
        folders.feature_set(folders.list_images(place), Pixels(), None, Store(tmp_path / "store"))


def test_places_without_images_or_given_twice(places, tmp_path):
    (tmp_path / "empty").mkdir()
    store = Store(tmp_path / "store")
    with pytest.raises(DataError, match="empty: no image here"):
        measure_folders(places["real"], tmp_path / "empty", store=store)
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        measure_folders(places["real"], tmp_path / "nowhere", store=store)
    with pytest.raises(ConfigError, match="the same place is given twice"):
        measure_folders(places["real"], places["real"] / ".." / "real", store=store)
    with pytest.raises(ConfigError, match="no extractor called 'pixel'"):
        measure_folders(places["real"], places["synthetic"], extractor="pixel", store=store)


def test_one_image_a_side_is_undefined_and_not_a_crash(tmp_path):
    sides = [write(tmp_path / name, moles(1, seed)[:1]) for seed, name in enumerate(("real", "synthetic"))]
    found = measure_folders(*sides, store=Store(tmp_path / "store"))
    for name, e in found.metrics.items():
        assert e.value is None, name
        assert e.reason, name


def test_constant_images(tmp_path):
    sides = [write(tmp_path / name, np.full((120, 8, 8, 3), 90, np.uint8)) for name in ("real", "synthetic")]
    found = measure_folders(*sides, store=Store(tmp_path / "store"))
    assert found.metrics["fid"].value == pytest.approx(0, abs=1e-9)
    assert found.metrics["precision"].value == 0
    assert found.metrics["authenticity"].value is not None or found.metrics["authenticity"].reason


def test_table_and_json_of_the_command(places, tmp_path):
    from bench.cli import app

    command = ["measure", str(places["real"]), str(places["synthetic"]), "--train", str(places["train"])]
    command += ["--store", str(tmp_path)]
    shown = CliRunner().invoke(app, [*command, "--plain"])
    assert shown.exit_code == 0, shown.output
    for words in ("FID ↓", "copy rate ↓", "real against real", "(null)", "24x24px as they are", "closest pairs"):
        assert words in shown.output
    machine = CliRunner().invoke(app, [*command, "--json"])
    values = json.loads(machine.stdout)
    assert values["extractor"] == "pixels@1:area-16px"
    assert values["metrics"]["fid"]["n"] == 240
    assert values["metrics"]["copy_rate"]["low"] < 0.1
    assert len(values["pairs"]) == 20


def test_held_out_says_the_same_as_train_with_the_sides_exchanged(places, tmp_path):
    from bench.cli import app

    real, train, synthetic = (str(places[name]) for name in ("real", "train", "synthetic"))
    options = ["--no-failures", "--json", "--store", str(tmp_path)]
    first = CliRunner().invoke(app, ["measure", real, synthetic, "--train", train, *options])
    other = CliRunner().invoke(app, ["measure", train, synthetic, "--held-out", real, *options])
    assert json.loads(other.stdout) == json.loads(first.stdout)
    assert json.loads(other.stdout)["metrics"]["copy_rate"]["value"] > 0.05
    both = CliRunner().invoke(app, ["measure", train, synthetic, "--held-out", real, "--train", train])
    assert both.exit_code == 2
    assert "--train and --held-out: give one" in both.output
