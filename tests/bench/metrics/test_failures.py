"""Failure detectors: each finds its planted failure, and stays at its null on images that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bench.contracts import Images
from bench.data.base import DataConfig
from bench.data.decode import Recipe
from bench.data.prepare import resolve
from bench.data.sources import TarSource
from bench.errors import DataError, UndefinedMetric
from bench.metrics import checkerboard, dice, duplicate_rate, measure_failures, no_lesion_rate, segment_lesions
from bench.metrics.checkerboard import peak_excess
from bench.metrics.lesion import otsu
from bench.pixels import UInt8


def phantom(n: int, seed: int, side: int = 32) -> Images:
    dataset: Any = resolve(DataConfig(spec="phantom", resolution=side))
    found: Images = dataset.draw(np.arange(n, dtype=np.int64) % 2, seed)
    return found


@pytest.fixture(scope="module")
def reals() -> Images:
    return phantom(400, 1)


@pytest.fixture(scope="module")
def others() -> UInt8:
    """As many images of other patients."""
    return np.asarray(phantom(400, 2).pixels)


def to_uint8(x: Any) -> UInt8:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


# ---- checkerboard ---------------------------------------------------------------------------------------------


def grid(period: int, side: int = 32) -> Any:
    """A checkerboard of +1 and -1 with ``period`` pixels a repeat, [side, side, 1]."""
    v, u = np.indices((side, side)) // (period // 2)
    return ((v + u) % 2 * 2 - 1)[..., None]


def test_reals_against_other_reals_have_no_checkerboard(reals: Images, others: UInt8) -> None:
    found = checkerboard(reals.pixels, others)
    assert found.value == pytest.approx(1.0, abs=0.1)
    assert found.low is not None
    assert found.low < 1.1


@pytest.mark.parametrize("period", [2, 4])
def test_a_faint_grid_is_found_at_its_period(reals: Images, others: UInt8, period: int) -> None:
    """A grey level or two up and down, which nobody sees, and five; images hold more at the longer period."""
    faint, strong = (checkerboard(reals.pixels, to_uint8(others + a * grid(period))) for a in (period / 2, 5))
    for found, least in ((faint, 1.1), (strong, 1.5)):
        assert found.low is not None
        assert found.low > least
        assert found.extra[f"period{period}"] == found.value
        assert found.extra[f"period{6 - period}"] < 1.1
    assert strong.extra[f"share_beyond_real_period{period}"] > 0.2


def test_transposed_convolutions_are_told_from_smooth_upsampling(reals: Images, others: UInt8) -> None:
    """Odena et al.: stride 2 and a kernel of 3 overlap unevenly; enlarging by repetition and smoothing does not."""
    import torch
    import torch.nn.functional as F

    small = torch.from_numpy(others[:, ::2, ::2]).permute(0, 3, 1, 2).double()
    kernel = torch.outer(torch.tensor([1.0, 1.3, 1.0]), torch.tensor([1.0, 1.3, 1.0])).double()
    uneven = F.conv_transpose2d(small, kernel.expand(3, 1, 3, 3) / 4, stride=2, padding=1, output_padding=1, groups=3)
    bilinear = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    painted, smooth = (checkerboard(reals.pixels, to_uint8(x.permute(0, 2, 3, 1).numpy())) for x in (uneven, bilinear))
    assert painted.value is not None
    assert smooth.value is not None
    assert painted.value > 10
    assert painted.value > 4 * smooth.value


@pytest.mark.parametrize("change", ["noise", "blur", "contrast", "shift"])
def test_what_moves_the_whole_spectrum_is_no_checkerboard(reals: Images, others: UInt8, change: str) -> None:
    x, rng = others.astype(np.float64), np.random.default_rng(0)
    changed = {
        "noise": x + rng.normal(0, 6, x.shape),
        "blur": gaussian_filter(x, (0, 0.5, 0.5, 0)),
        "contrast": 128 + (x - 128) * 0.6,
        "shift": np.roll(x, 1, axis=2),
    }[change]
    found = checkerboard(reals.pixels, to_uint8(changed))
    assert found.value is not None
    assert found.value < (1.6 if change == "blur" else 1.2)


def test_limits_cover_and_shrink_and_row_order_changes_nothing(reals: Images, others: UInt8) -> None:
    whole, part = checkerboard(reals.pixels, others, seed=3), checkerboard(reals.pixels[:50], others[:50], seed=3)
    assert whole.low is not None
    assert whole.high is not None
    assert part.low is not None
    assert part.high is not None
    assert whole.low <= (whole.value or 0) <= whole.high
    assert whole.high - whole.low < part.high - part.low
    assert checkerboard(reals.pixels, others[::-1], seed=3).value == pytest.approx(whole.value, rel=1e-12)


def test_a_pure_power_law_has_no_peaks() -> None:
    """Images of random phase whose power falls as a cubic says it: the formula gives 0, grey or coloured."""
    for side in (32, 36, 64):
        f = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
        power = np.exp(-4 * f + 3 * f**2)
        noise = np.random.default_rng(0).normal(size=(600, side, side, 3 if side == 36 else 1))
        x = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) * np.sqrt(power)[None, ..., None], axes=(1, 2)).real
        assert np.abs(peak_excess(to_uint8(128 + 30 * x * np.ones(3))).mean(axis=0)).max() < 0.15


def test_checkerboard_says_what_it_needs(reals: Images) -> None:
    x = np.asarray(reals.pixels)
    with pytest.raises(UndefinedMetric, match="fewer than 10 images"):
        checkerboard(x, x[:9])
    with pytest.raises(UndefinedMetric, match="a multiple of 4 and at least 32, and these are 28 x 28"):
        checkerboard(x[:, :28, :28], x[:, :28, :28])
    with pytest.raises(DataError, match="real images are"):
        checkerboard(x, x[:, :16, :16])


@pytest.mark.slow
def test_a_dcgan_shows_its_checkerboard(tmp_path: Path) -> None:
    """The positive case of the field: a DCGAN of kernel 5, trained for a short while on the phantom."""
    from bench.context import StageContext
    from generators.dcgan import DCGAN

    train, held_out = phantom(800, 3), phantom(400, 4)
    generator = DCGAN(DCGAN.Config(classes="separate", steps=300, channels=16, kernel=5))
    generator.fit(train, StageContext(0, tmp_path))
    found = checkerboard(held_out.pixels, generator.sample(held_out.labels, StageContext(1, tmp_path)))
    assert found.low is not None
    assert found.low > 1.5


# ---- near-duplicates --------------------------------------------------------------------------------------------


def test_reals_are_duplicates_at_the_null(reals: Images, others: UInt8) -> None:
    found = duplicate_rate(reals.pixels, others, reals.ids)
    assert found.value is not None
    assert found.low is not None
    assert found.low <= 0.01 + 0.01
    assert found.value < 0.03
    assert found.n == 400


@pytest.mark.parametrize("planted", [0.1, 0.5])
def test_planted_pairs_are_counted(reals: Images, others: UInt8, planted: float) -> None:
    """A share of the images is another one turned, flipped and slightly noised; both of a pair count."""
    x, k = others.astype(np.float64).copy(), round(planted * 200)
    x[200 : 200 + k] = np.rot90(x[:k, :, ::-1], axes=(1, 2)) + np.random.default_rng(0).normal(0, 2, x[:k].shape)
    found = duplicate_rate(reals.pixels, to_uint8(x))
    assert found.value == pytest.approx(planted, abs=0.03)
    assert found.extra["largest_family"] < 10


def test_a_collapsed_generator_scores_one(reals: Images, others: UInt8) -> None:
    noise = np.random.default_rng(0).normal(0, 3, others.shape)
    for several in (1, 4):
        repeated = to_uint8(others[np.arange(400) % several] + noise)
        found = duplicate_rate(reals.pixels, repeated)
        assert found.value == 1.0
        assert found.low is not None
        assert found.low > 0.98


def test_two_photographs_of_a_lesion_do_not_set_the_threshold(reals: Images, others: UInt8) -> None:
    doubled = np.concatenate([np.asarray(reals.pixels)] * 2)
    groups = np.concatenate([reals.ids] * 2)
    assert duplicate_rate(doubled, others).extra["threshold"] == 0.0
    assert duplicate_rate(doubled, others, groups).extra["threshold"] > 0.3


def test_sizes_of_sets_do_not_matter(reals: Images, others: UInt8) -> None:
    """A larger set is denser; compared as it is, its nearest neighbours would look like duplicates."""
    few = duplicate_rate(reals.pixels[:100], others)
    assert few.n == 100
    assert few.value is not None
    assert few.value < 0.06
    with pytest.raises(UndefinedMetric, match="n = 20 "):
        duplicate_rate(reals.pixels, others[:20])


# ---- lesions ----------------------------------------------------------------------------------------------------


def bare_skin(images: UInt8, slope: float = 0.0) -> UInt8:
    """Skin of the border's colour with noise, and light that falls off from left to right."""
    colour = np.median(images[:, :2].reshape(len(images), -1, 3), axis=1)[:, None, None]
    light = np.linspace(-slope, slope, images.shape[2])[None, None, :, None]
    return to_uint8(colour + light + np.random.default_rng(1).normal(0, 3, images.shape))


