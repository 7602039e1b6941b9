"""Numbers 17 to 19: the harness itself. There is no number 14."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.selfcheck import CHECKS, Ground


@pytest.mark.parametrize("name", ["phantom-pixels", pytest.param("ham10000-pixels", marks=pytest.mark.realdata)])
def test_17_a_generator_that_hands_out_test_images_makes_the_run_fail(
    name: str, grounds: Callable[[str], Ground]
) -> None:
    found = CHECKS[17](grounds(name))
    assert found.passed, found.verdict
    assert found.verdict.values["named"] >= 1


def test_18_path_length_of_a_constant_is_0_and_of_a_linear_generator_as_computed(
    grounds: Callable[[str], Ground],
) -> None:
    found = CHECKS[18](grounds("phantom-pixels"))
    assert found.passed, found.verdict
    assert found.verdict.values["constant"] == 0


def test_19_a_generator_that_sleeps_is_timed_within_5_percent(grounds: Callable[[str], Ground]) -> None:
    found = CHECKS[19](grounds("phantom-pixels"))
    assert found.passed, found.verdict


def test_every_number_has_its_tests() -> None:
    from tests.falsification import test_fidelity, test_labels, test_memorization, test_usefulness

    modules = (test_fidelity, test_labels, test_memorization, test_usefulness)
    names = [name for module in modules for name in vars(module)] + list(globals())
    tested = {int(name.split("_")[1]) for name in names if name.startswith("test_") and name.split("_")[1].isdigit()}
    assert tested == set(CHECKS) == set(range(1, 21)) - {14}
