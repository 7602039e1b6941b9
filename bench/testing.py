"""Contract tests of plugins. Subclass them for pytest, or run ``bench check NAME``, which needs no pytest:

    class TestMine(GeneratorContract):
        plugin = "my_pkg.my_module:Mine"

They fit the plugin's ``smoke`` preset on drawings of 16 pixels in seconds, and check what the harness relies on.
"""

from __future__ import annotations

import inspect
import time
import traceback
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ValidationError

from bench import registry
from bench.ability_checks import AbilityChecks
from bench.capabilities import CanAbridge, CanEstimate, NeedsHeldOut
from bench.contracts import Classifier, Generator, Images, Labels
from bench.errors import BenchError
from bench.testkit import KilledError, RehearsalContext, on_disk, pickles, same, scratch, tiny_images

__all__ = ["CheckResult", "ClassifierContract", "GeneratorContract", "PluginContract", "check_plugin", "tiny_images"]

ROW_TOLERANCE = 1e-5


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check; ``ok`` None means it does not apply, and ``detail`` says why."""

    name: str
    ok: bool | None
    detail: str = ""
    seconds: float = 0.0


class PluginContract:
    """What every plugin owes. ``plugin``: a class, a registered name or "package.module:Class"."""

    kind: ClassVar[str] = "generator"
    plugin: ClassVar[Any] = None
    options: ClassVar[dict[str, Any]] = {}
    preset: ClassVar[str] = "smoke"

    @property
    def cls(self) -> Any:
        """The plugin class under test."""
        return registry.load(self.kind, self.plugin) if isinstance(self.plugin, str) else self.plugin

    def config(self) -> BaseModel:
        """Its options: those of ``preset``, then ``options``."""
        name = self.plugin if isinstance(self.plugin, str) else self.cls.__name__
        return registry.effective_config(self.kind, name, self.cls, self.preset, self.options)

    def test_version_is_a_string(self) -> None:
        version = getattr(self.cls, "version", None)
        assert isinstance(version, str), f"version must be a string, not {version!r}: it is part of every stage key"
        assert version, "version must not be empty"

    def test_unknown_options_are_refused(self) -> None:
        model = self.cls.Config
        try:
            model(no_such_option=1)
        except ValidationError:
            return
        raise AssertionError("Config takes unknown options: derive it from bench.contracts.Options")

    def test_options_outside_the_fit_are_options(self) -> None:
        named: frozenset[str] = getattr(self.cls, "sampling_options", frozenset())
        known = frozenset(self.cls.Config.model_fields)
        assert named <= known, f"sampling_options names {sorted(named - known)}, which Config has not"

    def test_options_survive_json(self) -> None:
        config = self.config()
        again = type(config).model_validate_json(config.model_dump_json())
        assert again == config, "options change when written to a record and read again"


class _FittedContract(PluginContract):
    """What generators and classifiers share: one fit for all checks of a class, and fits to compare it with."""

    size: ClassVar[int] = 16
    per_class: ClassVar[int] = 20
    _fits: ClassVar[dict[type, tuple[Any, int, bool]]] = {}

    def make(self) -> Any:
        """A fresh plugin that is not fitted."""
        return self.cls(self.config())

    def train(self) -> Images:
        """Training images; equal at every call."""
        return tiny_images(self.per_class, self.size)

    def fit(self, ctx: RehearsalContext, train: Images | None = None) -> Any:
        """A plugin fitted on ``train``, or on :meth:`train`."""
        raise NotImplementedError

    def result(self, fitted: Any, ctx: RehearsalContext) -> np.ndarray[Any, Any]:
        """What two equal plugins must agree on to the bit."""
        raise NotImplementedError

    def fitted(self) -> Any:
        """One fitted plugin, shared by the checks of this class."""
        return self._fit_once()[0]

    def _fit_once(self) -> tuple[Any, int, bool]:
        if type(self) not in self._fits:
            with scratch() as folder:
                ctx, train = RehearsalContext(folder), self.train()
                before = np.asarray(train.pixels).copy()
                model = self.fit(ctx, train)
                untouched = bool((np.asarray(train.pixels) == before).all())
                self._fits[type(self)] = model, ctx.offers, untouched
        return self._fits[type(self)]

    def test_fit_leaves_the_training_images_alone(self) -> None:
        assert self._fit_once()[2], "fit changed the pixels of its training images, which other stages share"

    def test_fit_takes_images_from_disk_and_repeats_itself(self) -> None:
        with scratch() as folder:
            ctx = RehearsalContext(folder / "work")
            other = self.fit(ctx, on_disk(self.train(), folder / "data"))
            same(self.result(self.fitted(), ctx), self.result(other, ctx), "a second fit with the same seed")

    def test_a_loaded_plugin_is_the_saved_one(self) -> None:
        with scratch() as folder:
            ctx = RehearsalContext(folder / "work")
            loaded = self.cls.load(self._saved(folder / "model"), self.config())
            same(self.result(self.fitted(), ctx), self.result(loaded, ctx), "the plugin after save and load")

    def test_nothing_stored_is_a_pickle(self) -> None:
        with scratch() as folder:
            found = pickles(self._saved(folder / "model"))
            assert not found, f"save wrote {found[0]}, which is or may be a pickle: use safetensors, npy, npz or JSON"

    def test_a_killed_fit_goes_on_where_it_was(self) -> None:
        offers = self._fit_once()[1]
        if offers < 2:
            raise unittest.SkipTest("fit offers no checkpoint: a killed one starts again")
        for store_at in sorted({max(1, offers // 3), max(1, offers - 2)}):
            with scratch() as folder:
                self._killed(RehearsalContext(folder, store_at=store_at))
                ctx = RehearsalContext(folder)
                resumed = self.fit(ctx)
                assert ctx.resumed_at is not None, "fit did not ask ctx.latest() for the stored state"
                same(self.result(self.fitted(), ctx), self.result(resumed, ctx), f"a fit resumed at {ctx.resumed_at}")

    def test_cost_is_known_before(self) -> None:
        model = self.make()
        if not isinstance(model, CanEstimate):
            raise unittest.SkipTest("it does not estimate its cost")
        small, large = model.cost(100, 16), model.cost(100, 64)
        assert small.steps >= 1, "cost says no step"
        assert 0 < small.flops <= large.flops < float("inf"), f"flops {small.flops} at 16 px, {large.flops} at 64 px"

    def _killed(self, ctx: RehearsalContext) -> None:
        try:
            self.fit(ctx)
        except KilledError:
            return
        raise AssertionError("fit hides the end of the process: it must not catch BaseException")

    def _saved(self, folder: Path) -> Path:
        folder.mkdir()
        self.fitted().save(folder)
        assert any(folder.iterdir()), "save wrote no file"
        return folder


class GeneratorContract(AbilityChecks, _FittedContract):
    """What the harness relies on in a generator."""

    kind: ClassVar[str] = "generator"
    labels: ClassVar[Labels] = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1], dtype=np.int64)

    def fit(self, ctx: RehearsalContext, train: Images | None = None) -> Any:
        """A generator fitted on ``train``; one that needs held-out images gets others."""
        model, train = self.make(), self.train() if train is None else train
        if isinstance(model, NeedsHeldOut):
            model.fit_held_out(train, tiny_images(tuple(train.counts()), self.size, seed=1, prefix="held"), ctx)
        else:
            model.fit(train, ctx)
        return model

    def result(self, fitted: Any, ctx: RehearsalContext) -> np.ndarray[Any, Any]:
        """Images of :attr:`labels`."""
        return self.draw(fitted, self.labels, ctx.seed)

    def draw(self, model: Any, labels: Labels, seed: int = 0) -> np.ndarray[Any, Any]:
        """``model.sample`` in a context of its own."""
        with scratch() as folder:
            return np.asarray(model.sample(labels.copy(), RehearsalContext(folder, seed), None))

    def test_it_has_the_methods_of_a_generator(self) -> None:
        assert isinstance(self.make(), Generator), "it lacks one of fit, sample, save, load, version, Config"

    def test_images_are_uint8_of_the_training_size(self) -> None:
        images = self.draw(self.fitted(), self.labels)
        assert images.dtype == np.uint8, f"sample gave {images.dtype}, not uint8"
        expected = (len(self.labels), self.size, self.size, 3)
        assert images.shape == expected, f"sample gave shape {images.shape}, not {expected}"

    def test_the_same_seed_gives_the_same_images(self) -> None:
        model = self.fitted()
        same(self.draw(model, self.labels), self.draw(model, self.labels), "a second call with the same seed")

    def test_an_image_does_not_depend_on_those_after_it(self) -> None:
        model = self.fitted()
        whole, part = self.draw(model, self.labels), self.draw(model, self.labels[:4])
        same(whole[:4], part, "the first 4 images asked for alone (draw the noise of image i from seed and i)")

    def test_another_seed_gives_other_images(self) -> None:
        if getattr(self.cls, "control", False):
            raise unittest.SkipTest("a control may give the same images always")
        one, other = (self.draw(self.fitted(), self.labels, seed) for seed in (0, 1))
        assert (one != other).any(axis=(1, 2, 3)).all(), "some images are the same for two seeds"

    def test_images_do_not_depend_on_how_many_are_drawn_at_a_time(self) -> None:
        option, config = getattr(self.cls, "drawing_option", "sampling_batch"), self.config()
        usual = getattr(config, option, None)
        if usual is None:
            raise unittest.SkipTest("no option says how many images are drawn at a time")
        other = type(config).model_validate({**config.model_dump(), option: 5 if usual != 5 else 6})
        with scratch() as folder:
            loaded = self.cls.load(self._saved(folder / "model"), other)
        apart = np.abs(self.draw(self.fitted(), self.labels).astype(int) - self.draw(loaded, self.labels)).max()
        assert apart <= 1, f"with {option} {getattr(other, option)} in place of {usual} images differ by {apart} levels"

    def test_a_short_fit_has_options_of_its_own(self) -> None:
        model = self.make()
        if not isinstance(model, CanAbridge):
            raise unittest.SkipTest("its options steps and batch, if any, make a fit short")
        options = {**self.config().model_dump(), **model.short_fit(2, 8)}
        type(self.config()).model_validate(options)

    def test_a_label_that_is_no_class_is_refused(self) -> None:
        for wrong in (2, -1):
            labels = np.array([0, wrong], dtype=np.int64)
            clear_error(partial(self.draw, self.fitted(), labels), f"label {wrong} of a 2-class task")

    def test_a_class_without_images_is_made_or_refused(self) -> None:
        with scratch() as folder:
            model = self.fit(RehearsalContext(folder), tiny_images((self.per_class, 0), self.size))
        zeros, ones = np.zeros(3, dtype=np.int64), np.ones(3, dtype=np.int64)
        assert self.draw(model, zeros).shape == (3, self.size, self.size, 3), "the other class cannot be drawn"
        try:
            images = self.draw(model, ones)
        except (BenchError, ValueError):
            return
        assert images.shape == (3, self.size, self.size, 3), f"sample gave shape {images.shape}"


class ClassifierContract(_FittedContract):
    """What the harness relies on in a classifier."""

    kind: ClassVar[str] = "classifier"

    def fit(self, ctx: RehearsalContext, train: Images | None = None, val: Images | None = None) -> Any:
        """A classifier fitted on ``train``, with ``val`` (other drawings by default) to choose by."""
        model, train = self.make(), self.train() if train is None else train
        model.fit(train, tiny_images(6, self.size, seed=1, prefix="val") if val is None else val, ctx)
        return model

    def result(self, fitted: Any, ctx: RehearsalContext) -> np.ndarray[Any, Any]:
        """Probabilities of fresh images."""
        return np.asarray(fitted.predict(self.fresh().pixels, ctx))

    def fresh(self) -> Images:
        """Images that were not trained on."""
        return tiny_images(8, self.size, seed=2, prefix="fresh")

    def test_it_has_the_methods_of_a_classifier(self) -> None:
        assert isinstance(self.make(), Classifier), "it lacks one of fit, predict, embed, save, load, version, Config"

    def test_rows_are_float32_probabilities(self) -> None:
        with scratch() as folder:
            probabilities(self.result(self.fitted(), RehearsalContext(folder)), 16, 2)

    def test_a_row_does_not_depend_on_its_neighbours(self) -> None:
        pixels = np.asarray(self.fresh().pixels)
        with scratch() as folder:
            ctx, model = RehearsalContext(folder), self.fitted()
            together = model.predict(pixels, ctx)
            apart = np.concatenate([model.predict(pixels[i : i + 3], ctx) for i in range(0, len(pixels), 3)])
        worst = float(np.abs(together - apart).max())
        assert worst <= ROW_TOLERANCE, f"probabilities move by {worst:.1e} with the number of images in a call"

    def test_pixels_may_lie_on_disk(self) -> None:
        with scratch() as folder:
            ctx, fresh = RehearsalContext(folder / "work"), self.fresh()
            mapped = on_disk(fresh, folder / "data")
            same(self.result(self.fitted(), ctx), self.fitted().predict(mapped.pixels, ctx), "predictions from disk")

    def test_features_are_finite_float32_rows(self) -> None:
        with scratch() as folder:
            found = self.fitted().embed(self.fresh().pixels, RehearsalContext(folder))
        assert found.dtype == np.float32, f"embed gave {found.dtype}, not float32"
        assert found.ndim == 2, f"embed gave shape {found.shape}, not [N, D]"
        assert len(found) == 16, f"embed gave {len(found)} rows for 16 images"
        assert np.isfinite(found).all(), "embed gave values that are not finite"

    def test_a_dropped_class_keeps_its_column(self) -> None:
        train = tiny_images((self.per_class, 0, self.per_class), self.size)
        val = tiny_images((4, 4, 4), self.size, seed=1, prefix="val")
        with scratch() as folder:
            ctx = RehearsalContext(folder)
            probabilities(np.asarray(self.fit(ctx, train, val).predict(self.fresh().pixels, ctx)), 16, 3)

    def test_val_of_one_class_is_enough(self) -> None:
        with scratch() as folder:
            ctx = RehearsalContext(folder)
            model = self.fit(ctx, None, tiny_images((6, 0), self.size, seed=1, prefix="val"))
            probabilities(self.result(model, ctx), 16, 2)


CONTRACTS: dict[str, type[PluginContract]] = {"generator": GeneratorContract, "classifier": ClassifierContract}


def check_plugin(
    kind: str, name: str, options: dict[str, Any] | None = None, preset: str = "smoke"
) -> list[CheckResult]:
    """Run the contract of ``kind`` on the plugin called ``name`` (or "package.module:Class"), without pytest.

    Raises :class:`bench.errors.ConfigError` if there is no such plugin or option; everything else is a failed check.
    """
    base = CONTRACTS.get(kind, PluginContract)
    fields = {"kind": kind, "plugin": name, "options": options or {}, "preset": preset}
    contract = type(f"Check{kind.title()}", (base,), fields)()
    contract.config()
    tests = [m for m, _ in inspect.getmembers(base, inspect.isfunction) if m.startswith("test_")]
    results = [_run(getattr(contract, test), test.removeprefix("test_").replace("_", " ")) for test in tests]
    _FittedContract._fits.pop(type(contract), None)
    return results


def _run(test: Callable[[], None], name: str) -> CheckResult:
    started = time.perf_counter()
    ok: bool | None = True
    detail = ""
    try:
        test()
    except unittest.SkipTest as reason:
        ok, detail = None, str(reason)
    except AssertionError as error:
        ok, detail = False, str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        ok, detail = False, f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return CheckResult(name, ok, detail, time.perf_counter() - started)


def probabilities(shown: Any, n: int, k: int) -> None:
    """Assert that ``shown`` is float32 [n, k] whose rows are probabilities."""
    assert shown.dtype == np.float32, f"predict gave {shown.dtype}, not float32"
    assert shown.shape == (n, k), f"predict gave shape {shown.shape}, not {(n, k)}"
    assert np.isfinite(shown).all(), "predict gave values that are not finite"
    assert (shown >= 0).all(), "predict gave negative probabilities"
    assert np.abs(shown.sum(axis=1) - 1).max() < ROW_TOLERANCE, "rows do not sum to 1"


def clear_error(call: Callable[[], Any], given: str) -> None:
    """Assert that ``call`` is refused on purpose: not by a stray IndexError, and not in silence."""
    try:
        call()
    except (BenchError, ValueError):
        return
    except Exception as error:
        kind = type(error).__name__
        raise AssertionError(f"{given} ends in {kind}: {error}; raise a ValueError that says it") from error
    raise AssertionError(f"{given} is accepted")
