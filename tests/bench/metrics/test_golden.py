"""Against the stored values of torch-fidelity, clean-fid, dgm-eval, prdc and exact float64 references."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench import metrics
from bench.errors import UndefinedMetric
from bench.metrics.frechet import distance_of, moments
from bench.metrics.memorization import mann_whitney_z


def test_frechet_distance(golden_set):
    expected, arrays = golden_set
    exact = expected["fid"]["exact"]
    found = metrics.frechet_distance(arrays["train"], arrays["gen"])
    assert abs(found.raw - exact) <= 1e-9 * max(1, exact)
    assert found >= 0
    assert abs(distance_of(moments(arrays["gen"]), moments(arrays["train"])).raw - exact) <= 1e-9 * max(1, exact)


def test_kernel_distance(golden_set):
    expected, arrays = golden_set
    found = metrics.kernel_distance(arrays["train"], arrays["gen"])
    assert float(found) == pytest.approx(expected["kid"]["mmd2_unbiased_full"], rel=1e-10)


def test_kernel_distance_as_torch_fidelity(golden_set):
    expected, arrays = golden_set
    key = next(k for k in expected["kid"] if k.startswith("torch_fidelity_f64"))
    subsets, size = (int(re.search(rf"{name}=(\d+)", key)[1]) for name in ("subsets", "size"))
    found = metrics.kernel_distance_subsets(arrays["gen"], arrays["train"], subsets, size)
    assert found.mean == pytest.approx(expected["kid"][key]["kernel_inception_distance_mean"], abs=1e-9)
    assert found.std == pytest.approx(expected["kid"][key]["kernel_inception_distance_std"], abs=1e-9)


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("ties", ["lt", "le"])
def test_precision_recall_density_coverage(golden_set, k, ties):
    expected, arrays = golden_set
    found = metrics.prdc(arrays["train"], arrays["gen"], k, ties)
    sizes = {"precision": len(arrays["gen"]), "recall": len(arrays["train"]), "coverage": len(arrays["train"])}
    sizes["density"] = k * len(arrays["gen"])
    for name, value in expected["prdc"][f"k={k}"]["exact_float64"][ties].items():
        assert round(found[name] * sizes[name]) == round(value * sizes[name]), name
        assert found[name] == pytest.approx(value, abs=1e-12)


def test_authenticity(golden_set):
    expected, arrays = golden_set
    found = metrics.authenticity(arrays["train"], arrays["gen"])
    fraction = expected["authenticity"]["exact_fraction"]["lowest_index_tie_break"]
    assert found.k == round(fraction * len(arrays["gen"]))
    assert found.low <= found <= found.high


def test_data_copying_statistic(golden_set):
    expected, arrays = golden_set
    sets = arrays["test"], arrays["gen"], arrays["train"]
    cells = tuple(arrays[f"cells_{name}"] for name in ("test", "gen", "train"))
    reference = expected["ct"]["cells_npz"]
    if "error" in reference:
        with pytest.raises(UndefinedMetric, match="cell 1 holds no"):
            metrics.c_t(*sets, cells=cells)
    else:
        assert metrics.c_t(*sets, cells=cells) == pytest.approx(reference["C_T"], abs=1e-9)
    assert metrics.c_t(*sets) == pytest.approx(expected["ct"]["Zu_global"], abs=1e-9)


def test_nearest_distances(golden_set):
    expected, arrays = golden_set
    for name, reference in (("gen", "gen_to_train_nn"), ("test", "test_to_train_nn")):
        found = metrics.nearest(arrays[name], arrays["train"]).distances
        values = expected["nn_distance"][reference]
        assert (found.mean(), found.min()) == pytest.approx((values["mean"], values["min"]), abs=1e-12)


def test_mann_whitney_z_without_ties_equals_scipy():
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    p, q = rng.normal(size=80), rng.normal(size=60) + 0.3
    u = mannwhitneyu(q, p).statistic
    assert mann_whitney_z(p, q) == pytest.approx((u - 2399.5) / np.sqrt(4800 * 141 / 12), abs=1e-12)
