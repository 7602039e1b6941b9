"""The small network learns, resumes to the bit, and copes with what generators do to a training set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.capabilities import CanEstimate
from bench.context import StageContext
from bench.contracts import Images
from bench.errors import ConfigError, DataError, StageError
from bench.registry import effective_config
from bench.testing import tiny_images
from classifiers.small_cnn import SmallCNN, _count

SMALL = {"steps": 40, "batch": 16, "widths": (8, 16), "blocks": 1, "evaluations": 2}


def fitted(tmp_path: Path, train: Images, val: Images, seed: int = 0, **options: Any) -> tuple[SmallCNN, StageContext]:
    model = SmallCNN(SmallCNN.Config(**{**SMALL, **options}))
    ctx = StageContext(seed, tmp_path / f"work{seed}")
    model.fit(train, val, ctx)
    return model, ctx


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallCNN, StageContext]:
    return fitted(tmp_path_factory.mktemp("cnn"), tiny_images(60), tiny_images(20, seed=1))


def test_it_learns_to_tell_the_classes_apart(trained: tuple[SmallCNN, StageContext]) -> None:
    from classifiers._training import macro_auc

    model, ctx = trained
    fresh = tiny_images(100, seed=2)
    assert macro_auc(fresh.labels, model.predict(fresh.pixels, ctx)) > 0.9
    assert model.selection_score is not None
    assert model.selection_score > 0.85


def test_probabilities_are_float32_rows_that_sum_to_one(trained: tuple[SmallCNN, StageContext]) -> None:
    model, ctx = trained
    shown = model.predict(tiny_images(7, seed=3).pixels, ctx)
    assert (shown.dtype, shown.shape) == (np.float32, (14, 2))
    np.testing.assert_allclose(shown.sum(1), 1, atol=1e-6)
    assert model.predict(np.zeros((0, 16, 16, 3), np.uint8), ctx).shape == (0, 2)


def test_a_row_does_not_depend_on_its_neighbours(trained: tuple[SmallCNN, StageContext]) -> None:
    model, ctx = trained
    pixels = tiny_images(150, seed=4).pixels  # 300 rows: more than one block
    together = model.predict(pixels, ctx)
    apart = np.concatenate([model.predict(pixels[i : i + 37], ctx) for i in range(0, 300, 37)])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(model.embed(pixels, ctx)[5], model.embed(pixels[5:6], ctx)[0])


def test_memory_mapped_pixels_are_read_in_blocks(
    trained: tuple[SmallCNN, StageContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.pixels import PixelView, take_rows

    model, ctx = trained
    images = tiny_images(150, seed=4)
    np.save(tmp_path / "pixels.npy", images.pixels)
    view = take_rows(np.load(tmp_path / "pixels.npy", mmap_mode="r"), np.arange(300)[::-1].copy())
    read: list[int] = []
    gather = PixelView._gather
    monkeypatch.setattr(PixelView, "_gather", lambda self, rows: (read.append(len(rows)), gather(self, rows))[1])
    backwards = model.predict(view, ctx)
    np.testing.assert_array_equal(backwards, model.predict(images.pixels, ctx)[::-1])
    assert max(read) <= model.block < 300


def test_features_carry_the_prediction(trained: tuple[SmallCNN, StageContext]) -> None:
    model, ctx = trained
    pixels = tiny_images(5, seed=5).pixels
    features = model.embed(pixels, ctx)
    assert (features.dtype, features.shape) == (np.float32, (10, 16))
    logits = features @ model.weights["linear.weight"].numpy().T + model.weights["linear.bias"].numpy()
    odds = np.log(model.predict(pixels, ctx)[:, 1] / model.predict(pixels, ctx)[:, 0])
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], odds, rtol=1e-3, atol=1e-4)


def test_loaded_predicts_the_same_and_nothing_is_pickled(
    trained: tuple[SmallCNN, StageContext], tmp_path: Path
) -> None:
    model, ctx = trained
    model.save(tmp_path / "saved")
    loaded = SmallCNN.load(tmp_path / "saved", model.config)
    pixels = tiny_images(9, seed=6).pixels
    np.testing.assert_array_equal(loaded.predict(pixels, ctx), model.predict(pixels, ctx))
    assert {p.suffix for p in (tmp_path / "saved").iterdir()} <= {".json", ".safetensors", ".npz"}
    assert loaded.selected_step == model.selected_step


class KilledError(Exception):
    """Stands for the end of the process."""


class Killed(StageContext):
    """Stores every 5th step and ends after step 37, with the first evaluation (step 35) behind the checkpoint."""

    def checkpoint(self, step: int, state: Any) -> None:
        self.checkpoint_seconds = 0.0 if step % 5 == 0 else 1e9
        super().checkpoint(step, state)
        if step == 37:
            raise KilledError


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_fit_goes_on_to_the_same_bits(tmp_path: Path, precision: str) -> None:
    train, val = tiny_images(20), tiny_images(10, seed=1)
    config = SmallCNN.Config(**SMALL, colour_jitter=0.1, affine=True)
    whole, resumed, doomed = SmallCNN(config), SmallCNN(config), SmallCNN(config)
    whole.fit(train, val, StageContext(5, tmp_path / "whole", precision=precision))
    with pytest.raises(KilledError):
        doomed.fit(train, val, Killed(5, tmp_path / "killed", precision=precision))
    ctx = StageContext(5, tmp_path / "killed", precision=precision)
    resumed.fit(train, val, ctx)
    assert ctx.resumed_at == 35
    for name, weight in whole.weights.items():
        np.testing.assert_array_equal(weight.numpy(), resumed.weights[name].numpy(), err_msg=name)
    assert (whole.selected_step, whole.selection_score) == (resumed.selected_step, resumed.selection_score)


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    train, val, pixels = tiny_images(12), tiny_images(6, seed=1), tiny_images(3, seed=2).pixels
    shown = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        model, ctx = fitted(tmp_path / folder, train, val, seed, steps=6)
        shown.append(model.predict(pixels, ctx))
    np.testing.assert_array_equal(shown[0], shown[1])
    assert np.abs(shown[0] - shown[2]).max() > 1e-4


def test_a_dropped_class_keeps_its_column_and_is_noted(tmp_path: Path) -> None:
    model, ctx = fitted(tmp_path, tiny_images((20, 0, 20)), tiny_images(4, seed=1, classes=3))
    shown = model.predict(tiny_images(4, classes=3).pixels, ctx)
    assert shown.shape == (12, 3)
    assert np.isfinite(shown).all()
    assert shown[:, 1].max() < 0.5
    assert model.notes == ["no train image of melanoma"]


@pytest.mark.parametrize(
    ("val", "why"), [((6, 0), "images of one class only"), ((0, 0), "it is empty")], ids=["one class", "empty"]
)
def test_the_last_step_is_kept_where_val_cannot_choose(tmp_path: Path, val: tuple[int, ...], why: str) -> None:
    model, _ = fitted(tmp_path, tiny_images(12), tiny_images(val, seed=1), steps=8)
    assert (model.selected_step, model.selection_score) == (8, None)
    assert any(why in note for note in model.notes)


def test_the_best_of_the_evaluated_steps_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifiers._training import Selector

    scores = iter([0.6, 0.9, 0.7, 0.9])
    monkeypatch.setattr(Selector, "_score", lambda self, network: next(scores))
    model, _ = fitted(tmp_path, tiny_images(12), tiny_images(6, seed=1), steps=8, evaluations=4, select_after=0)
    assert (model.selected_step, model.selection_score) == (4, 0.9)


def test_select_last_ignores_val(tmp_path: Path) -> None:
    train = tiny_images(12)
    a, _ = fitted(tmp_path / "a", train, tiny_images(6, seed=1), steps=8, select="last")
    b, _ = fitted(tmp_path / "b", train, tiny_images(6, seed=9), steps=8, select="last")
    np.testing.assert_array_equal(a.weights["linear.weight"].numpy(), b.weights["linear.weight"].numpy())
    assert (a.selected_step, a.notes) == (8, [])


def test_bad_input_is_named(trained: tuple[SmallCNN, StageContext], tmp_path: Path) -> None:
    model, ctx = trained
    with pytest.raises(StageError, match="call fit or load first"):
        SmallCNN().predict(tiny_images(2).pixels, ctx)
    with pytest.raises(DataError, match="trained on 16x16 pixels"):
        model.predict(tiny_images(2, size=8).pixels, ctx)
    with pytest.raises(DataError, match="no training image"):
        fitted(tmp_path, tiny_images((0, 0)), tiny_images(2))
    with pytest.raises(DataError, match="prepare both alike"):
        fitted(tmp_path, tiny_images(4), tiny_images(2, size=8))
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        effective_config("classifier", "small_cnn", SmallCNN, "cpu", {"step": 3})


def test_training_leaves_the_images_alone(tmp_path: Path) -> None:
    train = tiny_images(12)
    before = np.asarray(train.pixels).copy()
    fitted(tmp_path, train, tiny_images(6, seed=1), steps=4, colour_jitter=0.2, affine=True)
    np.testing.assert_array_equal(train.pixels, before)


@pytest.mark.parametrize("preset", ["smoke", "cpu", "gpu", "paper"])
@pytest.mark.parametrize("size", [32, 64])
def test_the_estimated_work_is_what_the_network_does(preset: str, size: int) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = SmallCNN(effective_config("classifier", "small_cnn", SmallCNN, preset, {}))
    assert isinstance(model, CanEstimate)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = model.build(2, (size, size))
        network(torch.zeros(1, 3, size, size))
    macs, parameters, _ = _count(model.config, size)
    assert 2 * macs == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert parameters == pytest.approx(sum(p.numel() for p in network.parameters()), rel=0.04)
    c = model.config
    assert model.cost(100, size).flops == pytest.approx(3 * c.steps * c.batch * counter.get_total_flops(), rel=0.01)


def test_the_default_network_is_small() -> None:
    assert 5e5 < sum(p.numel() for p in SmallCNN().build(2, (32, 32)).parameters()) < 8e5


def test_importing_the_plugin_does_not_import_torch() -> None:
    code = "import sys, classifiers.small_cnn, generators.controls; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
