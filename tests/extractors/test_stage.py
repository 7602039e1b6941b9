"""Features as a stage: made once, keyed by what decides them, gone on with after a kill; and in a run's table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import evaluate, registry
from bench.config import build_config
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError, StageError
from bench.extractors import Extractor, ImageFiles, make, resolve
from bench.extractors.natural import Timm
from bench.extractors.network import BATCH
from bench.extractors.plain import Domain, folder_sha256
from bench.extractors.stage import ROWS, append_rows, features_stage
from bench.workbench import Workbench
from tests.extractors.conftest import TINY, photographs
from tests.worlds import discs, small_config, small_lab


def tiny(file: Path, **options: object) -> Timm:
    made = make(f"timm:{TINY}", weights=file, **options)
    assert isinstance(made, Timm)
    return made


class Killed(Exception):
    pass


class Counted:
    """Pixels that count their reads and stop answering after ``limit`` of them."""

    def __init__(self, pixels: np.ndarray, limit: int = 10**9) -> None:
        self.pixels, self.limit, self.reads = pixels, limit, 0

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> np.ndarray:
        self.reads += 1
        if self.reads > self.limit:
            raise Killed
        return self.pixels[index]


@pytest.mark.parametrize("torn", [0, 5])
def test_a_killed_pass_goes_on_where_it_stopped(tiny_weights, tmp_path, torn):
    pixels = photographs(3 * BATCH + 5)
    whole = tiny(tiny_weights(0))(pixels)
    with pytest.raises(Killed):
        append_rows(tiny(tiny_weights(0)), Counted(pixels, 3 * BATCH + 1), StageContext(0, tmp_path))
    with (tmp_path / ROWS).open("ab") as file:
        file.write(b"x" * torn)
    rest = Counted(pixels)
    found = append_rows(tiny(tiny_weights(0)), rest, StageContext(0, tmp_path))
    assert np.array_equal(found, whole)
    assert rest.reads < len(pixels)
    assert rest.reads >= 5


def test_a_pass_that_was_finished_before_the_kill_reads_nothing(tiny_weights, tmp_path):
    pixels = photographs(BATCH)
    whole = append_rows(tiny(tiny_weights(0)), pixels, StageContext(0, tmp_path))
    rest = Counted(pixels)
    assert np.array_equal(append_rows(tiny(tiny_weights(0)), rest, StageContext(0, tmp_path)), whole)
    assert rest.reads == 0


def test_order_and_company_change_no_bit(tiny_weights):
    extractor, pixels = tiny(tiny_weights(0)), photographs(BATCH + 3)
    whole, order = extractor(pixels), np.random.default_rng(0).permutation(BATCH + 3)
    assert np.array_equal(extractor(pixels[order]), whole[order])
    assert np.array_equal(extractor(pixels[-1:]), whole[-1:])


def test_features_are_made_once_and_keyed_by_what_decides_them(tiny_weights, tmp_path):
    bench = Workbench(small_config(tmp_path))
    images = discs(20, 0)
    first = features_stage(bench, tiny(tiny_weights(0)), images, "a")
    assert isinstance(first, np.memmap)
    assert [s.status for s in bench.stages] == ["executed"]
    again = Workbench(small_config(tmp_path))
    assert np.array_equal(features_stage(again, tiny(tiny_weights(0)), images, "b"), first)
    assert [s.status for s in again.stages] == ["cached"]
    changed = np.array(images.pixels)
    changed[7, 3, 3, 1] ^= 1
    other = Images(changed, images.labels, images.ids, images.groups, images.class_names)
    keys = {again.stages[0].key}
    for extractor, shown in [
        (tiny(tiny_weights(0)), other),
        (tiny(tiny_weights(1)), images),
        (tiny(tiny_weights(0), resize="tf1"), images),
        (tiny(tiny_weights(0), precision="bf16"), images),
        (make("pixels"), images),
    ]:
        features_stage(again, extractor, shown, "c")
        keys.add(again.stages[-1].key)
    assert len(keys) == 6


def test_features_that_are_not_finite_name_the_image(tiny_weights, tmp_path, monkeypatch):
    extractor = tiny(tiny_weights(0))
    nowhere = np.full((2, 4), np.nan, np.float32)
    monkeypatch.setattr(type(extractor), "_features", lambda self, images: nowhere[: len(images)])
    with pytest.raises(StageError, match="features of image 0 are not finite"):
        append_rows(extractor, photographs(2), StageContext(0, tmp_path))


def test_no_images(tiny_weights, tmp_path):
    with pytest.raises(DataError, match="no images"):
        tiny(tiny_weights(0))(photographs(1)[:0])


def test_files_of_any_size_are_rows(tiny_weights, tmp_path):
    from PIL import Image

    paths = []
    for i, side in enumerate((20, 31)):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(photographs(1, i, side)[0]).save(paths[-1])
    files, extractor = ImageFiles(paths), tiny(tiny_weights(0))
    assert np.array_equal(extractor(files)[1:], extractor(photographs(1, 1, 31)))
    before = files.key
    paths[0].write_bytes(paths[0].read_bytes() + b" ")
    assert ImageFiles(paths).key != before
    paths[1].write_text("no image")
    with pytest.raises(DataError, match=r"1\.png"):
        extractor(ImageFiles(paths))


@pytest.mark.parametrize("name", registry.names("extractor"))
def test_every_registered_extractor_is_built_without_arguments(name):
    made = registry.load("extractor", name)()
    assert isinstance(made.Config(), type(made.config))
    assert {"identity", "weights_sha256", "version"} <= set(dir(made))


def test_pixels_need_no_weights():
    made = make("pixels", side=4)
    assert isinstance(made, Extractor)
    assert made(photographs(3)).shape == (3, 48)
    assert made.identity == "pixels@1:area-4px"


def test_names_are_resolved():
    assert resolve("timm:resnet18")[1] == {"network": "resnet18"}
    with pytest.raises(ConfigError, match="Did you mean 'inception'"):
        make("incepton")
    with pytest.raises(ConfigError, match="Did you mean 'resize'"):
        make("inception", resise="tf1")


def test_domain_outside_a_run_is_a_fitted_classifier(tmp_path):
    lab = small_lab(tmp_path)
    fitted = lab.fit_classifier(lab.train, title="domain feature extractor", stream="extractor")
    folder = fitted.stored.folder / "model"
    extractor = make("domain", model=folder)
    pixels = np.asarray(lab.train.pixels[:9])
    assert np.array_equal(extractor(pixels), lab.embed_pixels(fitted, pixels))
    assert extractor.weights_sha256 == folder_sha256(folder) == evaluate.FeatureSpace(lab, fitted).weights_sha256
    with pytest.raises(ConfigError, match="fitted by a run"):
        make("domain")(pixels)
    assert isinstance(extractor, Domain)


def test_a_run_measures_fidelity_on_the_extractor_it_names(tiny_weights, tmp_path):
    """Fidelity under the network, memorization under pixels and domain; other weights are another measurement."""
    found = {}
    for seed in (0, 1):
        section = {"name": f"timm:{TINY}", "weights": str(tiny_weights(seed))}
        lab = small_lab(tmp_path, extractor=section)
        space = evaluate.FeatureSpace(lab, lab.fit_classifier(lab.train, title="domain", stream="extractor"))
        reference, synthetic = discs(40, 5, prefix="ref"), discs(40, 6, prefix="syn-")
        metrics, floor = evaluate.measure_fidelity(lab.bench, space, lab.train, reference, synthetic)
        expected = make(f"timm:{TINY}", weights=tiny_weights(seed))
        assert space.name == expected.identity == evaluate.extractor_identity(lab.bench.config)
        assert space.weights_sha256 == expected.weights_sha256
        assert {"copy_rate[pixels]", "copy_rate[domain]"} <= set(metrics)
        assert "fid" in floor
        found[seed] = metrics["fid"].value
    assert found[0] != found[1]


def test_the_domain_extractor_stays_the_default(tmp_path):
    config = small_config(tmp_path)
    assert config.extractor.name == "domain"
    assert evaluate.extractor_identity(config) == "domain"
    assert config.plugin("domain")[0].__name__ == "SmallCNN"


def test_missing_weights_are_told_before_the_run_begins(tmp_path, monkeypatch):
    from bench.run import execute

    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    config = build_config(preset="smoke", extractor="inception", store=tmp_path / "store", out=tmp_path / "runs")
    with pytest.raises(ConfigError, match="bench weights fetch inception"):
        execute(config)
    assert not (tmp_path / "runs").exists()
