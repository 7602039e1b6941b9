"""Contract tests of what a generator can do beside drawing images; each applies to generators with that capability."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.capabilities import (
    CanFinetune,
    CanGuide,
    CanInvert,
    CanLearnToken,
    CanMapLatents,
    CanReconstruct,
    CanVary,
    HasLoss,
)
from bench.contracts import Images, Labels
from bench.errors import ConfigError
from bench.testkit import RehearsalContext, same, scratch

GUIDANCE = 1.0  # with the sum of an image's pixels in 0..1 for a score


class AbilityChecks:
    """Part of :class:`bench.testing.GeneratorContract`, which says what is fitted and drawn."""

    labels: ClassVar[Labels]

    if TYPE_CHECKING:
        cls: Any

        def config(self) -> Any: ...
        def fitted(self) -> Any: ...
        def train(self) -> Images: ...
        def draw(self, model: Any, labels: Labels, seed: int = 0) -> np.ndarray[Any, Any]: ...
        def _saved(self, folder: Path) -> Path: ...

    def test_variations_are_images_and_repeat(self) -> None:
        model, images = self._able(CanVary, "it makes no variations of given images"), self.train().take(np.arange(3))
        with scratch() as folder:
            first, second = (model.vary(images, RehearsalContext(folder / str(i)), 0.4) for i in range(2))
        pictures(first, images.pixels.shape, "vary")
        same(first, second, "a second variation with the same seed")

    def test_guiding_by_nothing_is_sampling(self) -> None:
        model = self._able(CanGuide, "no score can guide it")
        same(self.draw(model, self.labels), self._guided(model, self.labels, 0.0), "guide with scale 0")

    def test_guiding_raises_the_score_and_repeats(self) -> None:
        model = self._able(CanGuide, "no score can guide it")
        plain, guided = self.draw(model, self.labels), self._guided(model, self.labels, GUIDANCE)
        pictures(guided, plain.shape, "guide")
        gain = float(guided.mean() - plain.mean())
        assert gain > 0, f"guided toward brightness, images are {-gain:.2f} levels darker"
        same(guided, self._guided(model, self.labels, GUIDANCE), "a second guided call with the same seed")
        same(guided[:4], self._guided(model, self.labels[:4], GUIDANCE), "the first 4 guided images asked for alone")

    def test_a_negative_scale_of_guiding_is_refused(self) -> None:
        model = self._able(CanGuide, "no score can guide it")
        try:
            self._guided(model, self.labels, -1.0)
        except (ConfigError, ValueError):
            return
        raise AssertionError("guide takes a negative scale")

    def test_finetuning_changes_samples_repeats_and_is_stored(self) -> None:
        self._able(CanFinetune, "it cannot be fine-tuned")
        train = self.train()
        chosen, before = train.take(np.flatnonzero(train.labels == 1)[:5]), self.draw(self.fitted(), self.labels)
        with self._copy() as (model, folder), self._copy() as (again, _):
            for which in (model, again):
                which.finetune(chosen, train, RehearsalContext(folder / f"work-{which is model}", 1))
            after = self.draw(model, self.labels)
            assert (after != before).any(), "finetune changed no image"
            same(after, self.draw(again, self.labels), "the same fine-tuning once more")
            same(after, self.draw(self._reloaded(model, folder), self.labels), "the fine-tuned generator after loading")
        same(before, self.draw(self.fitted(), self.labels), "another copy of the generator")

    def test_a_learnt_token_changes_its_class_alone(self) -> None:
        self._able(CanLearnToken, "it learns no class embeddings")
        train = self.train()
        chosen, before = train.take(np.flatnonzero(train.labels == 1)[:5]), self.draw(self.fitted(), self.labels)
        with self._copy() as (model, folder):
            model.learn_token(chosen, RehearsalContext(folder / "work", 1))
            after = self.draw(model, self.labels)
            same(after, self.draw(self._reloaded(model, folder), self.labels), "the generator after loading")
        assert (after != before)[self.labels == 1].any(), "learn_token changed no image of its class"
        same(before[self.labels == 0], after[self.labels == 0], "the class that learn_token was not shown")

    def test_inversion_leads_back_to_the_image(self) -> None:
        model, images = self._able(CanInvert, "it inverts no images"), self.train().take(np.arange(0, 40, 5))
        with scratch() as folder:
            ctx = RehearsalContext(folder)
            latents = model.invert(images, ctx)
            assert latents.dtype == np.float32, f"invert gave {latents.dtype}, not float32"
            assert len(latents) == len(images), f"invert gave {len(latents)} latents of {len(images)} images"
            assert np.isfinite(latents).all(), "invert gave values that are not finite"
            back = model.render(latents, images.labels, ctx)
            # What an autoencoder loses is not the inversion's error.
            shown = model.reconstruct(images, ctx) if isinstance(model, CanReconstruct) else images.pixels
        pictures(back, images.pixels.shape, "render")
        pixels = np.asarray(shown, dtype=float)
        own, other = (float(np.abs(back - x).mean()) for x in (pixels, np.roll(pixels, 1, axis=0)))
        assert own < 0.5 * other, f"render(invert(x)) is {own:.1f} levels from x, and {other:.1f} from other images"

    def test_losses_are_finite_and_belong_to_the_image(self) -> None:
        model, images = self._able(HasLoss, "it has no loss an image"), self.train()
        order = np.random.default_rng(0).permutation(len(images))
        with scratch() as folder:
            ctx = RehearsalContext(folder)
            whole, part = model.losses(images, ctx), model.losses(images.take(order[:5]), ctx)
        assert whole.dtype == np.float64, f"losses gave {whole.dtype}, not float64"
        assert whole.shape == (len(images),), f"losses gave shape {whole.shape}"
        assert np.isfinite(whole).all(), "losses are not finite"
        worst = float(np.abs(whole[order[:5]] - part).max())
        assert worst <= 1e-5 * float(np.abs(whole).max()), f"losses move by {worst:.1e} with order and number of images"

    def test_latents_give_images_smoothly(self) -> None:
        model = self._able(CanMapLatents, "its images are no function of a latent vector")
        rng, labels = np.random.default_rng(0), self.labels[:4]
        z, other = rng.standard_normal((2, 4, model.latent_size)).astype(np.float32)
        with scratch() as folder:
            ctx = RehearsalContext(folder)
            x, again, near, far = (
                model.render_latents(v.astype(np.float32), labels, ctx) for v in (z, z, z + 1e-3 * other, other)
            )
        assert x.dtype == np.float32, f"render_latents gave {x.dtype}, not float32"
        assert x.shape == (4, *self.train().pixels.shape[1:]), f"render_latents gave shape {x.shape}"
        assert np.isfinite(x).all(), "render_latents gave values that are not finite"
        assert (x != np.rint(x)).any(), "render_latents rounds: near latents would give equal images"
        assert 0 < x.mean() < 255, f"the mean is {x.mean():.1f}: values belong in 0..255"
        same(x, again, "a second rendering of the same latents")
        moved, apart = (float(np.abs(y - x).mean()) for y in (near, far))
        assert moved < 0.1 * apart, f"a step of 1e-3 moves images by {moved:.2f} levels, another latent by {apart:.2f}"

    def _able(self, capability: type, lack: str) -> Any:
        model = self.fitted()
        if not isinstance(model, capability):
            raise unittest.SkipTest(lack)
        return model

    def _guided(self, model: Any, labels: Labels, scale: float) -> np.ndarray[Any, Any]:
        def brightness(x: Any, y: Any) -> Any:
            return x.sum(dim=(1, 2, 3))

        with scratch() as folder:
            return np.asarray(model.guide(labels.copy(), RehearsalContext(folder), brightness, scale))

    @contextmanager
    def _copy(self) -> Iterator[tuple[Any, Path]]:
        with scratch() as folder:
            yield self.cls.load(self._saved(folder / "model"), self.config()), folder

    def _reloaded(self, model: Any, folder: Path) -> Any:
        (folder / "again").mkdir()
        model.save(folder / "again")
        return self.cls.load(folder / "again", self.config())


def pictures(found: Any, shape: tuple[int, ...], what: str) -> None:
    """Assert that ``found`` is uint8 of ``shape``."""
    if not isinstance(found, np.ndarray):
        raise AssertionError(f"{what} gave {type(found).__name__}, not an array")
    assert found.dtype == np.uint8, f"{what} gave {found.dtype}, not uint8"
    assert found.shape == tuple(shape), f"{what} gave shape {found.shape}, not {tuple(shape)}"
