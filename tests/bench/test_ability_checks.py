"""The contract of what generators can do beside drawing images: a model that keeps it, and what breaks it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.contracts import Context, GeneratorBase, Images, Labels
from bench.testing import GeneratorContract
from tests.findings import finding


class ClassGaussian(GeneratorBase):
    """Every number of an image is normal around the mean of its class: each ability is a line or two."""

    def fit(self, train: Images, ctx: Context) -> None:
        x = np.asarray(train.pixels, dtype=float)
        own = [x[train.labels == k] if (train.labels == k).any() else x for k in range(train.num_classes)]
        self.means, self.sd = np.stack([part.mean(0) for part in own]), np.stack([part.std(0) + 1 for part in own])

    @property
    def latent_size(self) -> int:
        return int(np.prod(self.means.shape[1:]))

    def noise(self, n: int, seed: int) -> Any:
        return np.stack([np.random.default_rng([seed, i]).normal(size=self.means.shape[1:]) for i in range(n)])

    def floats(self, z: Any, labels: Labels) -> Any:
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.means):
            raise ValueError(f"labels must lie in 0..{len(self.means) - 1}")
        return self.means[labels] + self.sd[labels] * z

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        return as_bytes(self.floats(self.noise(len(labels), ctx.seed), labels))

    def vary(self, images: Images, ctx: Context, strength: float) -> Any:
        x = np.asarray(images.pixels, dtype=float)
        return as_bytes(x + strength * self.sd[images.labels] * self.noise(len(x), ctx.seed))

    def guide(self, labels: Labels, ctx: Context, score: Any, scale: float) -> Any:
        import torch

        if scale < 0:
            raise ValueError("scale must be at least 0")
        x = torch.from_numpy(self.sample(labels, ctx) / 255.0).permute(0, 3, 1, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(score(x, torch.from_numpy(labels)).sum(), x)
        return as_bytes(255 * (x.detach() + 0.05 * scale * gradient).permute(0, 2, 3, 1).numpy())

    def finetune(self, images: Images, replay: Images, ctx: Context) -> None:
        for k in np.unique(images.labels).tolist():
            new = np.asarray(images.pixels, dtype=float)[images.labels == k].mean(0)
            self.means[k] = 0.5 * (self.means[k] + new)

    def learn_token(self, images: Images, ctx: Context) -> None:
        self.finetune(images, images, ctx)

    def invert(self, images: Images, ctx: Context) -> Any:
        z = (np.asarray(images.pixels, dtype=float) - self.means[images.labels]) / self.sd[images.labels]
        return z.astype(np.float32)

    def render(self, latents: Any, labels: Labels, ctx: Context) -> Any:
        return as_bytes(self.floats(latents, labels))

    def losses(self, images: Images, ctx: Context) -> Any:
        return np.square(self.invert(images, ctx)).mean(axis=(1, 2, 3), dtype=np.float64)

    def render_latents(self, z: Any, labels: Labels, ctx: Context) -> Any:
        return self.floats(z.reshape(-1, *self.means.shape[1:]), labels).astype(np.float32)


def as_bytes(x: Any) -> Any:
    return np.rint(np.clip(x, 0, 255)).astype(np.uint8)


class TestWellBehaved(GeneratorContract):
    """All checks apply and pass."""

    plugin = ClassGaussian


class GuidesAlways(ClassGaussian):
    def guide(self, labels: Labels, ctx: Context, score: Any, scale: float) -> Any:
        return super().guide(labels, ctx, score, max(scale, 0.5))


class GuidesAway(ClassGaussian):
    def guide(self, labels: Labels, ctx: Context, score: Any, scale: float) -> Any:
        return super().guide(labels, ctx, lambda x, y: -score(x, y), scale)


class GuidesByTheBatch(ClassGaussian):
    def guide(self, labels: Labels, ctx: Context, score: Any, scale: float) -> Any:
        return super().guide(labels, ctx, score, scale * (1 + len(labels) / 9))


class LearnsNothing(ClassGaussian):
    def finetune(self, images: Images, replay: Images, ctx: Context) -> None:
        return None


class KeepsItsTuningToItself(ClassGaussian):
    shift = 0.0

    def finetune(self, images: Images, replay: Images, ctx: Context) -> None:
        type(self).shift += 1.0

    def floats(self, z: Any, labels: Labels) -> Any:
        return super().floats(z, labels) + 9 * type(self).shift


class TokenForAll(ClassGaussian):
    def learn_token(self, images: Images, ctx: Context) -> None:
        self.means += 5


class LosesTheImage(ClassGaussian):
    def invert(self, images: Images, ctx: Context) -> Any:
        return 0 * super().invert(images, ctx)


class LossByPlace(ClassGaussian):
    def losses(self, images: Images, ctx: Context) -> Any:
        return super().losses(images, ctx) * (1 + np.arange(len(images)))


class Rounds(ClassGaussian):
    def render_latents(self, z: Any, labels: Labels, ctx: Context) -> Any:
        return np.rint(super().render_latents(z, labels, ctx))


class FreshNoise(ClassGaussian):
    calls = 0

    def render_latents(self, z: Any, labels: Labels, ctx: Context) -> Any:
        type(self).calls += 1
        return super().render_latents(z, labels, ctx) + np.float32(type(self).calls)


@pytest.mark.parametrize(
    ("broken", "check", "detail"),
    [
        (GuidesAlways, "guiding by nothing is sampling", "guide with scale 0 differs in 9 of 9"),
        (GuidesAlways, "a negative scale of guiding is refused", "guide takes a negative scale"),
        (GuidesAway, "guiding raises the score and repeats", "levels darker"),
        (GuidesByTheBatch, "guiding raises the score and repeats", "first 4 guided images"),
        (LearnsNothing, "finetuning changes samples repeats and is stored", "finetune changed no image"),
        (KeepsItsTuningToItself, "finetuning changes samples repeats and is stored", "another copy"),
        (TokenForAll, "a learnt token changes its class alone", "the class that learn_token was not shown"),
        (LosesTheImage, "inversion leads back to the image", "from other images"),
        (LossByPlace, "losses are finite and belong to the image", "losses move by"),
        (Rounds, "latents give images smoothly", "render_latents rounds"),
        (FreshNoise, "latents give images smoothly", "a second rendering"),
    ],
)
def test_the_contract_finds_what_is_broken(broken: type, check: str, detail: str) -> None:
    found = finding("generator", broken, check)
    assert found.ok is False
    assert detail in found.detail
