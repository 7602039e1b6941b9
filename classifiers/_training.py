"""Training and application of a classification network: equal steps, balanced batches, averaged weights, selection."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import Context, Images, Labels, Probabilities
from bench.loop import BatchRows, Ema, PixelTensor, autocast, train_loop
from bench.pixels import PixelArray, chunks
from classifiers._augment import augment
from classifiers._base import TrainOptions

TINY = 1e-12


class Network(nn.Module):
    """A network whose input is float [n, 3, H, W] in [0, 1]; it normalises and resizes by itself."""

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Logits [n, K]."""
        return self.head(self.features(x_nchw))

    def features(self, x_nchw: Tensor) -> Tensor:
        """Penultimate features [n, D]."""
        raise NotImplementedError

    def head(self, features: Tensor) -> Tensor:
        """Logits [n, K] of penultimate features [n, D]."""
        raise NotImplementedError


@dataclass
class Chosen:
    """The weights that are kept, the step they are from, and their score on val (None if val could not decide)."""

    weights: dict[str, Tensor]
    step: int
    score: float | None
    notes: list[str] = field(default_factory=list)


class Selector:
    """Keeps the weights with the best score on val; a part of the training state, so it survives a kill."""

    def __init__(self, val: Images, rule: str, device: str, block: int) -> None:
        self.val, self.rule, self.device, self.block = val, rule, device, block
        self.best: Chosen | None = None
        self.why_last = _why_undecided(val) if rule != "last" else ""
        self.decides = rule != "last" and not self.why_last

    def consider(self, network: nn.Module, step: int) -> float | None:
        """Score ``network`` on val, keep its weights if none before scored higher; returns the score."""
        score = self._score(network) if self.decides else None
        if self.best is None or score is None or self.best.score is None or score > self.best.score:
            weights = {k: v.detach().to("cpu", copy=True) for k, v in network.state_dict().items()}
            self.best = Chosen(weights, step, score)
        return score

    def _score(self, network: nn.Module) -> float:
        shown = probabilities(cast(Network, network), self.val.pixels, self.device, self.block, self.val.num_classes)
        if self.rule == "loss":
            return float(np.mean(np.log(shown[np.arange(len(shown)), self.val.labels] + TINY)))
        return macro_auc(self.val.labels, shown)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.best is None else {k: getattr(self.best, k) for k in ("weights", "step", "score")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = Chosen(**state) if state else None


def fit_network(
    network: Network,
    train: Images,
    val: Images,
    ctx: Context,
    options: TrainOptions,
    block: int,
    mixed: bool = True,
) -> Chosen:
    """Train ``network`` (moved to ``ctx.device``) on ``train`` and return the weights that ``options.select`` keeps.

    In the context's precision, or in float32 whatever that is if not ``mixed``.
    """
    network = network.to(ctx.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = _decay_groups(network, options.weight_decay)
    optimiser = torch.optim.AdamW(groups, lr=options.learning_rate, foreach=True)
    average = Ema(network, options.ema_decay) if options.ema_decay else None
    selector = Selector(val, options.select, ctx.device, block)
    pixels, labels = PixelTensor(train.pixels, ctx.device), torch.from_numpy(train.labels).to(ctx.device)
    rows_of = BatchRows(train.labels, options.batch, balanced=options.balanced)
    due = evaluated_steps(options)
    evaluated: Callable[[], nn.Module] = lambda: network if average is None else average.module  # noqa: E731

    def step(i: int, rng: torch.Generator) -> dict[str, Tensor | float]:
        rows = rows_of(rng)
        x_nchw = pixels[rows].float().div_(255)
        x_nchw = augment(x_nchw, rng, flips=options.flips, colour=options.colour_jitter, affine=options.affine)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(i, options)
        if not network.training:
            network.train()
        with autocast(ctx) if mixed else nullcontext():
            logits = network(x_nchw.contiguous(memory_format=torch.channels_last))
        target = labels[rows.to(labels.device)]
        loss = F.cross_entropy(logits.float(), target, label_smoothing=options.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if average is not None:
            average.update(network)
        scalars: dict[str, Tensor | float] = {"loss": loss.detach()}
        if i + 1 in due and (selector.decides or i + 1 == options.steps):
            score = selector.consider(evaluated(), i + 1)
            scalars.update({} if score is None else {f"val_{options.select}": score})
        return scalars

    parts: dict[str, Any] = {"network": network, "optimiser": optimiser, "selector": selector}
    train_loop(ctx, options.steps, parts if average is None else {**parts, "average": average}, step)
    assert selector.best is not None  # the last step is always considered
    selector.best.notes = (
        [f"val cannot choose a step ({selector.why_last}): kept the last"] if selector.why_last else []
    )
    return selector.best


def evaluated_steps(options: TrainOptions) -> set[int]:
    """Steps after which val is scored: ``evaluations`` of them between ``select_after`` and the last, which is one."""
    shares = [(k + 1) / options.evaluations for k in range(options.evaluations)]
    return {round(options.steps * (options.select_after + (1 - options.select_after) * share)) for share in shares}


def learning_rate(i: int, options: TrainOptions) -> float:
    """Rate of step ``i``: linear warm-up over ``warmup`` of the steps, then half a cosine down to 0."""
    rising = max(1, round(options.warmup * options.steps))
    if i < rising:
        return options.learning_rate * (i + 1) / rising
    done = (i - rising) / max(1, options.steps - rising)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def probabilities(network: Network, pixels: PixelArray, device: str, block: int, num_classes: int) -> Probabilities:
    """Softmax of the logits, float32 [N, K]; rows sum to 1 in float32."""
    logits = _apply(network, network, pixels, device, block, num_classes).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float32)


def features(network: Network, pixels: PixelArray, device: str, block: int) -> NDArray[np.float32]:
    """Penultimate features float32 [N, D]."""
    return _apply(network, network.features, pixels, device, block, 0)


@torch.inference_mode()
def _apply(
    network: nn.Module, call: Callable[[Tensor], Tensor], pixels: PixelArray, device: str, block: int, width: int
) -> NDArray[np.float32]:
    """``call`` on all images in blocks of exactly ``block`` rows (the last one padded), in float32.

    Kernels may sum in another order at another batch size; a fixed one makes a row independent of its neighbours.
    """
    network.eval()
    out = []
    for rows in chunks(len(pixels), block):
        part = np.asarray(pixels[rows])
        padded = np.zeros((block, *part.shape[1:]), dtype=np.uint8)
        padded[: len(part)] = part
        x_nchw = torch.from_numpy(padded).to(device).permute(0, 3, 1, 2).float().div_(255)
        result = call(x_nchw.contiguous(memory_format=torch.channels_last))
        out.append(result[: len(part)].float().cpu().numpy())
    return np.concatenate(out) if out else np.zeros((0, width), dtype=np.float32)


def binary_auc(positive: NDArray[np.bool_], score: NDArray[np.floating[Any]]) -> float:
    """Area under the ROC curve with ties counted half (Mann-Whitney U / (n1 n0)); NaN if one class is absent."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if not n1 or not n0:
        return math.nan
    return float((mean_rank[place[positive]].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def macro_auc(y: Labels, scores: Probabilities) -> float:
    """AUC for two classes; for more the mean of one-vs-rest AUCs over the classes that are in ``y`` (int64 [N])."""
    classes = [1] if scores.shape[1] == 2 else [int(k) for k in np.unique(y)]
    return float(np.mean([binary_auc(y == k, scores[:, k]) for k in classes]))


def _why_undecided(val: Images) -> str:
    if not len(val):
        return "it is empty"
    return "it has images of one class only" if np.count_nonzero(val.counts()) < 2 else ""


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
