"""Networks: the published tables of parameters, the paths of w, truncation, noise and classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from generators.stylegan2_ada.networks import Discriminator, Generator
from tests.generators.stylegan2_ada import slow

FULL = {"img_resolution": 256, "channel_base": 16384, "channel_max": 512}
SMALL = {"img_resolution": 16, "channel_base": 128, "channel_max": 16}


def sizes(module: nn.Module) -> tuple[int, int]:
    return sum(p.numel() for p in module.parameters()), sum(b.numel() for b in module.buffers())


def small(c_dim: int = 0, **options: object) -> Generator:
    torch.manual_seed(0)
    return Generator(8, c_dim, 12, num_mapping_layers=2, **SMALL, **options).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("c_dim", "generator", "discriminator"),
    [(0, (23_191_522, 175_568), (24_001_089, 416)), (2, (23_455_202, 175_568), (26_366_016, 416))],
)
def test_counts_at_256_px(c_dim: int, generator: tuple[int, int], discriminator: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert sizes(Generator(512, c_dim, 512, num_mapping_layers=2, **FULL)) == generator
        assert sizes(Discriminator(c_dim, **FULL)) == discriminator


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        g, d = Generator(512, 2, 512, num_mapping_layers=2, **FULL), Discriminator(2, **FULL)
    shapes = {k: tuple(v.shape) for k, v in g.state_dict().items()}
    expected = {
        "mapping.embed.weight": (512, 2),
        "mapping.fc0.weight": (512, 1024),
        "mapping.fc1.bias": (512,),
        "mapping.w_avg": (512,),
        "synthesis.b4.const": (512, 4, 4),
        "synthesis.b4.resample_filter": (4, 4),
        "synthesis.b4.conv1.noise_strength": (),
        "synthesis.b8.conv0.weight": (512, 512, 3, 3),
        "synthesis.b8.conv0.affine.weight": (512, 512),
        "synthesis.b8.conv0.noise_const": (8, 8),
        "synthesis.b8.conv0.resample_filter": (4, 4),
        "synthesis.b256.torgb.weight": (3, 64, 1, 1),
        "synthesis.b256.torgb.affine.bias": (64,),
        "synthesis.b256.conv0.weight": (64, 128, 3, 3),
    }
    assert {k: shapes[k] for k in expected} == expected
    assert "synthesis.b4.conv0.weight" not in shapes
    shapes = {k: tuple(v.shape) for k, v in d.state_dict().items()}
    expected = {
        "b256.fromrgb.weight": (64, 3, 1, 1),
        "b256.conv0.weight": (64, 64, 3, 3),
        "b256.conv1.weight": (128, 64, 3, 3),
        "b256.skip.weight": (128, 64, 1, 1),
        "b256.resample_filter": (4, 4),
        "b4.conv.weight": (512, 513, 3, 3),
        "b4.fc.weight": (512, 8192),
        "b4.out.weight": (512, 512),
        "mapping.embed.weight": (512, 2),
        "mapping.fc7.weight": (512, 512),
    }
    assert {k: shapes[k] for k in expected} == expected
    assert "b256.skip.bias" not in shapes
    assert not any(k.startswith("b4.mbstd") for k in shapes)
    assert "b4.mbstd" in dict(d.named_modules())


def stirred(module: nn.Module) -> dict[str, np.ndarray]:
    """Every parameter of ``module`` moved from its first value, biases and noise too; float64 arrays by name."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype)
    return {k: t.numpy().copy() for k, t in module.state_dict().items()}


