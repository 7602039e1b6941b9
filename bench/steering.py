"""Stages that steer a fitted generator: a classifier's gradient, more training, new class embeddings, latents.

A mixin of :class:`bench.lab.Lab`; each method names what a generator lacks if it cannot do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.capabilities import CanDifferentiate, CanFinetune, CanGuide, CanInvert, CanLearnToken, Score
from bench.context import StageContext
from bench.contracts import Images, Labels
from bench.errors import CapabilityError
from bench.keys import digest
from bench.pixels import UInt8

if TYPE_CHECKING:
    from bench.lab import Fitted
    from bench.workbench import Workbench

Objective = Literal["loss", "entropy"]


class Steering:
    """What a laboratory offers to guidance strategies beyond sampling and varying."""

    if TYPE_CHECKING:
        bench: Workbench
        can: Callable[[Fitted, type], bool]

        def loaded(self, fitted: Fitted) -> Any: ...

        _generate: Callable[..., Images]
        _check_origin: Callable[..., None]

    def guide(
        self,
        generator: Fitted,
        labels: Labels,
        classifier: Fitted,
        *,
        objective: Objective = "loss",
        scale: float,
        stream: str,
    ) -> Images:
        """An image for each of ``labels`` int64 [M], drawn toward a high loss on its label, or a high entropy."""
        self._require(generator, CanGuide)
        self._require(classifier, CanDifferentiate)

        def draw(model: Any, ctx: StageContext, rows: slice) -> UInt8:
            score = score_of(self.loaded(classifier), ctx, objective)
            return model.guide(labels[rows], ctx, score, scale)  # type: ignore[no-any-return]

        inputs: dict[str, Any] = {"labels": digest(labels.tolist()), "classifier": classifier.key}
        inputs |= {"objective": objective, "scale": scale}
        return self._generate("guide", generator, labels, None, inputs, stream, draw)

    def finetune(self, generator: Fitted, images: Images, replay: Images, *, stream: str) -> Fitted:
        """``generator`` after more training on ``images``, with ``replay`` against forgetting; both are of train."""
        self._require(generator, CanFinetune)
        return self._changed(
            "finetune", generator, {"images": images, "replay": replay}, stream,
            lambda model, ctx: model.finetune(images, replay, ctx),
        )  # fmt: skip

    def learn_token(self, generator: Fitted, images: Images, *, stream: str) -> Fitted:
        """``generator`` with a new class embedding for each label among ``images`` (of train), all else as it was."""
        self._require(generator, CanLearnToken)
        return self._changed(
            "token", generator, {"images": images}, stream, lambda model, ctx: model.learn_token(images, ctx)
        )

    def neighbours(self, generator: Fitted, images: Images, *, step: float, stream: str) -> Images:
        """An image near each of ``images`` (of train) in latent space; parents are recorded.

        The latent z of an image turns in a random direction and keeps its length; |z' - z| / |z| is ``step``, exactly.
        """
        self._require(generator, CanInvert)
        self._check_origin(images, f"neighbours by {generator.name!r}", allow_held_out=False)

        def draw(model: Any, ctx: StageContext, rows: slice) -> UInt8:
            part = images if rows == slice(None) else images.take(np.arange(len(images))[rows])
            moved = moved_latents(model.invert(part, ctx), step, ctx.seed)
            return model.render(moved, part.labels, ctx)  # type: ignore[no-any-return]

        inputs = {"images": images.key, "step": step}
        return self._generate("neighbours", generator, images.labels, images.ids, inputs, stream, draw)

    def _changed(
        self,
        stage: str,
        generator: Fitted,
        given: Mapping[str, Images],
        stream: str,
        change: Callable[[Any, StageContext], None],
    ) -> Fitted:
        """A stage whose result is ``generator`` after ``change``; the fitted one it began with stays as it is."""
        for name, images in given.items():
            self._check_origin(images, f"{stage} of {generator.name!r} ({name})", allow_held_out=False)

        def make(out: Path, ctx: StageContext) -> Mapping[str, Any]:
            model = generator.cls.load(generator.stored.folder / "model", generator.config)
            change(model, ctx)
            folder = out / "model"
            folder.mkdir()
            model.save(folder)
            return ctx.speed(generator.config)

        inputs = {"generator": generator.key, "precision": self.bench.precision}
        inputs |= {name: images.key for name, images in given.items()}
        config = generator.config.model_dump(mode="json")
        title = f"{stage} {generator.name} ({stream})"
        stored = self.bench.stage(stage, title, generator.cls, config, inputs, make, seed_path=f"{stage}/{stream}")
        return replace(generator, stored=stored)

    def _require(self, fitted: Fitted, capability: type) -> None:
        if not self.can(fitted, capability):
            raise CapabilityError(
                f"{fitted.kind} {fitted.name!r} lacks {capability.__name__}: `bench describe {fitted.kind} "
                f"{fitted.name}` says what it can do; strategy 'rejection' works with any generator"
            )


def score_of(classifier: CanDifferentiate, ctx: StageContext, objective: Objective) -> Score:
    """(x [B, 3, H, W] in 0..1, y [B]) -> tensor [B]: the loss -log p(y), or the entropy of p in nats."""

    def score(x: Any, y: Any) -> Any:
        import torch

        log_p = torch.log_softmax(classifier.logits(x, ctx).float(), dim=1)
        if objective == "entropy":
            return -(log_p.exp() * log_p).sum(dim=1)
        return -log_p.gather(1, y[:, None]).squeeze(1)

    return score


def moved_latents(latents: NDArray[np.float32], step: float, seed: int) -> NDArray[np.float32]:
    """``latents`` [N, ...] turned in random directions so that |z' - z| = ``step`` |z| and |z'| = |z|; 0 <= step <= 2.

    Row i depends on ``seed`` and i alone.
    """
    out = np.empty_like(latents)
    angle = 2 * np.arcsin(step / 2)
    for i, z in enumerate(latents.astype(np.float64)):
        length = max(float(np.linalg.norm(z)), 1e-12)
        across = np.random.default_rng([seed, i]).standard_normal(z.shape)
        across -= z * (np.sum(across * z) / length**2)
        out[i] = np.cos(angle) * z + np.sin(angle) * length / np.linalg.norm(across) * across
    return out
