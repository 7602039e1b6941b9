"""Reference feature sets and evidence for the tests of the metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# A busy machine must not turn a slow example into a failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

SETS = ("gaussian_same", "gaussian_shifted", "heavy_tail_t3", "n_lt_d", "identical", "real_dup", "unequal_n")


@pytest.fixture(scope="session", params=SETS)
def golden_set(request: pytest.FixtureRequest, golden_dir: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(values of the reference libraries, arrays train, test, gen and cells) of one stored feature set."""
    values = json.loads((golden_dir / "generative_golden.json").read_text())["sets"][request.param]
    with np.load(golden_dir / f"features_{request.param}.npz") as arrays:
        return values, {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def manifold() -> dict[str, np.ndarray]:
    """Draws of one curved 6-dimensional manifold in 48 dimensions: train, held_out, oracle, float32."""
    rng = np.random.default_rng(2)
    into = rng.normal(size=(6, 48))

    def draw(n: int) -> np.ndarray:
        hidden = rng.normal(size=(n, 6))
        return (np.tanh(hidden @ into) + 0.1 * rng.normal(size=(n, 48))).astype(np.float32)

    return {"train": draw(900), "held_out": draw(900), "oracle": draw(900)}
