"""Images made elsewhere: found by class or table, resized by the one policy, given once each, keyed by content."""

from __future__ import annotations

import csv
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.capabilities import HasInputs
from bench.context import StageContext
from bench.contracts import Images
from bench.data.base import DataConfig
from bench.data.decode import Recipe
from bench.data.prepare import resolve
from bench.errors import ConfigError, DataError
from bench.record import Record
from bench.registry import effective_config
from bench.run import execute
from bench.testing import GeneratorContract, tiny_images
from generators.folder import Folder
from tests.bench.cli.command import bench
from tests.worlds import small_config

PHANTOM = ["data.options.n_train=400", "data.options.n_test=200", "replicates=200"]


def write_images(folder: Path, images: Images, names: tuple[str, ...] = ("other", "melanoma")) -> Path:
    """``images`` as PNG files CLASS/number.png below ``folder``."""
    for i, (pixels, label) in enumerate(zip(np.asarray(images.pixels), images.labels, strict=True)):
        place = folder / names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i:04d}.png")
    return folder


def made(path: Path | str, **options: Any) -> Folder:
    return Folder(Folder.Config(path=str(path), **options))


@pytest.fixture
def ctx(tmp_path: Path) -> StageContext:
    return StageContext(3, tmp_path / "work")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_images(tmp_path / "made", tiny_images((6, 4), size=16))


class TestContract(GeneratorContract):
    """What every generator owes; there are images enough that no two seeds give one image at the same place."""

    plugin = Folder

    @pytest.fixture(autouse=True, scope="class")
    def _images(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
        place = write_images(tmp_path_factory.mktemp("made"), tiny_images(100, size=24, seed=5))
        request.cls.options = {"path": str(place)}


def test_images_come_in_the_class_asked_for_and_once_each(place: Path, ctx: StageContext) -> None:
    source, generator = tiny_images((6, 4), size=16), made(place)
    generator.fit(tiny_images(3), ctx)
    labels = np.array([1, 0, 1, 0, 0, 1, 0, 1, 0, 0])
    drawn = generator.sample(labels, ctx)
    same = (drawn[:, None] == np.asarray(source.pixels)[None]).all((2, 3, 4))
    assert same.sum(0).tolist() == [1] * 10, "each of the ten images is given exactly once"
    assert source.labels[same.argmax(1)].tolist() == labels.tolist()
    np.testing.assert_array_equal(generator.sample(labels[:3], ctx), drawn[:3])


def test_larger_images_are_resized_as_data_sets_are(tmp_path: Path, ctx: StageContext) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    for name in ("0", "1"):
        (tmp_path / "made" / name).mkdir(parents=True)
        Image.fromarray(wide).save(tmp_path / "made" / name / "a.png")
    data = (tmp_path / "made" / "0" / "a.png").read_bytes()
    for crop, filter_ in (("square", "lanczos"), ("pad", "area")):
        generator = made(tmp_path / "made", crop=crop, filter=filter_)
        generator.fit(tiny_images(3), ctx)
        expected = Recipe(16, crop, filter_).image(data)[0]  # type: ignore[arg-type]
        np.testing.assert_array_equal(generator.sample(np.array([1]), ctx)[0], expected)


def test_too_few_images_are_said_and_reuse_goes_round(place: Path, ctx: StageContext) -> None:
    generator = made(place)
    generator.fit(tiny_images(3), ctx)
    with pytest.raises(DataError, match=r"9 images of 'melanoma' are asked for, there are 4.*generator\.reuse=true"):
        generator.sample(np.ones(9, dtype=np.int64), ctx)
    generous = made(place, reuse=True)
    generous.fit(tiny_images(3), ctx)
    _, uses = np.unique(generous.sample(np.ones(9, dtype=np.int64), ctx), axis=0, return_counts=True)
    assert sorted(uses.tolist()) == [2, 2, 2, 3]


def test_a_table_beside_the_images_or_named_apart(place: Path, ctx: StageContext, tmp_path: Path) -> None:
    files = sorted(p.relative_to(place).as_posix() for p in place.rglob("*.png"))
    with (place / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *((f, f.split("/")[0]) for f in reversed(files))])
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in files:
            packed.write(place / name, name)
    labels = np.array([0, 1, 1, 0])
    drawn = []
    for options in ({"path": place / "labels.csv"}, {"path": archive, "table": str(place / "labels.csv")}):
        generator = made(**options)  # type: ignore[arg-type]
        generator.fit(tiny_images(3), ctx)
        drawn.append(generator.sample(labels, ctx))
    np.testing.assert_array_equal(*drawn)


