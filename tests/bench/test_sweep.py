"""The sweep tells the time that was spent: generators that sleep, count and fail, timed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.contracts import Context, GeneratorBase, Images, Labels, Options
from bench.errors import ConfigError
from bench.pixels import UInt8
from bench.sweep import WARM_STEPS, Speed, sweep
from bench.testkit import tiny_images
from bench.timing import Clock, EnergyMeter

SECONDS_A_STEP, SECONDS_AN_IMAGE = 0.02, 0.004


class Sleeper(GeneratorBase):
    """Spends a known time and no work."""

    class Config(Options):
        """``too_many``: a batch at which memory is said to run out."""

        steps: int = 100
        batch: int = 8
        sampling_batch: int = 8
        too_many: int = 1000

    def fit(self, train: Images, ctx: Context) -> None:
        if self.config.batch >= self.config.too_many:
            raise RuntimeError("out of memory: tried to allocate 1 TiB\nand more")
        for i in range(self.config.steps):
            time.sleep(SECONDS_A_STEP)
            ctx.log(i + 1, self.config.steps, loss=0.0)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        assert len(labels) == self.config.sampling_batch
        time.sleep(SECONDS_AN_IMAGE * len(labels))
        return np.zeros((len(labels), 16, 16, 3), dtype=np.uint8)


class Multiplier(Sleeper):
    """Multiplies a [batch, 8] by an [8, 5] matrix each step, and two of them a sample."""

    def fit(self, train: Images, ctx: Context) -> None:
        import torch

        for i in range(self.config.steps):
            torch.ones(self.config.batch, 8) @ torch.ones(8, 5)
            ctx.log(i + 1, self.config.steps)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        import torch

        with torch.inference_mode():
            torch.ones(2 * len(labels), 8) @ torch.ones(8, 5)
        return np.zeros((len(labels), 16, 16, 3), dtype=np.uint8)


class Whole(GeneratorBase):
    """Fits at once, without steps or options."""

    def fit(self, train: Images, ctx: Context) -> None:
        time.sleep(0.2)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        time.sleep(0.02)
        return np.zeros((len(labels), 16, 16, 3), dtype=np.uint8)


class TwoPhases(Sleeper):
    """Spends other times in a first phase, whose length and batch are options of their own."""

    class Config(Sleeper.Config):
        """``first_steps``: of the first phase, ten times as slow."""

        first_steps: int = 3
        first_batch: int = 2

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        return {"first_steps": 1, "steps": steps, "batch": batch}

    def fit(self, train: Images, ctx: Context) -> None:
        import torch

        config = self.config
        phases = ((config.first_steps, config.first_batch, 10), (config.steps, config.batch, 1))
        for steps, batch, slow in phases:
            for i in range(steps):
                time.sleep(SECONDS_A_STEP * slow)
                torch.ones(batch, 8) @ torch.ones(8, 5 * slow)
                ctx.log(i + 1, steps)


class Thousands(Sleeper):
    """Says how long it trains in thousands of images, as StyleGAN2 does; ``steps`` are of drawing."""

    class Config(Options):
        """``kimg``: thousands of images; ``steps``: of one drawing of ``together`` images."""

        kimg: float = 100.0
        batch: int = 8
        steps: int = 4
        together: int = 8

    drawing_option = "together"
    fits: list[int] = []

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        return {"kimg": steps * batch / 1000, "batch": batch}

    def fit(self, train: Images, ctx: Context) -> None:
        steps = math.ceil(self.config.kimg * 1000 / self.config.batch)
        self.fits.append(steps)
        for i in range(steps):
            time.sleep(SECONDS_A_STEP)
            ctx.log(i + 1, steps)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        assert len(labels) == self.config.together
        time.sleep(SECONDS_AN_IMAGE * self.config.steps)
        return np.zeros((len(labels), 16, 16, 3), dtype=np.uint8)


def rows(cls: Any, batches: list[int], timed: int = 10, calls: int = 5, **options: Any) -> dict[tuple[str, int], Speed]:
    config = cls.Config(**options)

    def make(changes: Mapping[str, Any]) -> Any:
        return cls(cls.Config(**{**config.model_dump(), **changes}))

    found = sweep(make, config, tiny_images(10), batches, device="cpu", precision="fp32", steps=timed, calls=calls)
    return {(row.phase, row.batch): row for row in found}


@pytest.mark.speed
def test_a_generator_that_sleeps_is_timed_within_5_percent() -> None:
    found = rows(Sleeper, [4, 16])
    for batch in (4, 16):
        fit, sample = found["fit", batch], found["sample", batch]
        assert fit.images == 10 * batch
        assert fit.images_per_second == pytest.approx(batch / SECONDS_A_STEP, rel=0.05)
        assert fit.ms_p50 == pytest.approx(1000 * SECONDS_A_STEP / batch, rel=0.05)
        assert sample.images == 5 * batch
        assert sample.images_per_second == pytest.approx(1 / SECONDS_AN_IMAGE, rel=0.05)
        assert sample.ms_p50 == pytest.approx(1000 * SECONDS_AN_IMAGE, rel=0.05)
        assert sample.ms_p95 is not None
        assert sample.ms_p95 >= sample.ms_p50
        assert fit.flops is None
        assert sample.flops is None


def test_operations_are_those_of_one_image() -> None:
    found = rows(Multiplier, [3], calls=1)
    assert found["fit", 3].flops == 2 * 8 * 5
    assert found["sample", 3].flops == 2 * 2 * 8 * 5


def test_a_batch_that_does_not_fit_is_a_row_with_its_reason() -> None:
    found = rows(Sleeper, [4, 16], calls=1, too_many=16)
    assert found["fit", 16].error == "out of memory: tried to allocate 1 TiB"
    assert found["fit", 16].images_per_second is None
    assert not found["fit", 4].error
    assert not found["sample", 16].error


@pytest.mark.speed
def test_a_generator_without_steps_is_timed_as_a_whole() -> None:
    found = rows(Whole, [2])
    fit = found["fit", 20]
    assert fit.images == 20
    assert fit.seconds == pytest.approx(0.2, rel=0.05)
    assert found["sample", 2].images_per_second == pytest.approx(100, rel=0.05)


@pytest.mark.speed
def test_steps_of_the_main_phase_are_timed_at_the_batch_asked_for() -> None:
    found = rows(TwoPhases, [4, 8])
    for batch in (4, 8):
        fit = found["fit", batch]
        assert fit.images == 10 * batch
        assert fit.images_per_second == pytest.approx(batch / SECONDS_A_STEP, rel=0.05)
        assert fit.flops == 2 * 8 * 5, "of the second phase alone"


@pytest.mark.speed
def test_training_counted_in_images_is_cut_to_the_steps_asked_for() -> None:
    Thousands.fits.clear()
    found = rows(Thousands, [3, 6], calls=3)
    for batch in (3, 6):
        assert found["fit", batch].images_per_second == pytest.approx(batch / SECONDS_A_STEP, rel=0.05)
        sample = found["sample", batch]
        assert sample.images_per_second == pytest.approx(batch / (4 * SECONDS_AN_IMAGE), rel=0.05), "at its own steps"
    assert max(Thousands.fits) <= WARM_STEPS + 10 + 1
    assert sorted(Thousands.fits)[:2] == [2, 2], "of those that only make something to draw from"


@pytest.mark.parametrize("batch", [2, 8])
def test_latent_diffusion_is_timed_over_steps_of_its_unet(batch: int) -> None:
    """The work of an image is the stated one of the UNet and the encoder before it: not of the autoencoder."""
    from generators.ldm import LatentDiffusion

    smoke = {**LatentDiffusion.presets["smoke"], "ae_channels": (8, 16), "channels": (16, 32)}
    stated = [
        LatentDiffusion(LatentDiffusion.Config(**{**smoke, "steps": n, "batch": batch})).cost(10, 16) for n in (1, 2)
    ]
    found = rows(LatentDiffusion, [batch], timed=2, calls=1, **smoke)
    assert found["fit", batch].error == found["sample", batch].error == ""
    assert found["fit", batch].images == 2 * batch
    assert found["fit", batch].flops == pytest.approx((stated[1].flops - stated[0].flops) / batch, rel=0.15)


@pytest.mark.parametrize("name", ["dcgan", "pggan", "stylegan2_ada", "pix2pixhd", "ddpm"])
def test_generators_are_timed_step_by_step_at_their_full_size(name: str) -> None:
    cls = registry.load("generator", name)
    found = rows(cls, [4], timed=2, calls=1, **cls.presets["smoke"])
    assert found["fit", 4].error == found["sample", 4].error == ""
    assert found["fit", 4].images == 8
    assert found["fit", 4].flops


def test_growing_networks_are_timed_when_they_are_grown() -> None:
    from generators._pggan.cost import pggan_cost
    from generators.pggan import PGGAN

    options = PGGAN.Config(**PGGAN.presets["smoke"])

    def stated(side: int) -> float:
        growth = PGGAN.Config(fade=0, stable=1, final=1).growth(side)
        return pggan_cost(growth, options.widths(16)[: growth.levels], options.latent, 4, 1).flops

    found = rows(PGGAN, [4, 1], timed=2, calls=1, **PGGAN.presets["smoke"])
    assert found["fit", 4].flops == pytest.approx((stated(16) - stated(8)) / 4, rel=0.1)
    assert found["fit", 1].error == "batch 1: Input should be greater than or equal to 2"
    assert not found["sample", 1].error


def test_batch_sizes_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch sizes must be 1 or more, got 0"):
        rows(Sleeper, [0])


@pytest.mark.speed
def test_clock_gives_the_intervals_between_marks() -> None:
    clock = Clock("cpu")
    for pause in (0.03, 0.06):
        clock.mark()
        time.sleep(pause)
    clock.mark()
    np.testing.assert_allclose(clock.seconds(), [0.03, 0.06], rtol=0.05)


@pytest.mark.gpu
def test_events_time_work_that_is_still_queued() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x, clock = torch.randn(4096, 4096, device="cuda"), Clock("cuda")
    for _ in range(3):
        clock.mark()
        for _ in range(20):
            x @ x
    clock.mark()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        x @ x
    torch.cuda.synchronize()
    assert clock.seconds()[-1] == pytest.approx(time.perf_counter() - start, rel=0.2)


def test_energy_is_read_from_the_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.timing.RAPL", tmp_path)
    assert EnergyMeter("cpu").joules() is None
    for package in (0, 1):
        (tmp_path / f"intel-rapl:{package}").mkdir()
        (tmp_path / f"intel-rapl:{package}" / "energy_uj").write_text("1000000\n")
    meter = EnergyMeter("cpu")
    assert meter.source == "RAPL"
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("3500000\n")
    assert meter.joules() == 2.5
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("0\n")
    assert meter.joules() is None  # wrapped around


class FakeNVML(ModuleType):
    """The driver's library, which is on machines with a GPU alone: ``millijoules`` of the board with ``uuid``."""

    def __init__(self, uuid: str, millijoules: list[int]) -> None:
        super().__init__("pynvml")
        self.uuid, self.millijoules = uuid, millijoules

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != self.uuid:
            raise LookupError("not found")
        return f"handle of {uuid}"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        assert handle == f"handle of {self.uuid}"
        return self.millijoules.pop(0)


