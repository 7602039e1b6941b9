"""Sampling that a differentiable score of the image steers (Dhariwal & Nichol 2021, arXiv:2105.05233, algorithm 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.capabilities import Score
from bench.contracts import Context, Labels
from bench.errors import ConfigError
from bench.pixels import UInt8
from generators._diffusion.model import DiffusionModel, image_noise
from generators._diffusion.noise import ForwardProcess
from generators._diffusion.sampling import Predict

LEAST_SIGNAL = 0.1  # through the network the gradient is divided by alpha, which is about 0 at the first steps


@torch.no_grad()
def guide(model: DiffusionModel, labels: Labels, ctx: Context, score: Score, scale: float) -> UInt8:
    """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3], drawn toward higher ``score``.

    Raises ConfigError for a negative ``scale``; 0 asks ``score`` nothing and gives what ``sample`` gives.
    """
    if scale < 0:
        raise ConfigError(f"the scale of guidance must be at least 0, got {scale}")
    if scale == 0:
        return model.sample(labels, ctx)
    model.check_labels(labels)
    eps = image_noise(len(labels), model.codec.code_shape(model.size), ctx.seed)
    steps = model.options.sampling_steps

    def batch(rows: Tensor, y: Tensor) -> Tensor:
        return model.decoded(steered(model, y, ctx, score, scale), eps[rows].to(ctx.device), ctx, steps)

    return model.pictures(batch, labels, ctx)


def steered(model: DiffusionModel, y: Tensor, ctx: Context, score: Score, scale: float) -> Predict:
    """The model's prediction with its noise estimate moved by -sigma_t scale grad_z score (algorithm 2).

    The score sees the estimate of the clean image, decoded and clipped to 0..1, not the noisy one, so it needs no
    training on noise (Bansal et al. 2023, arXiv:2302.07121). In terms of that estimate z_0 the move is
    scale sigma_t^2 / alpha_t J^T grad score, J = d z_0 / d z_t. The option ``guide_gradient`` takes J from the network,
    or as alpha_t I, that of white Gaussian codes (which these are up to second moments): no backward pass through the
    network is needed then, and nothing is divided by alpha_t.
    """
    predict, process = model.predictor(y), ForwardProcess(model.options, ctx.device)
    through = model.options.guide_gradient == "network"

    def moved(z_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = float(process.alpha[t]), float(process.sigma[t])
        with torch.set_grad_enabled(through):
            z = z_t.detach().requires_grad_(through)
            predicted = predict(z, t)
            z_0 = process.clean(z, predicted, t)
        gradient = _gradient(model, z if through else z_0.requires_grad_(), z_0, y, score)
        if through:
            gradient = gradient / max(alpha, LEAST_SIGNAL)
        return process.moved(predicted.detach(), scale * sigma**2 * gradient, t)

    return moved


def _gradient(model: DiffusionModel, at: Tensor, z_0: Tensor, y: Tensor, score: Score) -> Tensor:
    with torch.enable_grad():
        pixels = ((model.codec.decode(z_0, model.size).float() + 1.0) / 2.0).clamp(0.0, 1.0)
        (gradient,) = torch.autograd.grad(score(pixels, y).sum(), at)
    return gradient.float()
