"""Weights for tests: random ones that the tests make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.extractors.states import write_state
from bench.extractors.vision import build_timm
from bench.pixels import UInt8

TINY = "test_resnet"


def photographs(n: int, seed: int = 0, side: int = 24) -> UInt8:
    """Smooth random colour fields uint8 [n, side, side, 3]."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(128, 50, (n, 3, 6, 6)))
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return fine.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def randomised(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """``network`` with seeded weights whose activations neither vanish nor explode, batch norm statistics included."""
    rng = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=rng)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.normal_(0, 0.1, generator=rng)
            module.running_mean.normal_(0, 0.1, generator=rng)
            module.running_var.uniform_(0.5, 1.5, generator=rng)
    return network.eval()


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes seeded weights of timm's smallest residual network and returns their file."""

    def make(seed: int = 0) -> Path:
        path = tmp_path_factory.mktemp("weights") / f"{TINY}-{seed}.safetensors"
        write_state(path, randomised(build_timm(TINY), seed).state_dict())
        return path

    return make
