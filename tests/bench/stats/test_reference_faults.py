"""A fault of a reference library beside ours."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import delong_paired


def test_identical_scores_have_p_one_where_a_reference_says_zero():
    """MLstatkit divides 0 by 0 there, tries a bootstrap, and reports certainty of a difference that is exactly 0."""
    library = pytest.importorskip("MLstatkit")
    rng = np.random.default_rng(0)
    y, score = np.arange(100) % 2, rng.random(100)
    other = score + 0.1 * y
    their_z, their_p, *_ = library.Delong_test(y, score, other)
    ours = delong_paired(y, score, other)
    assert abs(ours.z) == pytest.approx(abs(their_z), rel=1e-9)
    assert ours.p == pytest.approx(their_p, rel=1e-9)
    _, p_of_identical, *_ = library.Delong_test(y, score, score)
    assert p_of_identical == 0.0
    assert delong_paired(y, score, score).p == 1.0
