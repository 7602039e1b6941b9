"""Reference cases of classification statistics."""

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


@pytest.fixture(scope="session")
def golden(golden_dir: Path) -> dict[str, Any]:
    """Values of R pROC, statsmodels and scipy for the stored cases."""
    return json.loads((golden_dir / "classification_golden.json").read_text())


@pytest.fixture(scope="session", params=["balanced_200", "small_24", "constant_scores_100"])
def case(
    request: pytest.FixtureRequest, golden_dir: Path, golden: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(reference values, arrays y, a, b) of one stored case."""
    with np.load(golden_dir / f"classification_{request.param}.npz") as arrays:
        return golden["cases"][request.param], {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def large() -> tuple[np.ndarray, np.ndarray]:
    """2,000 cases, 30 % positive, AUC about .86: y, score."""
    rng = np.random.default_rng(5)
    y = np.arange(2000) % 10 < 3
    return y.astype(np.int64), rng.normal(size=2000) + 1.5 * y