@pytest.mark.parametrize("c_dim", [0, 2])
def test_networks_are_their_formulas(c_dim: int) -> None:
    """All of both networks against the slow reference, weights read by their published names."""
    torch.manual_seed(0)
    g, d = Generator(5, c_dim, 6, 16, 2, 64, 4).double(), Discriminator(c_dim, 16, 64, 4).double()
    own, critic = stirred(g), stirred(d)
    z = torch.randn(3, 5, dtype=torch.float64)
    c = torch.eye(2, dtype=torch.float64)[[0, 1, 1]] if c_dim else None
    told = None if c is None else c.numpy()
    with torch.no_grad():
        ws, images, verdict = g.mapping(z, c), g(z, c, noise_mode="const"), d(g(z, c, noise_mode="const"), c)
    np.testing.assert_allclose(ws[:, -1], slow.mapping(own, z.numpy(), told, 2), rtol=1e-9)
    np.testing.assert_allclose(images, slow.generator(own, ws.numpy(), 16), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(verdict, slow.discriminator(critic, images.numpy(), told), rtol=1e-8)


def test_initial_values() -> None:
    g = small()
    assert float(g.synthesis.b8.conv0.affine.bias.mean()) == 1.0
    assert float(g.synthesis.b8.conv1.noise_strength) == 0.0
    assert float(g.mapping.fc0.weight.std()) == pytest.approx(100.0, rel=0.3)  # lr_multiplier .01
    assert float(g.synthesis.b16.conv0.weight.std()) == pytest.approx(1.0, rel=0.1)


def test_images_have_unit_scale_at_the_start() -> None:
    torch.manual_seed(0)
    g, d = Generator(64, 0, 64, 32, 2, 1024, 64), Discriminator(0, 32, 1024, 64)
    x = g(torch.randn(16, 64))
    assert x.shape == (16, 3, 32, 32)
    assert 0.3 < float(x.std()) < 4.0
    assert d(x).shape == (16, 1)
    assert 0.01 < float(d(x).std()) < 10.0


def test_latents_are_normalised_and_reach_every_layer() -> None:
    g, z = small(), torch.randn(3, 8)
    torch.testing.assert_close(g.mapping(z), g.mapping(7 * z))
    ws = g.mapping(z)
    assert ws.shape == (3, g.num_ws, 12)
    plain = g.synthesis(ws, "none")
    for layer in range(g.num_ws):
        moved = ws.clone()
        moved[:, layer] += 1.0
        assert float((g.synthesis(moved, "none") - plain).abs().max()) > 1e-3, layer


def test_colours_share_the_w_of_the_next_layer() -> None:
    g = small().requires_grad_(False)
    ws = g.mapping(torch.randn(1, 8)).clone().requires_grad_()
    seen: list[torch.Tensor] = []
    hooks = [
        m.affine.register_forward_hook(lambda _, given, __: seen.append(given[0])) for m in (g.synthesis.b4.torgb,)
    ]
    g.synthesis(ws, "none")
    hooks[0].remove()
    torch.testing.assert_close(seen[0], ws[:, 1])


def test_truncation_draws_w_toward_its_average() -> None:
    g, z = small(), torch.randn(5, 8)
    g.mapping.track_average(g.mapping(torch.randn(100, 8))[:, 0].mean(0), 0.0)
    full, half, none = (g.mapping(z, None, psi)[:, 0] for psi in (1.0, 0.5, 0.0))
    torch.testing.assert_close(none, g.mapping.w_avg.expand(5, -1))
    torch.testing.assert_close(half, (full + none) / 2)
    torch.testing.assert_close(g(z, None, 0.5, "const"), g.synthesis(g.mapping(z, None, 0.5), "const"))


def test_noise_modes() -> None:
    g, z = small(), torch.randn(2, 8)
    for name, p in g.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(p, 0.5)
    const, none = g(z, noise_mode="const"), g(z, noise_mode="none")
    assert torch.equal(const, g(z, noise_mode="const"))
    assert not torch.allclose(const, none)
    one, other = g(z, noise_mode="random"), g(z, noise_mode="random")
    assert not torch.allclose(one, other)
    assert not torch.allclose(one - none, (one - none)[:1])  # every image has noise of its own


def test_both_forms_of_modulation_give_the_same_images() -> None:
    g, z = small(), torch.randn(4, 8)
    one = g(z, noise_mode="const")
    g.set_form("grouped")
    torch.testing.assert_close(g(z, noise_mode="const"), one, atol=1e-4, rtol=1e-4)


def test_class_changes_image_and_verdict() -> None:
    g = small(c_dim=2)
    torch.manual_seed(1)
    d = Discriminator(2, **SMALL).eval()  # type: ignore[arg-type]
    z, c = torch.randn(4, 8), torch.eye(2)[[0, 0, 1, 1]]
    x = g(z, c)
    assert not torch.allclose(x, g(z, c.flip(0)), atol=1e-3)
    verdict = d(x, c)
    assert verdict.shape == (4, 1)
    assert not torch.allclose(verdict, d(x, c.flip(0)))
    with pytest.raises(ValueError, match=r"c must be \[B, 2\], got None"):
        g(z)
    with pytest.raises(ValueError, match=r"z must be \[B, 8\]"):
        g(torch.randn(4, 9), c)


def test_projection_of_the_class_is_scaled_by_its_width() -> None:
    torch.manual_seed(0)
    d = Discriminator(2, **SMALL).eval()  # type: ignore[arg-type]
    x, c = torch.randn(4, 3, 16, 16), torch.eye(2)[[0, 1, 0, 1]]
    grabbed: list[torch.Tensor] = []
    d.b4.register_forward_hook(lambda _, __, out: grabbed.append(out))
    verdict = d(x, c)
    expected = (grabbed[0] * d.mapping(None, c)).sum(1, keepdim=True) / math.sqrt(16)
    torch.testing.assert_close(verdict, expected)


@pytest.mark.parametrize("resolution", [0, 4, 12, 48, 100])
def test_other_sizes_are_refused(resolution: int) -> None:
    for build in (lambda: Generator(img_resolution=resolution), lambda: Discriminator(img_resolution=resolution)):
        with pytest.raises(ValueError, match=f"8, 16, 32, 64 ... pixels, not {resolution}"):
            build()
