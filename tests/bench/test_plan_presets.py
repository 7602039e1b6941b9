"""What the large presets of every generator cost can be told before anything is rented, on a GPU or not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench import estimates, registry
from bench.capabilities import CanEstimate
from bench.config import build_config
from bench.plan import plan

LARGE = ("gpu", "paper")
GENERATORS = [
    name for name in sorted(registry.names("generator"))
    if hasattr(registry.load("generator", name), "cost") and registry.load("generator", name).presets.get("paper")
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the weights that the paper's latent diffusion is judged by: a plan reads their checksum alone."""
    folder = tmp_path_factory.mktemp("presets")
    for name in ("lpips-vgg", "lpips-alex"):
        (folder / "weights" / name).mkdir(parents=True)
        (folder / "weights" / name / "weights.safetensors").write_bytes(b"any")
    return folder


def test_all_that_train_are_here() -> None:
    assert {"dcgan", "ddpm", "ldm", "pggan", "pix2pixhd", "stylegan2_ada"} <= set(GENERATORS)


@pytest.mark.parametrize("preset", LARGE)
@pytest.mark.parametrize("generator", GENERATORS)
def test_large_presets_are_planned_with_a_stated_cost(
    generator: str, preset: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(folder / "weights"))
    monkeypatch.setattr(estimates, "matmul_flops_per_second", lambda: 1e13)
    made = plan(
        build_config(
            preset=preset, protocol="synthetic-only", generator=generator, device="cpu", precision="fp32", seeds=1,
            store=folder / "store", out=folder / "runs",
            sets=["data.options.n_train=40", "data.options.n_test=20", "data.resolution=64"],
        )
    )  # fmt: skip
    (fit,) = (s for s in made.stages if s.stage == "fit")
    for value in (fit.cost.seconds, fit.cost.memory_mb, fit.cost.disk_mb):
        assert value is not None
        assert math.isfinite(value)
        assert value > 0
    drawn = [s.cost for s in made.stages if s.stage == "sample"]
    assert drawn
    assert all(cost.seconds is not None and 0 < cost.seconds < fit.cost.seconds for cost in drawn)


@pytest.mark.parametrize("preset", LARGE)
@pytest.mark.parametrize("generator", GENERATORS)
def test_stated_work_of_large_presets_grows_with_the_image(generator: str, preset: str) -> None:
    cls = registry.load("generator", generator)
    model = cls(cls.Config(**cls.presets[preset]))
    assert isinstance(model, CanEstimate)
    small, large = (model.cost(1000, size) for size in (64, 256))
    assert 1e14 < small.flops < large.flops < 1e22
    assert small.memory_mb < large.memory_mb < math.inf
