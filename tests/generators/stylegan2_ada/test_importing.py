"""Weights made elsewhere: sizes are inferred, everything is loaded strictly, images stay the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from bench.context import StageContext
from bench.errors import DataError
from bench.testing import tiny_images
from generators.stylegan2_ada import StyleGAN2ADA
from generators.stylegan2_ada.command import app
from generators.stylegan2_ada.importing import import_weights
from generators.stylegan2_ada.model import image_latents
from generators.stylegan2_ada.networks import Discriminator, Generator
from tests.bench.cli.command import bench

SIZES: dict[str, Any] = {"img_resolution": 32, "channel_base": 256, "channel_max": 24}


def networks(c_dim: int = 2) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    return Generator(10, c_dim, 12, num_mapping_layers=3, **SIZES).eval(), Discriminator(c_dim, **SIZES)


def both(g: Generator, d: Discriminator) -> dict[str, Any]:
    return {"G_ema": g.state_dict(), "D": d.state_dict()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("c_dim", [0, 2])
def test_an_imported_network_draws_the_same_images(suffix: str, c_dim: int, tmp_path: Path) -> None:
    g, _ = networks(c_dim)
    file = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(g.state_dict(), str(file))
    else:
        torch.save(g.state_dict(), file)
    shape, critic = import_weights(file, tmp_path / "out")
    assert not critic
    assert (shape.resolution, shape.z_dim, shape.c_dim, shape.w_dim) == (32, 10, c_dim, 12)
    assert (shape.mapping_layers, shape.channel_base, shape.channel_max) == (3, 256, 24)
    model, ctx = StyleGAN2ADA.load(tmp_path / "out", StyleGAN2ADA.Config(noise="const")), StageContext(3, tmp_path)
    labels = np.array([0, 1, 1, 0]) if c_dim else np.zeros(4, dtype=np.int64)
    z, c = torch.from_numpy(image_latents(4, 10, 3)), torch.eye(2)[labels] if c_dim else None
    with torch.no_grad():
        expected = ((g(z, c, noise_mode="const") + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    assert np.abs(model.sample(labels, ctx) - expected.clip(0, 255)).max() <= 0.51
    assert model.latent_size == 10


def test_training_goes_on_from_both_networks(tmp_path: Path) -> None:
    g, d = networks()
    torch.save(both(g, d), tmp_path / "pair.pt")
    assert import_weights(tmp_path / "pair.pt", tmp_path / "out")[1]
    options = {**StyleGAN2ADA.presets["smoke"], "kimg": 0.0, "init_from": str(tmp_path / "out")}
    model = StyleGAN2ADA(StyleGAN2ADA.Config(**options))
    model.fit(tiny_images(4, 32), StageContext(0, tmp_path / "work"))
    for mine, theirs in ((model.model.generators[0], g), (model.model.discriminators[0], d)):
        assert mine is not None
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_the_command_says_what_it_found_and_how_to_go_on(tmp_path: Path) -> None:
    g, d = networks(0)
    flat = {f"{name}.{k}": t for name, state in both(g, d).items() for k, t in state.items()}
    save_file(flat, str(tmp_path / "pair.safetensors"))
    done = CliRunner().invoke(app, ["stylegan2", str(tmp_path / "pair.safetensors"), "--conv-clamp", "0"])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "pair-stylegan2_ada"
    assert "generator and discriminator of 32 px, unconditional, z 10, w 12, 3 mapping layers" in done.output
    assert f"--set generator.init_from={folder} --set data.resolution=32 --set generator.per_class=true" in done.output
    assert StyleGAN2ADA.load(folder, StyleGAN2ADA.Config()).model.shape.conv_clamp is None


def _without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: t for k, t in state.items() if k != name}


def _with(state: dict[str, Any], name: str, tensor: torch.Tensor) -> dict[str, Any]:
    return {**state, name: tensor}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: _without(s, "synthesis.b16.conv0.affine.bias"), "1 missing: synthesis.b16.conv0.affine.bias"),
        (lambda s: _with(s, "synthesis.b8.extra", torch.zeros(1)), "1 unknown: synthesis.b8.extra"),
        (lambda s: _with(s, "mapping.fc1.bias", torch.zeros(5)), "mapping.fc1.bias is [5], not [12]"),
        (lambda s: _without(s, "mapping.w_avg"), "no tensor mapping.w_avg"),
        (lambda s: {"body.0.weight": torch.zeros(1)}, "no StyleGAN2 generator; it has body.0.weight"),
        (lambda s: {}, "holds no tensor"),
        (
            lambda s: _with(s, "synthesis.b32.conv1.weight", torch.zeros(7, 7, 3, 3)),
            "follow no rule min(channel_base / resolution, channel_max)",
        ),
    ],
)
def test_other_weights_are_refused_by_name(change: Any, said: str, tmp_path: Path) -> None:
    torch.save(change(networks()[0].state_dict()), tmp_path / "bad.pt")
    with pytest.raises(DataError, match=re.escape(said)):
        import_weights(tmp_path / "bad.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pickle_of_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"G_ema": networks()[0]}, tmp_path / "whole.pkl")
    with pytest.raises(DataError, match=r"neither safetensors nor a torch file of tensors alone .*state_dict"):
        import_weights(tmp_path / "whole.pkl", tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        import_weights(tmp_path / "nothing.pt", tmp_path / "out")


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    torch.save(networks()[0].state_dict(), tmp_path / "w.pt")
    with pytest.raises(DataError, match="is not empty"):
        import_weights(tmp_path / "w.pt", tmp_path)


def test_the_command_imports_and_the_printed_folder_draws(tmp_path: Path) -> None:
    """As a person calls it: another process, found by its entry point."""
    g, d = networks()
    torch.save(both(g, d), tmp_path / "pair.pt")
    done = bench("import", "stylegan2", str(tmp_path / "pair.pt"), "--conv-clamp", "0")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "pair-stylegan2_ada"
    assert str(folder) in done.stdout.replace("\n", "")
    model = StyleGAN2ADA.load(folder, StyleGAN2ADA.Config())
    assert model.model.shape.conv_clamp is None
    assert model.sample(np.array([0, 1]), StageContext(0, tmp_path)).shape == (2, 32, 32, 3)
    again = bench("import", "stylegan2", str(tmp_path / "pair.pt"))
    assert again.returncode == 3, "an error of data"
    assert "is not empty" in again.stderr
    assert "Traceback" not in again.stderr
