"""Claims 17 to 19: what the harness itself must do, whatever the metrics."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.config import RunConfig, build_config
from bench.contracts import Context, GeneratorBase, Images, Labels, concatenate
from bench.errors import LeakError
from bench.pixels import UInt8
from bench.record import Record
from bench.run import execute
from bench.selfcheck.check import Verdict, all_of, claim
from bench.selfcheck.ground import Ground
from bench.selfcheck.subset import Subset, write_subset

PATHS = 2000
LATENT = 16
SECONDS = 0.4


@claim(17, "a generator that hands out test images makes the run fail", "leak guard")
def peeker_fails(ground: Ground) -> Verdict:
    """``test-peeker`` in a whole run: a leak error that names a test image, a failed record. ``copy`` runs through."""
    message, status = _run(ground, "test-peeker")
    named = [i for i in map(str, ground.judge.ids) if i in message]
    _, honest = _run(ground, "copy")
    passed = bool(named) and "only evaluation may see" in message and status == "failed" and honest == "complete"
    found = f"its error names {', '.join(named[:1])}" if named else message or "no leak found"
    observed = f"test-peeker: {status}, {found}; copy: {honest}"
    return Verdict(passed, observed, "failed, naming a test image; copy complete", {"named": len(named)})


def _run(ground: Ground, generator: str) -> tuple[str, str]:
    """(message of the leak error or "", status of the record) of a small run on the images of the ground."""
    config = small_run(ground, "synthetic-only", generator)
    try:
        return "", execute(config).record.status
    except LeakError as error:
        return str(error), Record.read(config.out / config.run_id() / "record.json").status


def small_run(ground: Ground, protocol: str, generator: str, **options: Any) -> RunConfig:
    """Configuration of a run in seconds on the images of the ground: train, held-out and oracle sets; tested on judge.

    ``options`` are those of :func:`bench.config.build_config`.
    """
    folder, place = ground.workdir / "subset", ground.workdir / "harness"
    if not folder.exists():
        write_subset(folder, concatenate([ground.train, ground.held_out, ground.oracle]), ground.judge, ground.positive)
    spec = f"{registry.class_path(Subset).split('@')[0]}:{folder}"
    data: dict[str, Any] = {"spec": spec, "resolution": ground.train.size[0]}
    data["task"] = "melanoma" if ground.train.num_classes == 2 else "classes"
    return build_config(
        preset="smoke", data=data, protocol=protocol, generator=generator, device="cpu", threads=1,
        store=place / "store", out=place / "runs", **{"replicates": 100, **options},
    )  # fmt: skip


class Linear(GeneratorBase):
    """A generator whose images are linear in its latent: G(z) = A z, with W = Z. ``scale`` 0: a constant one."""

    latent_size = LATENT

    def __init__(self, scale: float, side: int = 8) -> None:
        super().__init__()
        self.weights = scale * np.random.default_rng(0).standard_normal((LATENT, side, side, 3))

    def render_latents(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """A z, float32 [M, side, side, 3]."""
        return np.asarray(np.tensordot(z.astype(np.float64), self.weights, axes=1), dtype=np.float32)

    def map_styles(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """w = z."""
        return z

    def render_styles(self, w: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """A w."""
        return self.render_latents(w, labels, ctx)


def mean_square(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean squared difference float64 [M] of images [M, H, W, 3]: a distance whose path length is known."""
    return np.asarray(np.square(x.astype(np.float64) - y).mean(axis=(1, 2, 3)))


@claim(18, "PPL: a constant generator 0, a linear one its analytic value", "ppl")
def path_lengths(ground: Ground) -> Verdict:
    """In W the step is eps (w1 - w0), so E[d / eps²] = E|A (w1 - w0)|² / P = 2 |A|² / P for P values an image.

    In Z the step goes along the sphere: |A t|² / P with t of length theta sqrt(Z) tangent to it and theta the angle
    between two random directions, so E = |A|² E[theta²] / P.
    """
    from bench.context import StageContext
    from bench.metrics.path_length import path_length

    ctx, labels = StageContext(0, ground.workdir / "ppl"), np.zeros(PATHS, dtype=np.int64)
    constant, linear = Linear(0.0), Linear(10.0)
    power = float(np.square(linear.weights).sum() / linear.weights[0].size)
    expected: dict[Literal["w", "z"], float] = {"w": 2 * power, "z": power * mean_square_angle(LATENT)}
    zero = path_length(constant, labels, mean_square, ctx)
    values = {"constant": float(zero.value if zero.value is not None else np.nan)}
    z = []
    for space, value in expected.items():
        found = path_length(linear, labels, mean_square, ctx, space=space, trim=(0, 100))
        assert found.value is not None
        z.append((found.value - value) / found.extra["se"])
        values |= {space: found.value, f"{space}_expected": value}
    observed = (
        f"constant {values['constant']:g}; W {values['w']:.1f}, Z {values['z']:.1f} ({z[0]:+z.1f}, {z[1]:+z.1f} SE)"
    )
    passed = values["constant"] == 0 and max(map(abs, z)) <= 3
    return Verdict(passed, observed, f"0; {expected['w']:.1f}, {expected['z']:.1f} within 3 SE", values)


def mean_square_angle(dimension: int, steps: int = 200_000) -> float:
    """E[theta²] of the angle between two random directions in ``dimension`` dimensions: density ~ sin^(dimension-2)."""
    theta = (np.arange(steps) + 0.5) * np.pi / steps
    density = np.sin(theta) ** (dimension - 2)
    return float((theta**2 * density).sum() / density.sum())


class Sleeper:
    """Draws black images and sleeps; it measures its own sleep, which on a busy machine is longer than asked."""

    def __init__(self, seconds: float, size: int) -> None:
        self.seconds, self.size, self.slept = seconds, size, 0.0

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """uint8 [M, size, size, 3] after a sleep of ``seconds`` times M."""
        start = time.perf_counter()
        time.sleep(self.seconds * len(labels))
        self.slept = time.perf_counter() - start
        return np.zeros((len(labels), self.size, self.size, 3), dtype=np.uint8)


@claim(19, "a generator that sleeps is timed within 5 %", "throughput")
def sleeper_is_timed(ground: Ground) -> Verdict:
    """Images a second as the harness measures them, against the sleep's own clock; warm-up is not counted."""
    from bench.context import StageContext
    from bench.throughput import timed_call

    ctx, labels = StageContext(0, ground.workdir / "sleep"), np.zeros(40, dtype=np.int64)
    sleeper = Sleeper(SECONDS / len(labels), 8)
    _, speed = timed_call(
        lambda: sleeper.sample(labels, ctx), lambda: sleeper.sample(labels[:4], ctx), len(labels), ctx
    )
    measured, true = float(speed["images_per_second"]), len(labels) / sleeper.slept
    observed = f"{measured:.1f} images/s of {true:.1f}"
    clauses = {"throughput": abs(measured / true - 1) <= 0.05 and sleeper.slept >= SECONDS}
    return all_of(clauses, observed, "within 5 %", {"measured": measured, "true": true})