@pytest.mark.parametrize("told", ["GPU-12ab", "12ab"], ids=["with prefix", "as torch says it"])
def test_energy_of_a_gpu_is_that_of_the_board_in_use(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=told))
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML("GPU-12ab", [1000, 3500]))
    meter = EnergyMeter("cuda:1")
    assert meter.source == "NVML"
    assert meter.joules() == 2.5
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML("GPU-other", [1000, 3500]))
    assert EnergyMeter("cuda").joules() is None, "another board's energy is not told"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter = EnergyMeter("cuda")
    assert (meter.joules(), meter.source) == (None, "")


def test_operations_are_counted_in_inference_mode_too() -> None:
    import torch

    from bench.operations import OperationCounter

    with OperationCounter() as counter, torch.inference_mode():
        torch.nn.Conv2d(3, 4, 3)(torch.ones(2, 3, 10, 10))
    assert counter.total == 2 * 2 * 4 * 64 * 27


def test_operations_of_second_derivatives_are_counted() -> None:
    """d/dw of |d(w x)/dx|^2: a product forward, one for the gradient and one for the gradient of that."""
    import torch

    from bench.operations import OperationCounter

    w, x = torch.ones(4, 5, requires_grad=True), torch.ones(3, 4, requires_grad=True)
    with OperationCounter() as counter:
        (slope,) = torch.autograd.grad((x @ w).sum(), x, create_graph=True)
        slope.square().sum().backward()
    assert counter.total == 3 * 2 * 3 * 4 * 5
