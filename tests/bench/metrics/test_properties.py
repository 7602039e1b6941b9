"""What must leave numbers alone: order of rows to the last bit, a shift of all features in every neighbour metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import metrics
from bench.errors import DataError, UndefinedMetric
from bench.metrics.unsplit import leave_one_out

Sets = tuple[np.ndarray, np.ndarray, np.ndarray]
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], object]

NEIGHBOUR: dict[str, Metric] = {
    "precision": lambda t, h, q: metrics.prdc(h, q, 3).precision,
    "recall": lambda t, h, q: metrics.prdc(h, q, 3).recall,
    "density": lambda t, h, q: metrics.prdc(h, q, 3).density,
    "coverage": lambda t, h, q: metrics.prdc(h, q, 3).coverage,
    "realism": lambda t, h, q: np.sort(metrics.realism(h, q)).tolist(),
    "authenticity": lambda t, h, q: float(metrics.authenticity(t, q)),
    "copy_rate": lambda t, h, q: float(metrics.copy_rate(t, h, q, fpr=0.1)),
    "nn_ratio": lambda t, h, q: np.sort(metrics.nn_ratio(t, q)).tolist(),
    "c_t": lambda t, h, q: metrics.c_t(h, q, t),
    "c_t in cells": lambda t, h, q: metrics.measure_c_t(h, q, t, cells=1, replicates=20).value,
    "leave one out": lambda t, h, q: np.sort(leave_one_out(h).distances).tolist(),
}
MOMENT: dict[str, Metric] = {
    "fid": lambda t, h, q: metrics.frechet_distance(h, q).raw,
    "kid": lambda t, h, q: (float(k := metrics.kernel_distance(h, q)), k.se),
    "fid_infinity": lambda t, h, q: vars(metrics.frechet_infinity(h, q, points=4, blocks=4)),
    "measure_realism": lambda t, h, q: vars(metrics.measure_realism(h, q, 0, replicates=20)),
    "share_nearer_train": lambda t, h, q: float(metrics.share_nearer_train(t, h, q)),
}


@st.composite
def feature_sets(draw: st.DrawFn) -> Sets:
    """train, held_out, synthetic on a grid of 1/8, with duplicates within and copies between them."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    width = draw(st.integers(1, 40))
    sizes = [draw(st.integers(22, 45)) for _ in range(3)]
    train, held_out, synthetic = (np.round(8 * rng.normal(size=(n, width))) / 8 for n in sizes)
    copies = draw(st.integers(0, 10))
    synthetic[:copies] = train[:copies]
    train[-2] = train[-1]
    kind = draw(st.sampled_from([np.float32, np.float64]))
    return train.astype(kind), held_out.astype(kind), synthetic.astype(kind)


@pytest.mark.parametrize("name", [*NEIGHBOUR, *MOMENT])
@settings(max_examples=15, deadline=None)
@given(sets=feature_sets(), seed=st.integers(0, 1000))
def test_order_of_rows_changes_no_bit(name, sets, seed):
    rng = np.random.default_rng(seed)
    measure = {**NEIGHBOUR, **MOMENT}[name]
    assert measure(*(rows[rng.permutation(len(rows))] for rows in sets)) == measure(*sets)


@pytest.mark.parametrize("name", NEIGHBOUR)
@settings(max_examples=15, deadline=None)
@given(sets=feature_sets(), offset=st.sampled_from([-3.0, 512.0, 4096.0]))
def test_shift_of_all_features_changes_no_neighbour(name, sets, offset):
    measure = NEIGHBOUR[name]
    assert measure(*(rows + rows.dtype.type(offset) for rows in sets)) == measure(*sets)


@pytest.mark.parametrize("name", ["fid", "kid"])
@settings(max_examples=15, deadline=None)
@given(sets=feature_sets())
def test_identical_sets_and_exchanged_sides(name, sets):
    train, held_out, synthetic = sets
    measure = MOMENT[name]
    forth, back = measure(train, held_out, synthetic), measure(train, synthetic, held_out)
    assert back == pytest.approx(forth, rel=1e-9, abs=1e-9)
    if name == "fid":
        assert measure(train, held_out, held_out) == pytest.approx(0, abs=1e-6)


BROKEN = {
    "nan": lambda rows: np.where(np.arange(len(rows))[:, None] == 2, np.nan, rows),
    "infinite": lambda rows: np.where(np.arange(len(rows))[:, None] == 2, np.inf, rows),
    "flat": lambda rows: rows.ravel(),
    "empty": lambda rows: rows[:0],
    "one": lambda rows: rows[:1],
}


@pytest.mark.parametrize("name", [*NEIGHBOUR, *MOMENT])
@pytest.mark.parametrize("fault", BROKEN)
def test_bad_sets_end_in_typed_errors(name, fault, manifold):
    """Broken held-out and synthetic sets alike; one synthetic image is enough for a share, but not for a distance."""
    if (name, fault) == ("share_nearer_train", "one"):
        pytest.skip("one training image against one held-out image is a fair question")
    sets = [manifold[key][:40] for key in ("train", "held_out", "oracle")]
    measure = {**NEIGHBOUR, **MOMENT}[name]
    broken = [sets[0], BROKEN[fault](sets[1]), BROKEN[fault](sets[2])]
    with pytest.raises((DataError, UndefinedMetric)) as caught:
        measure(*broken) if name not in ("authenticity", "nn_ratio") else measure(broken[1], sets[1], broken[2])
    expected = UndefinedMetric if fault in ("empty", "one") else DataError
    assert isinstance(caught.value, expected)
    assert str(caught.value).startswith("undefined, because") == (expected is UndefinedMetric)


@pytest.mark.parametrize("name", [*NEIGHBOUR, *MOMENT])
def test_constant_features_crash_nothing(name):
    constant = np.full((40, 4), 7.0)
    found = {**NEIGHBOUR, **MOMENT}[name](constant, constant, constant)
    values = found["value"] if isinstance(found, dict) else found
    assert np.isfinite(np.asarray(values, dtype=np.float64)).all()