def test_tables_of_data_sets_are_read_too(place: Path, ctx: StageContext) -> None:
    """With the columns of --data folder:DIR,TABLE.csv, where the suffix may be left out and other columns follow."""
    files = sorted(p.relative_to(place).with_suffix("").as_posix() for p in place.rglob("*.png"))
    labels, drawn = np.array([0, 1, 1, 0]), []
    for column, suffix in (("image", ""), ("image", ".png"), ("file", ".png")):
        table = place / f"{column}{suffix}.csv"
        with table.open("w", newline="") as stream:
            rows = [(f, f + suffix, f.split("/")[0]) for f in files]
            csv.writer(stream).writerows([("group", column, "label"), *rows])
        generator = made(place, table=str(table))
        generator.fit(tiny_images(3), ctx)
        drawn.append(generator.sample(labels, ctx))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    shutil.copy(place / f"{files[0]}.png", place / f"{files[0]}.jpg")
    with pytest.raises(DataError, match=r"image\.csv, line 2: there are several images .*: add the suffix"):
        made(place, table=str(place / "image.csv")).fit(tiny_images(3), ctx)


def test_other_names_can_be_told(tmp_path: Path, ctx: StageContext) -> None:
    place = write_images(tmp_path / "made", tiny_images(4, size=16, classes=3), ("nv", "mel", "bkl"))
    generator = made(place, classes={"nv": "other", "bkl": "other", "mel": "melanoma"})
    generator.fit(tiny_images(3), ctx)
    assert generator.sample(np.zeros(8, dtype=np.int64), ctx).shape == (8, 16, 16, 3)


def _misspelt(place: Path) -> None:
    (place / "melanoma").rename(place / "melanomas")


def _extra(place: Path) -> None:
    shutil.copytree(place / "other", place / "drafts")


def _missing(place: Path) -> None:
    shutil.rmtree(place / "melanoma")


def _loose(place: Path) -> None:
    shutil.copy(place / "other" / "0000.png", place / "stray.png")


def _damaged(place: Path) -> None:
    whole = (place / "other" / "0002.png").read_bytes()
    (place / "other" / "0002.png").write_bytes(whole[: len(whole) // 2])


def _table(text: str) -> Any:
    return lambda place: (place / "labels.csv").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "table", "message"),
    [
        (
            _misspelt,
            "",
            r"made/melanomas: 'melanomas' is no class of this task \(is 'melanoma' meant\?\): use other or 0",
        ),
        (_extra, "", r"made/drafts: 'drafts' is no class of this task: .*generator\.classes="),
        (_missing, "", r"no image of class 'melanoma': add a folder \(or rows\) called 'melanoma' or '1'"),
        (_loose, "", r"stray\.png: lies in no class folder"),
        (_damaged, "", r"1 unusable images: .*other/0002\.png: truncated or damaged"),
        (_table("picture,label\na,0\n"), "labels.csv", r"no column 'file' or 'image'; it has picture, label"),
        (_table("image,label\na,0\n"), "labels.csv", r"labels\.csv, line 2: .*made/a is not there"),
        (
            _table("image,label\nother/0000,0\nother/0000.png,0\n"),
            "labels.csv",
            r"lines 2 and 3: .* listed twice",
        ),
        (_table("file,label\nother/0000.png,9\n"), "labels.csv", r"labels\.csv, line 2: '9' is no class"),
        (_table("file,label\nother/nothing.png,0\n"), "labels.csv", r"line 2: .*other/nothing\.png is not there"),
        (_table("file,label\n" + "other/0000.png,0\n" * 2), "labels.csv", r"lines 2 and 3: .* listed twice"),
        (lambda place: None, "absent.csv", r"absent\.csv: no such table"),
        (shutil.rmtree, "", r"made: no such file or folder"),
    ],
)
def test_what_is_wrong_is_named(place: Path, ctx: StageContext, spoil: Any, table: str, message: str) -> None:
    spoil(place)
    with pytest.raises(DataError, match=message):
        made(place, table=table).fit(tiny_images(3), ctx)


