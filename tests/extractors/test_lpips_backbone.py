"""The networks below LPIPS: in torchvision's form, in that of the package that carries them, and the published ones."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import ConfigError
from bench.extractors.lpips_backbone import CONVOLUTIONS, backbone_state
from bench.extractors.states import read_state, write_state
from bench.metrics.perceptual import lpips_distance
from bench.weights import CATALOGUE, Carrier
from bench.weights_fetch import fetch
from tests.extractors.conftest import photographs


def torchvision_state(net: str) -> dict[str, torch.Tensor]:
    from torchvision import models

    torch.manual_seed(0)
    return {"alex": models.alexnet, "vgg": models.vgg16}[net](weights=None).state_dict()


def in_the_form_of_flax(net: str, state: dict[str, torch.Tensor]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Nested dicts of arrays, kernels [h, w, I, O], and the linear layers of LPIPS that are not wanted."""
    layers = {}
    for position, i in enumerate(CONVOLUTIONS[net]):
        kernel = state[f"features.{i}.weight"].permute(2, 3, 1, 0).contiguous().numpy()
        layers[f"Conv_{position}"] = {"kernel": kernel, "bias": state[f"features.{i}.bias"].numpy()}
    root = {"alex": "AlexNet_0", "vgg": "VGG16_0"}[net]
    return {root: layers, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 64, 1), np.float32)}}}


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_two_forms_give_the_same_file(net, tmp_path):
    state = torchvision_state(net)
    torch.save(state, tmp_path / "official.pth")
    (tmp_path / "carried.ckpt").write_bytes(pickle.dumps(in_the_form_of_flax(net, state), protocol=3))
    for name in ("official.pth", "carried.ckpt"):
        found = backbone_state(read_state(tmp_path / name), net)
        assert set(found) == {k for k in state if k.startswith("features.")}
        write_state(tmp_path / f"{name}.safetensors", found)
    files = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("official.pth", "carried.ckpt")]
    assert files[0] == files[1]
    with pytest.raises(ConfigError, match=r"features\.0\.weight is missing"):
        backbone_state({}, net)


class _Runs:
    def __reduce__(self):
        return (open, ("ran", "w"))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: {"a": _Runs()}, id="a call"),
        pytest.param(lambda: {"a": np.array([_Runs()], dtype=object)}, id="a call in an array of objects"),
        pytest.param(lambda: {"a": np.array([None, 1], dtype=object)}, id="an array of objects"),
        pytest.param(lambda: {"a": "text"}, id="text"),
        pytest.param(lambda: {"a": np.float64}, id="a class"),
    ],
)
def test_a_pickle_of_anything_else_is_refused_and_not_run(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol in (2, 3, 4):
        (tmp_path / "evil.ckpt").write_bytes(pickle.dumps(content(), protocol=protocol))
        with pytest.raises(ConfigError, match=r"evil\.ckpt"):
            read_state(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_pickle_is_named(tmp_path):
    whole = pickle.dumps({"a": np.ones(5)}, protocol=3)
    assert set(read_state_of(whole, tmp_path)) == {"a"}
    with pytest.raises(ConfigError, match="no pickle of plain arrays"):
        read_state_of(whole[:-20], tmp_path)


def read_state_of(data: bytes, folder: Path) -> dict[str, torch.Tensor]:
    (folder / "file.ckpt").write_bytes(data)
    return read_state(folder / "file.ckpt")


def test_a_source_archive_is_unpacked_and_checked(tmp_path, monkeypatch):
    """What pip would have downloaded, given with --file."""
    from dataclasses import replace
    from hashlib import sha256

    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "cache"))
    member = pickle.dumps(in_the_form_of_flax("alex", torchvision_state("alex")), protocol=3)
    archive = tmp_path / "carrier-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("carrier-1.0/pkg/alex.ckpt")
        info.size = len(member)
        tar.addfile(info, io.BytesIO(member))
    carrier = Carrier("carrier==1.0", "", "pkg/alex.ckpt", sha256(member).hexdigest(), is_source=True)
    monkeypatch.setitem(CATALOGUE, "lpips-alex", replace(CATALOGUE["lpips-alex"], carrier=carrier, sha256=""))
    fetch("lpips-alex", file=archive, say=lambda line: None)
    assert lpips_distance(net="alex").identity.startswith("lpips-alex-0.1:")
    monkeypatch.setitem(
        CATALOGUE, "lpips-alex", replace(CATALOGUE["lpips-alex"], carrier=replace(carrier, member="pkg/vgg.ckpt"))
    )
    with pytest.raises(ConfigError, match="no source archive that holds pkg/vgg"):
        fetch("lpips-alex", file=archive, again=True, say=lambda line: None)


@pytest.mark.slow
@pytest.mark.parametrize(("net", "jump"), [("alex", 0.05), ("vgg", 0.05)])
def test_published_networks_see_what_people_see(published: Callable[[str], Path], net, jump):
    """A blur or a noise of equal RMS error is farther away than a slight change of brightness (the paper's point)."""
    from scipy.ndimage import gaussian_filter

    distance = lpips_distance(published(f"lpips-{net}"), net)
    sharp = photographs(6, side=64).astype(np.float32)
    texture = np.random.default_rng(0).normal(0, 25, sharp.shape)
    sharp = np.clip(sharp + gaussian_filter(texture, (0, 1, 1, 0)) * 2, 0, 255).astype(np.float32)
    blurred = gaussian_filter(sharp, (0, 1.5, 1.5, 0))
    error = np.sqrt(((blurred - sharp) ** 2).mean(axis=(1, 2, 3), keepdims=True))
    brighter = (sharp + error).astype(np.float32)
    of_blur, of_light = distance(sharp, blurred), distance(sharp, brighter)
    assert np.all(of_blur > of_light + jump), (of_blur, of_light)
    assert np.all(distance(sharp, sharp) == 0)
