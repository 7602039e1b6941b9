"""Every registered generator and classifier keeps its contract; the contract finds what breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel

from bench import registry
from bench.contracts import ClassifierBase, Context, GeneratorBase, Images, Labels, Options
from bench.errors import ConfigError
from bench.testing import CONTRACTS, ClassifierContract, GeneratorContract, check_plugin
from tests.findings import finding


def needs_no_option(kind: str, name: str) -> bool:
    """Whether a plugin stands on its own; those that must be told a place have contract tests beside them."""
    return not any(field.is_required() for field in registry.load(kind, name).Config.model_fields.values())


PLUGINS = [(kind, name) for kind in CONTRACTS for name in registry.names(kind) if needs_no_option(kind, name)]


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_registered_plugins_keep_their_contract(kind: str, name: str) -> None:
    results = check_plugin(kind, name)
    assert {r.name: r.detail for r in results if r.ok is False} == {}
    assert len(results) > 12
    skipped = {r.name for r in results if r.ok is None}
    assert "a killed fit goes on where it was" not in skipped or getattr(registry.load(kind, name), "control", False)


class Blend(GeneratorBase):
    """A well-behaved generator of a few lines: a training image of the class, pulled toward the class mean."""

    def fit(self, train: Images, ctx: Context) -> None:
        self.pixels, self.labels, self.k = np.asarray(train.pixels), train.labels, train.num_classes

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        if len(labels) and not (labels.min() >= 0 and labels.max() < self.k):
            raise ValueError(f"labels must lie in 0..{self.k - 1}")
        return np.stack([self.one(int(y), np.random.default_rng([ctx.seed, i])) for i, y in enumerate(labels)])

    def one(self, y: int, rng: np.random.Generator) -> Any:
        own = self.pixels[self.labels == y]
        if not len(own):
            raise ValueError(f"no training image of class {y}")
        return np.uint8(own[rng.integers(len(own))] * 0.7 + own.mean(0) * 0.2 + rng.integers(20))


class TestWellBehaved(GeneratorContract):
    """The contract as a plugin author subclasses it."""

    plugin = Blend


class AcceptsAnything(Blend):
    class Config(BaseModel):
        pass


class Floats(Blend):
    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        return super().sample(labels, ctx) / 255


class IgnoresSeed(Blend):
    def one(self, y: int, rng: np.random.Generator) -> Any:
        return super().one(y, np.random.default_rng(0))


class OneStream(Blend):
    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        rng = np.random.default_rng([ctx.seed, len(labels)])
        return np.stack([self.one(int(y), rng) for y in labels])


class GlobalRandomness(Blend):
    """Draws from what the process keeps: an image differs from the one of the same seed in an earlier call, always."""

    drawn: ClassVar[Iterator[int]] = itertools.count()

    def one(self, y: int, rng: np.random.Generator) -> Any:
        return super().one(y, rng) + np.uint8(next(self.drawn) % 256)


class WrapsLabels(Blend):
    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        return super().sample(labels % self.k, ctx)


class IndexesBlindly(Blend):
    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        return super().sample(labels + 0 * np.array([np.arange(self.k)[y] for y in labels]), ctx)


class ScribblesOnTrain(Blend):
    def fit(self, train: Images, ctx: Context) -> None:
        train.pixels[0] = 0  # type: ignore[index]
        super().fit(train, ctx)


class Forgets(Blend):
    @classmethod
    def load(cls, folder: Path, config: Any) -> Any:
        self = super().load(folder, config)
        self.pixels = self.pixels // 2
        return self


class Pickles(Blend):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.save(folder / "extra.npy", np.array([{}], dtype=object), allow_pickle=True)


class TorchPickles(Blend):
    def save(self, folder: Path) -> None:
        import torch

        super().save(folder)
        torch.save({"pixels": torch.from_numpy(self.pixels)}, folder / "weights.pth")


class ResumesWrongly(Blend):
    """Counts its steps, but forgets the count in its checkpoint."""

    def fit(self, train: Images, ctx: Context) -> None:
        super().fit(train, ctx)
        found = ctx.latest()
        start, self.shade = (found[0], 0) if found else (0, 0)
        for i in range(start, 10):
            self.shade += i
            ctx.checkpoint(i + 1, lambda: {"nothing": 0})

    def one(self, y: int, rng: np.random.Generator) -> Any:
        return np.uint8(np.clip(super().one(y, rng).astype(int) - self.shade, 0, 255))


class NeverAsksForTheState(ResumesWrongly):
    def fit(self, train: Images, ctx: Context) -> None:
        Blend.fit(self, train, ctx)
        self.shade = 1
        for i in range(10):
            ctx.checkpoint(i + 1, lambda: {"nothing": 0})


class DrawsByBatch(Blend):
    """Noise of the place in a batch instead of the place among all images."""

    class Config(Options):
        sampling_batch: int = 4

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> Any:
        size = self.config.sampling_batch
        found = [super(DrawsByBatch, self).sample(labels[i : i + size], ctx) for i in range(0, len(labels), size)]
        return np.concatenate(found)


class ShortensWhatIsNotThere(Blend):
    def short_fit(self, steps: int, batch: int) -> dict[str, int]:
        return {"steps": steps}


class Crashes(Blend):
    def fit(self, train: Images, ctx: Context) -> None:
        raise RuntimeError("out of paint")


@pytest.mark.parametrize(
    ("broken", "check", "detail"),
    [
        (AcceptsAnything, "unknown options are refused", "derive it from bench.contracts.Options"),
        (Floats, "images are uint8 of the training size", "sample gave float64"),
        (IgnoresSeed, "another seed gives other images", "the same for two seeds"),
        (OneStream, "an image does not depend on those after it", "first 4 images"),
        (GlobalRandomness, "the same seed gives the same images", "differs in 9 of 9 rows"),
        (WrapsLabels, "a label that is no class is refused", "label 2 of a 2-class task is accepted"),
        (IndexesBlindly, "a label that is no class is refused", "IndexError"),
        (ScribblesOnTrain, "fit leaves the training images alone", "fit changed the pixels"),
        (Forgets, "a loaded plugin is the saved one", "after save and load differs in 9 of 9"),
        (Pickles, "nothing stored is a pickle", "save wrote extra.npy"),
        (TorchPickles, "nothing stored is a pickle", "save wrote weights.pth"),
        (ResumesWrongly, "a killed fit goes on where it was", "a fit resumed at 3 differs"),
        (NeverAsksForTheState, "a killed fit goes on where it was", "did not ask ctx.latest"),
        (DrawsByBatch, "images do not depend on how many are drawn at a time", "sampling_batch 5 in place of 4"),
        (ShortensWhatIsNotThere, "a short fit has options of its own", "Extra inputs are not permitted"),
        (Crashes, "the same seed gives the same images", "RuntimeError: out of paint (test_contracts.py:"),
    ],
)
def test_the_generator_contract_finds_what_is_broken(broken: type, check: str, detail: str) -> None:
    found = finding("generator", broken, check)
    assert found.ok is False
    assert detail in found.detail


class Centroids(ClassifierBase):
    """A well-behaved classifier: softmax of the negative distance to the mean image of each class."""

    scale: ClassVar[float] = 5.0

    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        x = np.asarray(train.pixels, dtype=np.float32) / 255
        own = [x[train.labels == k] for k in range(train.num_classes)]
        self.means = np.stack([m.mean(0) if len(m) else np.full(x.shape[1:], 9, np.float32) for m in own])

    def embed(self, pixels: Any, ctx: Context) -> Any:
        x = np.asarray(pixels, dtype=np.float32) / 255
        return np.stack([np.sqrt(((x - m) ** 2).mean((1, 2, 3))) for m in self.means], 1)

    def predict(self, pixels: Any, ctx: Context) -> Any:
        z = np.exp(-self.scale * self.embed(pixels, ctx))
        return z / z.sum(1, keepdims=True)


class TestWellBehavedClassifier(ClassifierContract):
    plugin = Centroids


class Doubles(Centroids):
    def predict(self, pixels: Any, ctx: Context) -> Any:
        return super().predict(pixels, ctx).astype(np.float64)


class Scores(Centroids):
    def predict(self, pixels: Any, ctx: Context) -> Any:
        return -self.embed(pixels, ctx)


class NormalisesTheBatch(Centroids):
    def embed(self, pixels: Any, ctx: Context) -> Any:
        x = np.asarray(pixels, dtype=np.float32)
        return super().embed(x - x.mean(0) + 128, ctx)


class DropsColumns(Centroids):
    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        super().fit(train, val, ctx)
        self.means = self.means[train.counts() > 0]


class NeedsBothClasses(Centroids):
    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        assert val.counts().min() > 0, "val lacks a class"
        super().fit(train, val, ctx)


@pytest.mark.parametrize(
    ("broken", "check", "detail"),
    [
        (Doubles, "rows are float32 probabilities", "float64"),
        (Scores, "rows are float32 probabilities", "negative"),
        (NormalisesTheBatch, "a row does not depend on its neighbours", "probabilities move by"),
        (DropsColumns, "a dropped class keeps its column", "shape (16, 2), not (16, 3)"),
        (NeedsBothClasses, "val of one class is enough", "val lacks a class"),
    ],
)
def test_the_classifier_contract_finds_what_is_broken(broken: type, check: str, detail: str) -> None:
    found = finding("classifier", broken, check)
    assert found.ok is False
    assert detail in found.detail


def test_checks_that_do_not_apply_say_why() -> None:
    found = {r.name: r for r in check_plugin("generator", f"{__name__}:Blend")}
    assert found["variations are images and repeat"].ok is None
    assert found["a killed fit goes on where it was"].detail == "fit offers no checkpoint: a killed one starts again"
    assert not [r for r in found.values() if r.ok is False]


def test_unknown_plugins_and_options_are_errors_not_findings() -> None:
    with pytest.raises(ConfigError, match="Did you mean"):
        check_plugin("generator", "colapse")
    with pytest.raises(ConfigError, match="Options: per_class"):
        check_plugin("generator", "collapse", {"per_clas": True})
