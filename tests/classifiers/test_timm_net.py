"""Any timm network trains, embeds and starts from given weights; what does not fit is said, not guessed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from bench.capabilities import CanEstimate
from bench.context import StageContext
from bench.errors import ConfigError
from bench.testing import tiny_images
from classifiers._pretrained import read_weights
from classifiers._timm_network import build_network, count_work
from classifiers.timm_net import WORK, TimmNet

TINY = {"network": "test_resnet", "steps": 6, "batch": 8, "evaluations": 1, "learning_rate": 1e-3}


def fit(folder: Path, size: int = 32, **options: Any) -> tuple[TimmNet, StageContext]:
    model, ctx = TimmNet(TimmNet.Config(**{**TINY, **options})), StageContext(0, folder)
    model.fit(tiny_images(12, size), tiny_images(6, size, seed=1), ctx)
    return model, ctx


@pytest.fixture
def checkpoint(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """Weights of a 1,000-class test_resnet."""
    torch.manual_seed(7)
    state = timm.create_model("test_resnet", num_classes=1000).state_dict()
    save_file(state, str(tmp_path / "weights.safetensors"))
    return tmp_path / "weights.safetensors", state


@pytest.mark.parametrize("network", ["test_resnet", "tf_efficientnet_lite0", "googlenet", "test_convnext"])
def test_networks_predict_and_embed(network: str, tmp_path: Path) -> None:
    model, ctx = fit(tmp_path, network=network, steps=2)
    pixels = tiny_images(3, 32, seed=2).pixels
    shown, features = model.predict(pixels, ctx), model.embed(pixels, ctx)
    np.testing.assert_allclose(shown.sum(1), 1, atol=1e-6)
    assert (shown.dtype, features.dtype, len(features)) == (np.float32, np.float32, 6)
    network_ = model._ready(pixels, ctx)
    logits = network_.head(torch.from_numpy(features)).detach().softmax(1).numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(logits, shown, atol=2e-5)
    np.testing.assert_array_equal(model.predict(pixels[2:4], ctx), shown[2:4])


def test_it_learns_and_loads(tmp_path: Path) -> None:
    from classifiers._training import macro_auc

    model, ctx = fit(tmp_path / "work", steps=60, batch=16, learning_rate=2e-3)
    fresh = tiny_images(60, 32, seed=3)
    shown = model.predict(fresh.pixels, ctx)
    assert macro_auc(fresh.labels, shown) > 0.9
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(TimmNet.load(tmp_path / "saved", model.config).predict(fresh.pixels, ctx), shown)


def test_it_can_train_in_float32_within_a_run_of_bf16(tmp_path: Path) -> None:
    weights = {}
    for name, of_run, own in (("plain", "fp32", "run"), ("own", "bf16", "fp32"), ("run", "bf16", "run")):
        model = TimmNet(TimmNet.Config(network="test_resnet", steps=2, batch=8, evaluations=1, precision=own))
        train, val = tiny_images(8, 32, seed=0), tiny_images(4, 32, seed=1)
        model.fit(train, val, StageContext(0, tmp_path / name, precision=of_run))
        weights[name] = model.weights
    same = [
        all(torch.equal(weights["plain"][k], weights[other][k]) for k in weights["plain"]) for other in ("own", "run")
    ]
    assert same == [True, False]


@pytest.mark.parametrize("network", ["tf_efficientnet_lite0", "test_resnet", "googlenet"])
def test_an_untrained_head_does_not_prejudge(network: str) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        logits = build_network(network, 2, (32, 32), "images", 0.0, False).train()(torch.rand(16, 3, 32, 32))
    assert 0 < logits.abs().max() < 1.5
    assert torch.nn.functional.cross_entropy(logits, torch.arange(16) % 2).item() == pytest.approx(np.log(2), abs=0.2)


def test_weights_of_a_file_are_loaded_but_for_a_head_of_other_classes(
    checkpoint: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    file, state = checkpoint
    model = TimmNet(TimmNet.Config(network="test_resnet", pretrained=str(file)))
    network = model.build(2, (32, 32))
    notes = model.initialise(network)
    assert notes[-1] == "new head for 2 classes: fc.bias, fc.weight not loaded"
    loaded = network.model.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(loaded[k], v) for k, v in state.items() if not k.startswith("fc."))
    assert loaded["fc.weight"].shape == (2, 96)


def test_a_head_that_fits_is_loaded_too(checkpoint: tuple[Path, dict[str, torch.Tensor]]) -> None:
    file, state = checkpoint
    model = TimmNet(TimmNet.Config(network="test_resnet", pretrained=str(file)))
    network = model.build(1000, (32, 32))
    assert model.initialise(network) == [f"test_resnet starts from {file}"]
    assert torch.equal(network.model.fc.weight, state["fc.weight"])  # type: ignore[union-attr]


def test_a_frozen_backbone_does_not_move(checkpoint: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    file, state = checkpoint
    model, _ = fit(tmp_path / "work", pretrained=str(file), freeze="backbone", steps=4)
    for name, value in state.items():
        if not name.startswith("fc."):
            assert torch.equal(model.weights[f"model.{name}"], value), name
    fresh = TimmNet(model.config)
    assert not torch.equal(model.weights["model.fc.weight"], fresh.build(2, (32, 32)).state_dict()["model.fc.weight"])
    assert any("new head for 2 classes" in note for note in model.notes)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}])
def test_torch_files_of_tensors_are_read(
    wrap: Any, checkpoint: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    _, state = checkpoint
    torch.save(wrap(state), tmp_path / "weights.pth")
    assert {k: v.shape for k, v in read_weights(tmp_path / "weights.pth").items()} == {
        k: v.shape for k, v in state.items()
    }


def test_a_torch_file_with_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(ConfigError, match=r"model\.pth holds more than tensors"):
        read_weights(tmp_path / "model.pth")


def test_a_checksum_is_checked(checkpoint: tuple[Path, dict[str, torch.Tensor]]) -> None:
    file, _ = checkpoint
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert read_weights(file, right)
    with pytest.raises(ConfigError, match="not the file that was meant"):
        read_weights(file, "0" * 64)


@pytest.fixture
def weight_package(
    checkpoint: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, torch.Tensor]:
    """An installed distribution that ships one weight file, with names of its own."""
    _, state = checkpoint
    package, info = tmp_path / "site" / "lesion_weights", tmp_path / "site" / "lesion_weights-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    torch.save({f"layer{i}.{k.rsplit('.')[-1]}": v for i, (k, v) in enumerate(state.items())}, package / "weights.pth")
    (package / "__init__.py").touch()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lesion-weights\nVersion: 1.0\n")
    (info / "RECORD").write_text("lesion_weights/__init__.py,,\nlesion_weights/weights.pth,,\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return state


def test_weights_of_an_installed_package_match_by_order(weight_package: dict[str, torch.Tensor]) -> None:
    model = TimmNet(TimmNet.Config(network="test_resnet", pretrained="package:lesion-weights"))
    network = model.build(1000, (32, 32))
    assert "names differ: matched by order and shape" in model.initialise(network)
    loaded = network.model.state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(loaded[k], v) for k, v in weight_package.items() if "num_batches" not in k)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "resnet5O"}, "timm has no network 'resnet5O'"),
        ({"pretrained": "/nowhere/w.safetensors"}, "no weights at /nowhere/w.safetensors"),
        ({"pretrained": "package:no-such-package"}, "'no-such-package' is not installed"),
        ({"network": "test_vit", "input_size": 30}, "test_vit cannot take images of 30x30 pixels"),
    ],
)
def test_what_cannot_be_used_is_named(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(tmp_path, **options)


def test_weights_of_another_network_are_refused(
    checkpoint: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is not of this network"):
        fit(tmp_path / "work", network="test_efficientnet", pretrained=str(checkpoint[0]))


@pytest.mark.parametrize("source", [True, "hf-hub:nobody/no-such-weights"])
def test_hub_weights_without_a_network_say_what_to_do(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: Any, **kwargs: Any) -> None:
        raise OSError("no connection")

    model = TimmNet(TimmNet.Config(network="test_resnet", pretrained=source))
    network = model.build(2, (32, 32))
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ConfigError, match="no connection; set pretrained to false"):
        model.initialise(network)


@pytest.mark.parametrize(("input_size", "side"), [("images", 32), ("native", 160), (48, 48)])
def test_images_are_resized_to_the_chosen_size(input_size: Any, side: int) -> None:
    network = build_network("test_resnet", 2, (32, 32), input_size, 0, False)
    x = torch.rand(2, 3, 32, 32)
    prepared = network._prepare(x)
    assert prepared.shape == (2, 3, side, side)
    assert float(prepared.mean()) == pytest.approx(float((2 * x - 1).mean()), abs=0.02)  # its mean and std are .5


def test_a_transformer_of_fixed_size_takes_small_images() -> None:
    network = build_network("test_vit", 2, (32, 32), "images", 0, False)
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 2)


@pytest.mark.parametrize("name", list(WORK))
def test_the_table_of_work_is_right(name: str) -> None:
    macs, parameters, _ = count_work(build_network(name, 2, (224, 224), "images", 0, False), 224)
    gigamacs, megaparams, native = WORK[name]
    assert macs / 1e9 == pytest.approx(gigamacs, rel=0.005)
    assert parameters / 1e6 == pytest.approx(megaparams, rel=0.005)
    assert native == (224 if name == "googlenet" else timm.get_pretrained_cfg(name).input_size[1])


def test_cost_grows_with_the_image_and_knows_any_network() -> None:
    small, large = (TimmNet(TimmNet.Config(network="resnet50")).cost(100, s).flops for s in (32, 64))
    assert large == pytest.approx(4 * small)
    other = TimmNet(TimmNet.Config(network="test_efficientnet"))
    assert isinstance(other, CanEstimate)
    assert other.cost(100, 64).flops == pytest.approx(2 * 9.134e6 * 3 * 64 * 450, rel=0.05)
    frozen = TimmNet(TimmNet.Config(network="resnet50", freeze="backbone")).cost(100, 32)
    assert frozen.flops == pytest.approx(small / 3)


def test_importing_the_plugin_does_not_import_torch() -> None:
    code = (
        "import sys, classifiers.timm_net as t; t.TimmNet(t.TimmNet.Config()).cost(9, 64);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