def test_a_path_must_be_given() -> None:
    with pytest.raises(ConfigError, match="option 'path': Field required"):
        effective_config("generator", "folder", Folder, "cpu", {})


def test_the_key_follows_names_labels_and_contents_alone(place: Path, tmp_path: Path) -> None:
    assert isinstance(made(place), HasInputs)
    first = Folder.inputs(Folder.Config(path=str(place)))
    copied = shutil.copytree(place, tmp_path / "elsewhere")
    os.utime(copied / "other" / "0000.png", (1, 1))
    assert Folder.inputs(Folder.Config(path=str(copied))) == first
    (copied / "other" / "0000.png").write_bytes((copied / "other" / "0001.png").read_bytes())
    changed = Folder.inputs(Folder.Config(path=str(copied)))
    assert changed != first
    (copied / "other" / "0005.png").rename(copied / "melanoma" / "0005.png")
    assert Folder.inputs(Folder.Config(path=str(copied))) not in (first, changed)


@pytest.fixture(scope="module")
def phantom_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 pictures of patients that are in no split, at twice the resolution of the run."""
    phantom: Any = resolve(DataConfig(spec="phantom", resolution=32))
    fresh = phantom.draw(np.arange(600, dtype=np.int64) % 2, 77)
    return write_images(tmp_path_factory.mktemp("phantom") / "made", fresh, fresh.class_names)


def test_a_run_by_command_line(phantom_images: Path, tmp_path: Path) -> None:
    options = ["run", "--preset", "smoke", "--protocol", "synthetic-only", "--generator", "folder"]
    options += [f"--set={s}" for s in (*PHANTOM, "protocol.prior=balanced")]
    options += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "runs")]
    ran = bench(*options, f"--set=generator.path={phantom_images}")
    assert ran.returncode == 0, ran.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    record = Record.read(folder / "record.json")
    assert record.status == "complete"
    assert {a.name for a in record.arms} == {"C0", "S0"}
    assert {f.name for f in record.fidelity} == {"folder"}
    written = {Recipe(16).image(p.read_bytes())[0].tobytes() for p in phantom_images.rglob("*.png")}
    drawn = [np.load(p, allow_pickle=False) for p in (tmp_path / "store" / "sample").rglob("pixels.npy")]
    assert len(drawn) == 2, "one sample to train on, one to judge fidelity by"
    assert all(len({x.tobytes() for x in part} & written) == len(part) for part in drawn)
    few = bench(*options, f"--set=generator.path={phantom_images}", "--set=protocol.size=9")
    assert few.returncode != 0
    assert "are asked for, there are" in few.stdout + few.stderr


def test_a_repeat_executes_nothing_and_a_changed_file_is_noticed(phantom_images: Path, tmp_path: Path) -> None:
    place = shutil.copytree(phantom_images, tmp_path / "made")
    sets = [*PHANTOM, "protocol.prior=balanced", f"generator.path={place}"]
    config = small_config(tmp_path, sets=sets, protocol="synthetic-only", generator="folder")
    execute(config)
    assert execute(config).executed == 0
    one, other, *_ = sorted(place.rglob("*.png"))
    one.write_bytes(other.read_bytes())
    again = {s.name: s.status for s in execute(config).record.stages}
    assert again["fit folder"] == "executed"
    trained = {name.split(": ")[1].split(",")[0]: again[name] for name in again if name.startswith("train")}
    assert trained["S0 synthetic only"] == "executed"
    assert trained["C0 real only"] == "cached"