@pytest.mark.parametrize("side", [32, 64])
def test_segmentation_agrees_with_the_masks_of_the_phantom(side: int) -> None:
    images = phantom(200, 5, side)
    assert images.masks is not None
    truth = np.asarray(images.masks)[..., 0] > 127
    found = segment_lesions(images.pixels)
    agreement = dice(found.masks, truth)
    assert agreement.mean() > 0.8
    v, u = np.indices((side, side)) - (side - 1) / 2
    disc = np.broadcast_to(np.hypot(v, u) < side / 4, truth.shape)
    assert agreement.mean() > dice(disc, truth).mean() + 0.05, "no better than the same disc in every image"
    assert np.corrcoef(found.area, truth.mean((1, 2)))[0, 1] > 0.8


@pytest.mark.realdata
def test_segmentation_agrees_with_the_masks_of_ham10000(real_data_dir: Path) -> None:
    folder, recipe = real_data_dir / "ham10000", Recipe(32)
    images, masks = TarSource(folder / "HAM10000_images.tar"), TarSource(folder / "HAM10000_segmentations.tar")
    of = {Path(n).stem.removesuffix("_segmentation"): n for n in masks.names()}
    names = [n for n in images.names()[::30] if Path(n).stem in of]
    pixels = np.stack([recipe.image(images.read(n))[0] for n in names])
    truth = np.stack([recipe.mask(masks.read(of[Path(n).stem])) for n in names]) > 127
    agreement = dice(segment_lesions(pixels).masks, truth)
    assert len(agreement) > 300
    assert agreement.mean() > 0.83
    assert np.median(agreement) > 0.9


