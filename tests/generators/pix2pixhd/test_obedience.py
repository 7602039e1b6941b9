"""What pix2pixHD is for: the lesion lies where the mask says. Judged by a segmenter that knows nothing of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.context import StageContext
from bench.contracts import Images
from bench.data.base import DataConfig
from bench.data.phantom import Phantom
from generators.pix2pixhd import Pix2PixHD
from tests.generators.pix2pixhd.segmenter import obedience, segment


def phantoms(n: int, seed: int) -> Images:
    """``n`` phantoms at 32 px, half of them melanomas, lighter skin so that lesions stand out."""
    drawn = Phantom(Phantom.Config(ita=(20.0, 60.0)), DataConfig(resolution=32))
    return drawn.draw(np.arange(n, dtype=np.int64) % 2, seed)


def test_the_segmenter_finds_a_disc() -> None:
    v, u = np.mgrid[:32, :32] - 15.5
    disc = np.hypot(u + 3, v) < 8
    noise = np.random.default_rng(0).normal(0, 4, (32, 32, 3))
    image = np.where(disc[..., None], (120, 80, 60), (220, 180, 160)) + noise
    found = segment(np.clip(np.rint(image), 0, 255).astype(np.uint8))
    assert (found & disc).sum() / (found | disc).sum() > 0.95


def test_the_segmenter_finds_the_lesions_of_the_phantom() -> None:
    real = phantoms(60, seed=1)
    assert real.masks is not None
    own, other = obedience(np.asarray(real.pixels), np.asarray(real.masks))
    assert own > other + 0.25


@pytest.mark.slow
def test_painted_lesions_lie_in_their_masks(tmp_path: Path) -> None:
    train, fresh = phantoms(800, seed=0), phantoms(200, seed=1)
    assert fresh.masks is not None
    options = {"steps": 600, "widths": (16, 32, 64), "blocks": 2, "critic_widths": (16, 32, 64)}
    generator, ctx = Pix2PixHD(Pix2PixHD.Config(**options)), StageContext(0, tmp_path)
    generator.fit(train, ctx)
    masks = np.asarray(fresh.masks)
    painted = generator.paint(masks, fresh.labels, ctx)
    own, other = obedience(painted, masks)
    real, _ = obedience(np.asarray(fresh.pixels), masks)
    assert own > 0.6
    assert own > other + 0.25
    assert own > real - 0.05  # the segmenter's own limit
    drawn = generator.sample(fresh.labels, ctx)
    own, other = obedience(drawn, generator.model.drawn_masks(fresh.labels, ctx.seed))
    assert own > other + 0.25
    darker = [image[m].mean() < image[~m].mean() for image, m in zip(painted, masks[..., 0] > 0, strict=True)]
    assert np.mean(darker) > 0.95
