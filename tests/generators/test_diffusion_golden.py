"""What the options that are measured give: a change of any of these numbers needs a new ``version``.

Norms of weights after twelve steps, and mean colours of samples and variations, taken when ``ddpm`` was at version 4
and ``ldm`` at version 3. Tolerances leave room for the rounding of other processors, not for another formula.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.context import StageContext
from bench.testing import tiny_images
from generators.ddpm import DDPM
from generators.ldm import LatentDiffusion

SMALL = {
    "steps": 12,
    "batch": 8,
    "channels": (16, 32),
    "guidance": 1.0,
    "sampling_levels": None,
    "sampling_steps": 4,
    "sampling_batch": 8,
}
PLAIN = {"patch": 2, "bands": False, "prediction": "epsilon", "schedule": "linear", "sampler": "ddim"}
LATENT = {"ae_steps": 12, "ae_batch": 8, "ae_channels": (16, 32)}

GOLDEN: dict[str, tuple[Any, dict[str, Any], tuple[float, ...], list[list[float]], list[list[float]]]] = {
    "ddpm": (
        DDPM,
        SMALL,
        (2.311060, 0.038395, 13.693961),
        [[205.469, 164.387, 140.445], [193.148, 147.723, 128.945], [203.930, 164.664, 143.699]],
        [[207.234, 158.473, 131.105], [189.527, 142.805, 126.074], [203.684, 160.648, 140.254]],
    ),
    "ddpm of plain pixels": (
        DDPM,
        {**SMALL, **PLAIN, "min_snr": None, "guidance": 2.0, "dropout": 0.1},
        (2.312711, 0.032395, 14.106484),
        [[120.086, 130.574, 121.777], [122.301, 124.195, 108.910], [127.023, 122.055, 126.281]],
        [[193.141, 152.691, 125.027], [182.070, 145.207, 126.129], [186.941, 152.828, 136.812]],
    ),
    "ldm": (
        LatentDiffusion,
        {**SMALL, **LATENT},
        (2.311755, 0.020785, 13.964616),
        [[211.816, 170.277, 145.836], [203.559, 160.605, 139.750], [204.879, 162.562, 139.762]],
        [[212.301, 163.074, 135.219], [197.340, 152.535, 134.148], [204.535, 159.250, 137.418]],
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_measured_options_give_what_they_gave(case: str, tmp_path: Path) -> None:
    plugin, options, norms, sampled, varied = GOLDEN[case]
    generator, ctx, train = plugin(plugin.Config(**options)), StageContext(3, tmp_path), tiny_images(10)
    generator.fit(train, ctx)
    unet = generator.model.state()["unet"]
    names = ("conv_in.weight", "conv_out.weight", "class_embedding.weight")
    assert [float(unet[name].double().norm()) for name in names] == pytest.approx(norms, rel=1e-3)
    drawn = generator.sample(np.array([0, 1, 1]), ctx).mean((1, 2))
    np.testing.assert_allclose(drawn, sampled, atol=0.5)
    drawn = generator.vary(train.take(np.arange(3)), ctx, 0.4).mean((1, 2))
    np.testing.assert_allclose(drawn, varied, atol=0.5)


def test_versions_are_those_of_the_golden_numbers() -> None:
    assert (DDPM.version, LatentDiffusion.version) == ("4", "3")
