"""The drawing: class differences only where planted, every factor visible, masks where the lesion is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm

from bench.data.phantom import PhantomConfig
from bench.data.phantom.config import FACTOR_NAMES, FACTORS, MASK_NAMES
from bench.data.phantom.lesion import amounts, outline
from bench.data.phantom.population import population
from bench.data.phantom.render import Scene, compose, render
from bench.data.phantom.streams import Roster, drawn_roster

PLAIN = dict.fromkeys(("hair", "ruler", "dark_corner", "ink", "bubble"), 0.0)


def scenes(n: int, seed: int, label: int = 0, **options: Any) -> tuple[Scene, Roster]:
    config = PhantomConfig(**options)
    roster = drawn_roster(config, np.full(n, label), seed)
    return compose(roster, population(config, "melanoma"), config), roster


def test_nothing_but_the_factors_depends_on_the_class() -> None:
    n = 1500
    benign, melanoma = scenes(n, 1, 0)[0], scenes(n, 2, 1)[0]
    tested = 0
    for kind in ("patient", "lesion", "view"):
        for name, column in getattr(benign, kind).items():
            for a, b in zip(column.reshape(n, -1).T, getattr(melanoma, kind)[name].reshape(n, -1).T, strict=True):
                tested += 1
                assert ks_2samp(a, b).pvalue > 1e-6, (kind, name)
    assert tested > 400
    assert ks_2samp(benign.ita, melanoma.ita).pvalue > 1e-3


def test_the_same_patient_with_the_other_class_differs_in_the_factors_alone() -> None:
    benign, melanoma = scenes(50, 1, 0)[0], scenes(50, 1, 1)[0]
    for kind in ("patient", "lesion", "view"):
        for name, column in getattr(benign, kind).items():
            assert np.array_equal(column, getattr(melanoma, kind)[name])
    assert np.array_equal(benign.artifacts, melanoma.artifacts)
    assert not np.array_equal(benign.factors, melanoma.factors)


def test_factors_have_the_planted_shift_and_unit_covariance() -> None:
    n = 4000
    benign, melanoma = scenes(n, 3, 0)[0].factors, scenes(n, 4, 1)[0].factors
    direction = np.array([f.melanoma for f in FACTORS])
    expected = 2.0 * direction / np.linalg.norm(direction)
    error = (melanoma.mean(0) - benign.mean(0) - expected) / np.sqrt(2 / n)
    assert (2 * norm.sf(np.abs(error)) > 1e-5).all()
    for sample in (benign, melanoma):
        assert np.abs(np.cov(sample.T) - np.eye(len(FACTORS))).max() < 5 / np.sqrt(n)


def test_amounts_increase_strictly_with_their_factor() -> None:
    z = np.repeat(np.linspace(-6, 6, 200)[:, None], len(FACTORS), axis=1)
    for f in FACTORS:
        drawn = amounts(z)[f.name]
        assert (np.diff(drawn) > 0).all()
        assert f.low < drawn[0] < drawn[-1] < f.high


def test_border_irregularity_is_the_rms_of_the_ragged_part() -> None:
    scene, _ = scenes(40, 6)
    factors = scene.factors.copy()
    factors[:, FACTOR_NAMES.index("asymmetry")] = -50.0
    amount = amounts(factors)
    profile = outline(amount, scene.lesion) / amount["diameter"][:, None]
    spectrum = np.abs(np.fft.rfft(profile, axis=1)) / profile.shape[1]
    assert np.sqrt(2 * (spectrum[:, 5:17] ** 2).sum(axis=1)) == pytest.approx(amount["border"], rel=1e-3)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("name", FACTOR_NAMES)
def test_every_factor_can_be_seen(name: str, size: int) -> None:
    """Raising one factor by one d' step changes the picture of the same lesion by more than the sensor noise."""
    scene, roster = scenes(24, 7, artifact_rates=PLAIN)
    place = FACTOR_NAMES.index(name)
    pictures = []
    for z in (FACTORS[place].middle - 1, FACTORS[place].middle + 1):
        factors = scene.factors.copy()
        factors[:, place] = z
        pictures.append(render(replace(scene, factors=factors), roster, size)[0].astype(float))
    change = np.sqrt(((pictures[1] - pictures[0]) ** 2).mean((1, 2, 3)))
    assert np.median(change) > 2.0


def test_masks_agree_with_the_picture() -> None:
    scene, roster = scenes(120, 8, artifact_rates=PLAIN, ita=(20.0, 50.0))
    pixels, masks = render(scene, roster, 64)
    assert set(np.unique(masks)) == {0, 255}
    luma = pixels.astype(float) @ [0.299, 0.587, 0.114]
    lesion = masks[..., 0] > 0
    darker = [p[~m].mean() - p[m].mean() for p, m in zip(luma, lesion, strict=True)]
    assert np.mean(np.array(darker) > 5) > 0.95
    area = lesion.mean((1, 2))
    radius = amounts(scene.factors)["diameter"]
    assert np.corrcoef(area, radius**2)[0, 1] > 0.95
    assert 0.02 < area.min() < area.max() < 0.8


def test_structures_lie_in_the_lesion_and_grow_with_their_factor() -> None:
    scene, roster = scenes(80, 9, artifact_rates=PLAIN)
    for factor, mask in {
        "globules": "globules",
        "cysts": "milia_like_cyst",
        "network": "pigment_network",
        "negative_network": "negative_network",
        "streaks": "streaks",
    }.items():
        area = []
        for z in (-2.5, 0.0, 2.5):
            factors = scene.factors.copy()
            factors[:, FACTOR_NAMES.index(factor)] = z + FACTORS[FACTOR_NAMES.index(factor)].middle
            masks = render(replace(scene, factors=factors), roster, 64)[1] > 0
            region = masks[..., MASK_NAMES.index(mask)]
            area.append(region.mean())
            near = masks[..., 0] | masks[..., 1]
            if region.any() and mask != "streaks":  # streaks leave the lesion by their nature
                assert (region & near).sum() / region.sum() > 0.95
        assert area[0] <= area[1] <= area[2]
        assert area[2] > area[0] + 0.003, factor


def test_skin_gets_darker_with_a_smaller_typology_angle() -> None:
    means = []
    for ita in (-25.0, 10.0, 50.0):
        scene, roster = scenes(16, 10, artifact_rates=PLAIN, ita=(ita, ita))
        pixels, masks = render(scene, roster, 32)
        means.append(pixels[masks[..., 0] == 0].mean())
    assert means[0] + 20 < means[1] < means[2] - 20
