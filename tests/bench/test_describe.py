"""Plugins described: types in plain words, values per preset, what they can do, terms of data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from bench.describe import capabilities, describe_plugin, documented_options, type_name
from bench.errors import ConfigError


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (Annotated[int, Field(ge=1)], "int"),
        (float | None, "float | None"),
        (Literal["a", "b"], "'a' | 'b'"),
        (tuple[Annotated[int, Field(ge=8)], ...], "tuple[int, ...]"),
        (dict[str, Any], "dict[str, Any]"),
    ],
)
def test_types_in_plain_words(annotation: Any, text: str) -> None:
    assert type_name(annotation) == text


def test_options_of_a_docstring() -> None:
    doc = """What it is.

    lr, ema   how fast
              it learns
    steps     how long
    This sentence is no option.
    """
    assert documented_options(doc) == {"lr": "how fast it learns", "ema": "how fast it learns", "steps": "how long"}


def test_a_generator() -> None:
    found = describe_plugin("generator", "ldm")
    assert found.target == "generators.ldm:LatentDiffusion"
    assert found.package == "dermbench"
    assert not found.control
    assert {"CanVary", "CanEstimate"} <= set(found.abilities)
    assert "NeedsHeldOut" not in found.abilities
    steps = next(o for o in found.options if o.name == "steps")
    assert steps.type == "int"
    assert steps.presets["smoke"] < steps.default < steps.presets["gpu"] < steps.presets["paper"]


def test_a_control_and_a_data_set() -> None:
    assert describe_plugin("generator", "oracle").control
    assert "NeedsHeldOut" in describe_plugin("generator", "oracle").abilities
    phantom = describe_plugin("dataset", "phantom")
    assert phantom.facts["licence"]
    assert "CanDraw" in phantom.abilities
    assert all(option.text for option in phantom.options)


def test_every_registered_plugin_can_be_described() -> None:
    from bench import registry

    for kind in registry.GROUPS:
        for name in registry.names(kind):
            assert describe_plugin(kind, name).target


def test_capabilities_are_the_optional_protocols() -> None:
    assert {"CanVary", "CanEstimate", "CanDraw", "NeedsHeldOut"} <= set(capabilities())


def test_unknown_names_are_helped() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'ddpm'"):
        describe_plugin("generator", "dppm")
