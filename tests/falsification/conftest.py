"""Grounds of the falsification list: the phantom and real HAM10000 images, each in pixels and in a learned space."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from bench.data.base import DataConfig
from bench.selfcheck import CHECKS, Finding, Ground, make_extractor, prepare_ground
from tests.conftest import ROOT

IMAGES = 600
GROUNDS = ["phantom-pixels", "phantom-domain", "ham10000-pixels", "ham10000-domain"]
PLACES = {
    "phantom-pixels": (), "phantom-domain": (),
    "ham10000-pixels": pytest.mark.realdata, "ham10000-domain": pytest.mark.realdata,
}  # fmt: skip

Look = Callable[[int], Finding]


@pytest.fixture(scope="session")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ground]:
    """Grounds by name (one of GROUNDS), made when first asked for; skips where there are no real images."""
    made: dict[str, Ground] = {}

    def ground(name: str) -> Ground:
        if name not in made:
            data, _, extractor = name.partition("-")
            workdir = tmp_path_factory.mktemp(name)
            spec = data if data == "phantom" else f"{data}:{_real_images()}"
            store = _shared(tmp_path_factory) / "falsification-store"
            with FileLock(f"{store}.lock"):  # the images are decoded once for all test processes
                made[name] = prepare_ground(
                    DataConfig(spec=spec), lambda sets: make_extractor(extractor, sets, workdir), workdir, store, IMAGES
                )
        return made[name]

    return ground


@pytest.fixture(params=[pytest.param(name, marks=PLACES[name]) for name in GROUNDS])
def place(request: pytest.FixtureRequest) -> str:
    """Name of a ground."""
    return str(request.param)


@pytest.fixture
def ground(place: str, grounds: Callable[[str], Ground]) -> Ground:
    """The ground of this test."""
    return grounds(place)


@pytest.fixture
def look(ground: Ground) -> Look:
    """The finding on a number of the list, on the ground of this test."""
    return lambda number: CHECKS[number](ground)


def _real_images() -> Path:
    folder = Path(os.environ.get("BENCH_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real images: set BENCH_REAL_DATA to a folder with HAM10000 and the ISIC 2018 task 3 test set")
    return folder


def _shared(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base