@pytest.mark.parametrize("slope", [0.0, 15.0])
def test_bare_skin_is_found_out(reals: Images, others: UInt8, slope: float) -> None:
    skin = bare_skin(others, slope)
    assert no_lesion_rate(reals.pixels, skin).value == 1.0
    mixed = no_lesion_rate(reals.pixels, np.concatenate([others[:300], skin[:100]]))
    assert mixed.low is not None
    assert mixed.high is not None
    assert mixed.low < 0.25 + 0.01 < mixed.high


def test_reals_have_lesions_at_the_null(reals: Images, others: UInt8) -> None:
    found = no_lesion_rate(reals.pixels, others)
    assert found.low is not None
    assert found.low < 0.01
    assert (found.value or 0) < 0.03


def test_lesions_that_fade_are_noticed_before_they_are_gone(reals: Images, others: UInt8) -> None:
    skin = bare_skin(others).astype(np.float64)
    rates = [no_lesion_rate(reals.pixels, to_uint8(a * others + (1 - a) * skin)).value or 0.0 for a in (1, 0.5, 0.2, 0)]
    assert rates == sorted(rates)
    assert rates[-1] > 0.99


def test_otsu_is_the_best_cut_of_two_groups() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 600), rng.normal(8, 1, 424)]).reshape(1, 32, 32)
    cuts = np.linspace(x.min(), x.max(), 400)[1:-1]
    within = [(x < c).mean() * x[x < c].var() + (x >= c).mean() * x[x >= c].var() for c in cuts]
    assert otsu(x)[0] == pytest.approx(cuts[int(np.argmin(within))], abs=0.3)
    assert otsu(np.full((1, 4, 4), 7.0))[0] == 7.0


def test_dice_by_hand() -> None:
    a, b = np.zeros((2, 2, 2), dtype=bool), np.zeros((2, 2, 2), dtype=bool)
    a[0], b[0, 0, 0] = True, True
    assert dice(a, b).tolist() == [2 * 1 / (4 + 1), 1.0]
    with pytest.raises(DataError, match="cannot be compared"):
        dice(a, b[:1])


def test_images_of_one_colour_are_no_trouble(reals: Images) -> None:
    flat = np.full((60, 32, 32, 3), 200, dtype=np.uint8)
    found = measure_failures(reals.pixels, flat, reals.ids)
    assert found["duplicate_rate"].value == 1.0
    assert found["no_lesion_rate"].value == 1.0
    assert all(np.isfinite(e.value or 0.0) for e in found.values())


def test_all_three_with_reasons_where_there_is_no_value(reals: Images) -> None:
    found = measure_failures(reals.pixels, np.asarray(reals.pixels[:5]), reals.ids)
    assert set(found) == {"checkerboard", "duplicate_rate", "no_lesion_rate"}
    assert found["checkerboard"].reason == "fewer than 10 images are on one side"
    assert found["no_lesion_rate"].value is not None
    assert all(e.direction == "lower" for e in found.values())
