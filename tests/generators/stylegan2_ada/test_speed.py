"""Training speed beside lucidrains' stylegan2-pytorch: equal widths, batch, precision and optimiser, in turns.

Both do a plain step, one update of each network without regularisation. That package's trainer runs on CUDA alone, so
its networks are stepped here, as its trainer does it: hinge loss, fresh latents for each network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.context import StageContext
from bench.testing import tiny_images
from generators.stylegan2_ada import StyleGAN2ADA
from generators.stylegan2_ada.fitting import build_pair, shape_of
from generators.stylegan2_ada.training import Trainer

pytestmark = pytest.mark.speed

SIDE, BATCH, LATENT, LAYERS = 32, 32, 64, 2
AIM = 1.5


def our_step(folder: Path, form: str = "scale") -> Callable[[], Any]:
    """A step of the ``cpu`` preset without regularisation, augmentation and mixing, in float32."""
    plain = {"r1_every": 0, "augment": (), "style_mixing": 0.0, "symmetry": "none"}
    options, train = StyleGAN2ADA.Config(**plain), tiny_images(32, SIDE)
    assert (options.batch, options.z_dim, options.mapping_layers) == (BATCH, LATENT, LAYERS)
    shape = shape_of(options, train)
    torch.manual_seed(0)
    g, d = build_pair(shape, None)
    g.set_form(form)  # type: ignore[arg-type]
    trainer = Trainer(options, g, d, train, shape.c_dim, StageContext(0, folder))
    rng = torch.Generator().manual_seed(0)
    return lambda: trainer.step(1, rng)


def their_step(package: Any) -> Callable[[], Any]:
    """The same with the other networks: capacities are chosen so that both have 16, 32, 64, 64 maps from 32 to 4 px."""
    torch.manual_seed(0)
    style, average = package.StyleVectorizer(LATENT, LAYERS), package.Generator(SIDE, LATENT, 8, fmap_max=64)
    g, d = package.Generator(SIDE, LATENT, 8, fmap_max=64), package.Discriminator(SIDE, 16, fmap_max=64)
    of_g = [*style.parameters(), *g.parameters()]
    adam_g = torch.optim.Adam(of_g, lr=2e-4, betas=(0.5, 0.9), fused=True)
    adam_d = torch.optim.Adam(d.parameters(), lr=4e-4, betas=(0.5, 0.9), fused=True)
    reals = torch.from_numpy(np.asarray(tiny_images(32, SIDE).pixels)).permute(0, 3, 1, 2).float() / 255.0

    def fakes() -> torch.Tensor:
        w = style(torch.randn(BATCH, LATENT))[:, None].expand(-1, g.num_layers, -1)
        return g(w, torch.rand(BATCH, SIDE, SIDE, 1))  # type: ignore[no-any-return]

    def step() -> None:
        with torch.no_grad():
            made = fakes()
        loss = (F.relu(1 + d(reals[torch.randint(len(reals), (BATCH,))])[0]) + F.relu(1 - d(made)[0])).mean()
        adam_d.zero_grad(set_to_none=True)
        loss.backward()
        adam_d.step()
        d.requires_grad_(False)
        loss = d(fakes())[0].mean()
        adam_g.zero_grad(set_to_none=True)
        loss.backward()
        adam_g.step()
        d.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(g.parameters()), 0.005)

    return step


def in_turns(first: Callable[[], Any], second: Callable[[], Any], rounds: int = 8) -> tuple[float, float]:
    """Least seconds of either, measured in turns after two calls each, so that a busy machine slows both."""
    best = [float("inf"), float("inf")]
    for i in range(rounds + 2):
        for k, call in enumerate((first, second)):
            start = time.perf_counter()
            call()
            if i >= 2:
                best[k] = min(best[k], time.perf_counter() - start)
    return best[0], best[1]


def test_training_beats_stylegan2_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)  # it refuses to be imported elsewhere
        package = pytest.importorskip("stylegan2_pytorch.stylegan2_pytorch", reason="pip install stylegan2-pytorch")
    own, other = in_turns(our_step(tmp_path), their_step(package))
    record_property("images_per_second", {"own": BATCH / own, "stylegan2-pytorch": BATCH / other})
    assert other / own >= AIM, f"{BATCH / own:.0f} images/s, stylegan2-pytorch {BATCH / other:.0f}"


@pytest.mark.skipif(torch.get_num_threads() != 1, reason="measured on one thread: set OMP_NUM_THREADS=1")
def test_scaling_maps_beats_a_kernel_an_image(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Why modulation scales the maps around one shared convolution instead of making a kernel for every image."""
    scaled, grouped = in_turns(our_step(tmp_path / "a"), our_step(tmp_path / "b", "grouped"))
    record_property("milliseconds_a_step", {"scale": 1e3 * scaled, "grouped": 1e3 * grouped})
    assert grouped / scaled >= 1.3, f"{1e3 * scaled:.0f} ms a step, grouped {1e3 * grouped:.0f} ms"
