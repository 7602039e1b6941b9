"""Regularisers against finite differences in float64, and the losses against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generators.stylegan2_ada.loss import (
    PathLength,
    discriminator_loss,
    generator_loss,
    path_lengths,
    r1_penalty,
)
from generators.stylegan2_ada.networks import Discriminator, Generator

STEP = 1e-5


def pair(c_dim: int = 0) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    g = Generator(4, c_dim, 4, 8, 2, 32, 4)
    return g.double(), Discriminator(c_dim, 8, 32, 4).double()


def directional(loss: Tensor, parameters: list[nn.Parameter], along: list[Tensor]) -> float:
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return sum(float((g * v).sum()) for g, v in zip(gradients, along, strict=True) if g is not None)


def moved(parameters: list[nn.Parameter], along: list[Tensor], by: float) -> None:
    with torch.no_grad():
        for p, v in zip(parameters, along, strict=True):
            p += by * v


def central(value: object, parameters: list[nn.Parameter], along: list[Tensor]) -> float:
    """(f(p + h v) - f(p - h v)) / 2h by two evaluations."""
    found = []
    for sign in (1, -1):
        moved(parameters, along, sign * STEP)
        found.append(float(value()))  # type: ignore[operator]
        moved(parameters, along, -sign * STEP)
    return (found[0] - found[1]) / (2 * STEP)


def test_logistic_losses() -> None:
    logits = torch.tensor([[-2.0], [0.5], [3.0]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits.numpy()))
    assert float(generator_loss(logits)) == pytest.approx(-np.log(p).mean())
    assert float(discriminator_loss(logits, -logits)) == pytest.approx(-2 * np.log(p).mean())


def test_r1_is_the_squared_gradient() -> None:
    _, d = pair()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    numeric = torch.zeros(2, 3 * 64, dtype=torch.float64)
    with torch.no_grad():
        for i in range(3 * 64):
            e = torch.zeros(1, 3 * 64, dtype=torch.float64)
            e[0, i] = STEP
            e = e.view(1, 3, 8, 8)
            # the deviation over the minibatch couples the images: one image's logit is moved by the other's pixels too
            for b in range(2):
                up, down = x.clone(), x.clone()
                up[b] += e[0]
                down[b] -= e[0]
                numeric[b, i] = (d(up).sum() - d(down).sum()) / (2 * STEP)
    penalty = float(r1_penalty(d, x))
    assert penalty == pytest.approx(float(numeric.square().sum(1).mean()), rel=1e-6)


@pytest.mark.parametrize("c_dim", [0, 2])
def test_gradient_of_r1_in_the_weights(c_dim: int) -> None:
    _, d = pair(c_dim)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    c = torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0]] if c_dim else None
    parameters = list(d.parameters())
    along = [torch.randn_like(p) for p in parameters]

    def penalty() -> Tensor:
        return r1_penalty(lambda y: d(y, c), x)

    assert directional(penalty(), parameters, along) == pytest.approx(central(penalty, parameters, along), rel=1e-5)


def test_path_length_is_the_norm_of_the_jacobian_product() -> None:
    g, _ = pair()
    ws = g.mapping(torch.randn(2, 4, dtype=torch.float64)).detach().clone()
    y = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    numeric = torch.zeros_like(ws)
    with torch.no_grad():
        for layer in range(ws.shape[1]):
            for i in range(ws.shape[2]):
                step = torch.zeros_like(ws)
                step[:, layer, i] = STEP
                difference = g.synthesis(ws + step, "const") - g.synthesis(ws - step, "const")
                numeric[:, layer, i] = (difference * y).sum((1, 2, 3)) / (2 * STEP)
    expected = (numeric.square().sum(2).mean(1) / 64).sqrt()
    ws.requires_grad_()
    np.testing.assert_allclose(path_lengths(g.synthesis(ws, "const"), ws, y).detach(), expected, rtol=1e-6)


def test_gradient_of_the_path_penalty_in_the_weights() -> None:
    g, _ = pair()
    z, y = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 3, 8, 8, dtype=torch.float64)
    parameters = [p for n, p in g.named_parameters() if "noise_strength" not in n]
    along = [torch.randn_like(p) for p in parameters]

    def penalty() -> Tensor:
        ws = g.mapping(z)
        return (path_lengths(g.synthesis(ws, "const"), ws, y) - 0.3).square().mean()

    assert directional(penalty(), parameters, along) == pytest.approx(central(penalty, parameters, along), rel=1e-5)


def test_mean_path_length_follows_what_is_seen() -> None:
    g, _ = pair()
    paths = PathLength(decay=0.5)
    ws = g.mapping(torch.randn(4, 4, dtype=torch.float64))
    images = g.synthesis(ws, "const")
    y = torch.randn(images.shape, dtype=torch.float64)
    lengths = path_lengths(images, ws, y).detach()
    penalty, seen = (float(value) for value in paths.penalty(images, ws, y))
    assert seen == pytest.approx(float(lengths.mean()))
    mean = 0.5 * seen
    assert paths.mean == 0.0
    paths.observe(seen)
    assert paths.mean == pytest.approx(mean)
    assert penalty == pytest.approx(float((lengths - mean).square().mean()))
    again = PathLength()
    again.load_state_dict(paths.state_dict())
    assert again.mean == paths.mean
    assert math.isfinite(again.mean)
