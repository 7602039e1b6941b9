"""Pixel diffusion: the contract, and that it learns which class looks how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.capabilities import CanEstimate, CanVary
from bench.context import StageContext
from bench.errors import DataError, StageError
from bench.testing import GeneratorContract, tiny_images
from generators.ddpm import DDPM
from tests.generators.colours import two_colours


class TestContract(GeneratorContract):
    """What every generator owes, on the smoke preset."""

    plugin = DDPM


def test_capabilities() -> None:
    assert isinstance(DDPM(), CanVary)
    assert isinstance(DDPM(), CanEstimate)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_samples_look_like_their_class(guidance: float, tmp_path: Path) -> None:
    options = {**DDPM.presets["smoke"], "steps": 300, "batch": 32, "channels": (32,), "ema": 0.9, "guidance": guidance}
    generator, ctx = DDPM(DDPM.Config(**options)), StageContext(0, tmp_path)
    generator.fit(two_colours(128), ctx)
    drawn = generator.sample(np.array([0, 1] * 8), ctx)
    light, dark = drawn[0::2].mean((1, 2, 3)), drawn[1::2].mean((1, 2, 3))
    assert light.min() > dark.max() + 40
    varied = generator.vary(two_colours(16), ctx, 0.2)
    assert np.abs(varied.mean((1, 2, 3)) - np.asarray(two_colours(16).pixels).mean((1, 2, 3))).max() < 30


def test_sampling_before_fitting_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="DDPM is not fitted yet: call fit or load first"):
        DDPM().sample(np.array([0]), StageContext(0, tmp_path))


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    generator, ctx = DDPM(DDPM.Config(**{**DDPM.presets["smoke"], "steps": 1})), StageContext(0, tmp_path)
    generator.fit(tiny_images(4), ctx)
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.1"):
        generator.sample(np.array([0, 2]), ctx)


def test_presets_are_valid_and_cost_more_from_one_to_the_next() -> None:
    sizes = {"smoke": 16, "cpu": 32, "gpu": 128, "paper": 256}
    assert set(DDPM.presets) == set(sizes)
    costs = [DDPM(DDPM.Config(**DDPM.presets[p])).cost(1000, size) for p, size in sizes.items()]
    assert [c.flops for c in costs] == sorted(c.flops for c in costs)
