"""Learning on from chosen images: all weights, low-rank updates, or class embeddings alone."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Context, Images
from bench.loop import BatchRows, PixelTensor, seed_all, train_loop
from bench.training.accumulation import MicroBatches
from generators._diffusion.model import DiffusionModel
from generators._diffusion.training import DenoisingLoss, Optimiser

LOW_RANK_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2")
WARMUP = 0.1  # share of the steps


def finetune(model: DiffusionModel, images: Images, replay: Images, ctx: Context) -> None:
    """Train ``model``'s UNet on ``images`` with the share ``finetune_replay`` of every batch from ``replay``.

    Starts from the averaged weights that are sampled from. Codec and class embeddings stay as they are sized; the
    learning rate falls to a twentieth, in place of another average. LoRA updates (Hu et al. 2022, arXiv:2106.09685) go
    to attention and residual convolutions, with alpha = rank, and are merged at the end. Resumes from ``ctx``.
    Raises DataError for images of other classes or another size.
    """
    for part in (images, replay):
        model.check_images(part)
    options = model.options
    seed_all(ctx.seed)
    model.placed(ctx.device)
    unet = copy.deepcopy(model.unet)
    low_rank = options.finetune_mode == "lora"
    trained: Any = with_low_rank(unet, options.lora_rank) if low_rank else unet.requires_grad_(True)
    loss_of = DenoisingLoss(options, model.codec, model.num_classes, ctx)
    draw = _Mixture(images, replay, options.batch, options.finetune_replay, ctx)

    _train(trained, loss_of, draw, options.finetune_steps, options.finetune_lr)
    merged = trained.merge_and_unload() if low_rank else trained
    model.unet = merged.eval().requires_grad_(False)


def learn_token(model: DiffusionModel, images: Images, ctx: Context) -> None:
    """Train the class embeddings of the labels among ``images``, begun where they are, with all else frozen.

    Gal et al. (2023, arXiv:2208.01618) do so with the embedding of a word. Resumes from ``ctx``.
    """
    model.check_images(images)
    options = model.options
    seed_all(ctx.seed)
    model.placed(ctx.device)
    unet: Any = copy.deepcopy(model.unet)
    weight = unet.class_embedding.weight.requires_grad_(True)
    learnt = torch.zeros(len(weight), 1, device=weight.device)
    learnt[torch.from_numpy(np.unique(images.labels))] = 1.0
    weight.register_hook(lambda gradient: gradient * learnt)
    loss_of = DenoisingLoss(options, model.codec, model.num_classes, ctx)
    draw = _Mixture(images, images, options.batch, 0.5, ctx)

    _train(unet, loss_of, draw, options.token_steps, options.token_lr)
    with torch.no_grad():
        model.unet.get_parameter("class_embedding.weight").copy_(weight)


def with_low_rank(unet: nn.Module, rank: int) -> Any:
    """``unet`` with trainable updates of ``rank`` that start at zero, all else frozen."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(LOW_RANK_LAYERS), lora_dropout=0.0)
    return get_peft_model(cast(Any, unet), config)


def _train(module: nn.Module, loss_of: DenoisingLoss, draw: _Mixture, steps: int, lr: float) -> None:
    options, ctx = loss_of.options, loss_of.ctx
    parameters = [p for p in module.parameters() if p.requires_grad]
    warmup = round(WARMUP * steps)
    # No weight decay: it would pull the weights of rows and layers that the images say nothing of.
    optimiser = Optimiser(parameters, lr=lr, steps=steps, warmup=warmup, decay=0.0, clip=options.grad_clip)
    micro = MicroBatches(parameters, options.batch, tell=getattr(ctx, "note", None))

    def step(i: int, rng: torch.Generator) -> dict[str, Tensor]:
        batch = loss_of.drawn(*draw(rng), rng)
        return {"loss": optimiser.update(lambda: micro.backward(lambda rows: loss_of.of(module, batch, rows)), i)}

    module.train()
    train_loop(ctx, steps, {"module": module, "optimiser": optimiser.adamw}, step)


class _Mixture:
    """Batches of which the last share comes from ``replay``, drawn with equal class prior, the rest from ``images``."""

    def __init__(self, images: Images, replay: Images, batch: int, share: float, ctx: Context) -> None:
        replayed = min(batch - 1, -int(-batch * share // 1)) if batch > 1 else 0
        self.parts = [
            (PixelTensor(part.pixels, ctx.device), torch.from_numpy(part.labels), BatchRows(part.labels, n, balanced=b))
            for part, n, b in ((images, batch - replayed, False), (replay, replayed, True))
            if n
        ]

    def __call__(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(uint8 [B, 3, H, W], int64 [B])."""
        drawn = [(pixels[rows], labels[rows]) for pixels, labels, draw in self.parts for rows in (draw(rng),)]
        return torch.cat([x for x, _ in drawn]), torch.cat([y for _, y in drawn])
