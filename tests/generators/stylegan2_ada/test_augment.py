"""Augmentations against their matrices, and the probability that follows overfitting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from generators.stylegan2_ada import matrices as m
from generators.stylegan2_ada import warp as w
from generators.stylegan2_ada.augment import (
    AdaptiveP,
    Augmentation,
    blit_matrices,
    colour_matrices,
    geometric_matrices,
    mean_sign,
)

GROUPS = ("blit", "geometric", "colour")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = 3, side: int = 16) -> Tensor:
    return torch.randn(n, 3, side, side, generator=rng(), dtype=torch.float64)


def waves(side: int = 32) -> tuple[Tensor, np.ndarray]:
    """A smooth image [1, 3, side, side] and its frequencies [3, 2] in radians a pixel: known at any position."""
    frequencies = np.array([[0.2, 0.1], [-0.15, 0.25], [0.05, -0.3]])
    return wave_at(np.array(np.meshgrid(*[np.arange(side) - (side - 1) / 2] * 2)), frequencies), frequencies


def wave_at(places: np.ndarray, frequencies: np.ndarray) -> Tensor:
    """cos(f . (u, v)) of ``places`` [2, side, side], a frequency a colour: [1, 3, side, side]."""
    return torch.from_numpy(np.cos(np.tensordot(frequencies, places, 1)))[None]


def test_the_filter_is_the_orthogonal_wavelet_sym6() -> None:
    taps = np.array(w.SYM6)
    assert taps.sum() == pytest.approx(math.sqrt(2.0))
    for shift in range(0, 12, 2):  # orthogonal to its even shifts
        assert (taps[shift:] * taps[: 12 - shift]).sum() == pytest.approx(float(shift == 0), abs=1e-10)
    signs = taps[::-1] * (-1.0) ** np.arange(12)  # six vanishing moments of the band-pass filter
    for moment in range(6):
        assert (signs * np.linspace(-1, 1, 12) ** moment).sum() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("side", [8, 16, 32])
def test_the_identity_changes_nothing(side: int) -> None:
    x = noise(side=side)
    assert float((w.warp(x, m.identity(3, 3).double()) - x).abs().max()) < 1e-10
    assert torch.equal(w.blit(x, m.identity(3, 3)), x)
    assert torch.equal(w.recolour(x, m.identity(3, 4)), x)


def test_p_0_returns_the_images_and_draws_nothing() -> None:
    x, generator = torch.randn(4, 3, 16, 16), rng()
    assert Augmentation(GROUPS)(x, 0.0, generator) is x
    assert Augmentation(())(x, 1.0, generator) is x
    assert torch.equal(generator.get_state(), rng().get_state())
    for matrices in (blit_matrices(9, 0.0, 16, rng()), geometric_matrices(9, 0.0, 16, rng())):
        torch.testing.assert_close(matrices, m.identity(9, 3))
    torch.testing.assert_close(colour_matrices(9, 0.0, rng()), m.identity(9, 4))


def test_blits_are_flips_turns_and_mirrored_shifts() -> None:
    x = noise(1)
    one = torch.ones(1)
    flip = m.scaling2d(-one, one)
    assert torch.equal(w.blit(x, flip), x.flip(3))
    for k in range(4):
        turned = w.blit(x, m.rotation2d(k * math.pi / 2 * one))
        assert torch.equal(turned, torch.rot90(x, k, (2, 3)))
    shifted = w.blit(x, m.translation2d(-3 * one, 2 * one))
    expected = F.pad(x, (3, 0, 0, 2), mode="reflect")[:, :, 2:, :16]
    assert torch.equal(shifted, expected)
    both = w.blit(x, flip @ m.rotation2d(math.pi / 2 * one))  # the flip is done first
    assert torch.equal(both, torch.rot90(x.flip(3), 1, (2, 3)))


@pytest.mark.parametrize(
    "matrix",
    [
        m.rotation2d(torch.tensor([0.7])),
        m.scaling2d(torch.tensor([1.2]), torch.tensor([1.2])),
        m.scaling2d(torch.tensor([1.3]), torch.tensor([1 / 1.3])),
        m.translation2d(torch.tensor([1.3]), torch.tensor([-0.6])),
        m.scaling2d(torch.tensor([0.9]), torch.tensor([1.1])) @ m.rotation2d(torch.tensor([-2.0])),
    ],
    ids=["turn", "scale", "stretch", "shift", "stretch and turn"],
)
def test_a_warp_shows_what_its_matrix_says(matrix: Tensor) -> None:
    """On waves, whose value is known everywhere: inside, where no mirror image reaches."""
    x, frequencies = waves()
    along = np.arange(32) - 15.5
    places = np.array(np.meshgrid(along, along))
    source = (
        np.tensordot(matrix[0, :2, :2].double().numpy(), places, 1) + matrix[0, :2, 2].double().numpy()[:, None, None]
    )
    expected, found = wave_at(source, frequencies), w.warp(x, matrix.double())
    inside = torch.from_numpy((np.abs(source) < 12).all(0) & (np.abs(places) < 13).all(0))
    assert int(inside.sum()) > 250
    assert float((found - expected)[:, :, inside].abs().max()) < 0.005
    assert float((x - expected)[:, :, inside].abs().max()) > 0.3


def test_warps_do_not_alias() -> None:
    """The finest checkerboard shrunk to half is above what the pixels can hold: it has to vanish, not to fold."""
    i = torch.arange(32)
    board = ((i[:, None] + i[None]) % 2).double().mul(2).sub(1).expand(1, 3, 32, 32)
    half = m.scaling2d(torch.tensor([1.7]), torch.tensor([1.7])).double()
    plain = F.grid_sample(board, F.affine_grid(half[:, :2], [1, 3, 32, 32], align_corners=False), align_corners=False)
    assert float(w.warp(board, half)[..., 10:22, 10:22].abs().mean()) < 0.5 * float(
        plain[..., 10:22, 10:22].abs().mean()
    )


def test_colours_move_as_their_names_say() -> None:
    x = torch.rand(1, 3, 4, 4, generator=rng(), dtype=torch.float64) * 2 - 1
    grey, t = x.mean(1, keepdim=True), torch.tensor([0.3], dtype=torch.float64)
    torch.testing.assert_close(w.recolour(x, m.brightness(t)), x + 0.3)
    torch.testing.assert_close(w.recolour(x, m.contrast(t)), 0.3 * x)
    torch.testing.assert_close(w.recolour(x, m.saturation(t)), grey + 0.3 * (x - grey))
    torch.testing.assert_close(w.recolour(x, m.luma_flip(torch.ones_like(t))), x - 2 * grey)
    assert torch.equal(w.recolour(x, m.luma_flip(torch.zeros_like(t))), x)
    third = w.recolour(x, m.hue(torch.full_like(t, 2 * math.pi / 3)))
    torch.testing.assert_close(third, x.roll(1, 1))  # red becomes green, green blue, blue red
    torch.testing.assert_close(w.recolour(x, m.hue(t)).mean(1, keepdim=True), grey)


def test_the_pipeline_is_its_three_matrices() -> None:
    x = torch.randn(6, 3, 16, 16, generator=rng())
    whole, draws = Augmentation(GROUPS)(x, 0.8, rng(3)), rng(3)
    expected = w.blit(x, blit_matrices(6, 0.8, 16, draws))
    expected = w.warp(expected, geometric_matrices(6, 0.8, 16, draws))
    expected = w.recolour(expected, colour_matrices(6, 0.8, draws))
    assert torch.equal(whole, expected)
    assert not torch.allclose(whole, x)


@pytest.mark.parametrize("group", GROUPS)
def test_groups_can_be_used_alone(group: str) -> None:
    x = torch.randn(16, 3, 16, 16, generator=rng())
    y = Augmentation((group,))(x, 1.0, rng(1))
    if group == "blit":  # every value is one of the image
        assert all(torch.isin(b, a).all() for a, b in zip(x, y, strict=True))
    if group == "colour":  # a pixel's colour follows from that pixel's colour: affine maps keep differences in line
        ones = torch.cat([x.flatten(2), torch.ones(16, 1, 256)], 1)
        fitted = torch.linalg.lstsq(ones.transpose(1, 2), y.flatten(2).transpose(1, 2)).solution
        torch.testing.assert_close(ones.transpose(1, 2) @ fitted, y.flatten(2).transpose(1, 2), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(y, x)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_is_differentiable_twice(group: str) -> None:
    x = noise(2, 8).requires_grad_()
    draw = {"blit": blit_matrices, "geometric": geometric_matrices}.get(group)
    matrices = (draw(2, 1.0, 8, rng(5)) if draw else colour_matrices(2, 1.0, rng(5))).double()
    move = {"blit": w.blit, "geometric": w.warp, "colour": w.recolour}[group]

    def energy(y: Tensor) -> Tensor:
        return move(y, matrices).pow(3).sum(dim=(1, 2, 3))

    assert torch.autograd.gradcheck(lambda y: move(y, matrices).pow(3), (x,))
    assert torch.autograd.gradgradcheck(energy, (x,))


def test_chances_are_p() -> None:
    n, p = 20_000, 0.3
    blit = blit_matrices(n, p, 64, rng())
    shifted = float((blit[:, :2, 2].abs().sum(1) > 0.5).float().mean())
    assert shifted == pytest.approx(p, abs=0.02)  # a shift of 0 is rare at 64 px
    mirrored = float((torch.linalg.det(blit[:, :2, :2]) < 0).float().mean())
    assert mirrored == pytest.approx(p / 2, abs=0.02)
    geometry = geometric_matrices(n, p, 64, rng(1))
    unshifted = float((geometry[:, :2, 2].abs().sum(1) == 0).float().mean())
    assert unshifted == pytest.approx(1 - p, abs=0.02)
    areas = torch.linalg.det(geometry[:, :2, :2]).log() / 2  # scaling alone changes the area
    assert float((areas.abs() > 1e-5).float().mean()) == pytest.approx(p, abs=0.02)
    assert float(areas[areas.abs() > 1e-5].std()) == pytest.approx(0.2 * math.log(2), rel=0.05)


def test_p_goes_up_when_overfitting_and_down_when_not() -> None:
    ada = AdaptiveP(start=0.0, target=0.6, kimg=1.0, batch=50, every=4)
    for _ in range(8):
        ada.observe(torch.tensor(1.0))
    assert ada.p == pytest.approx(2 * 50 * 4 / 1000)
    assert ada.overfitting == 1.0
    for _ in range(4):
        ada.observe(mean_sign(torch.tensor([[1.0], [-1.0]])))
    assert ada.p == pytest.approx(0.2)
    for _ in range(40):
        ada.observe(torch.tensor(-1.0))
    assert ada.p == 0.0
    for _ in range(400):
        ada.observe(torch.tensor(1.0))
    assert ada.p == 1.0


def test_p_can_be_fixed_and_resumes() -> None:
    fixed = AdaptiveP(start=0.25, target=None, kimg=1.0, batch=50, every=1)
    fixed.observe(torch.tensor(1.0))
    assert fixed.p == 0.25
    ada, again = (AdaptiveP(start=0.0, target=0.6, kimg=1.0, batch=50, every=4) for _ in range(2))
    for sign in (1.0, -1.0):
        ada.observe(torch.tensor(sign))
    again.load_state_dict(ada.state_dict())
    for which in (ada, again):
        which.observe(torch.tensor(1.0))
        which.observe(torch.tensor(1.0))
    assert ada.state_dict() == again.state_dict()
    assert ada.overfitting == pytest.approx(0.5)
