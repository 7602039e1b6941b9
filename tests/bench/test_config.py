"""Layers of configuration, and errors that name the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import build_config
from bench.errors import ConfigError


def test_layers_preset_file_options_and_sets(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('generator = "ddpm"\nseeds = 3\n[data]\nresolution = 48\n[protocol]\nname = "augmented"\n')
    config = build_config(
        preset="cpu", run_file=file, data="phantom", classifier="timm_net",
        sets=["data.resolution=24", "classifier.steps=7", "protocol.ratios=[0.5]"],
    )  # fmt: skip
    assert config.generator.name == "ddpm"
    assert config.seeds == (0, 1, 2)
    assert config.data.resolution == 24
    assert config.classifier.options == {"steps": 7}
    assert config.protocol.options == {"ratios": [0.5]}


def test_a_new_name_drops_the_options_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"generator": {"name": "ldm", "steps": 5}}')
    assert build_config(preset="cpu", run_file=file, generator="ddpm").generator.options == {}
    assert build_config(preset="cpu", run_file=file, generator="ldm").generator.options == {"steps": 5}


def test_options_of_the_default_plugin_need_no_name() -> None:
    assert build_config(preset="cpu", sets=["generator.steps=9"]).generator.name == "ldm"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": ["data.resolutoin=3"]}, "data.resolutoin"),
        ({"sets": ["nonsense"]}, "section.option=value"),
        ({"preset": "huge"}, "smoke, cpu, gpu, paper"),
        ({"seeds": 0}, "seeds"),
        ({"run_file": Path("absent.toml")}, r"absent\.toml: not found"),
        ({"sets": ["replicates=3"]}, "replicates"),
    ],
)
def test_errors_name_the_option(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(**{"preset": "cpu", **options})


def test_a_wrong_plugin_option_is_named_with_the_nearest() -> None:
    config = build_config(preset="cpu", sets=["protocol.round=3"])
    with pytest.raises(ConfigError, match="Did you mean 'rounds'"):
        config.plugin("protocol")


def test_an_unknown_plugin_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'ddpm'"):
        build_config(preset="cpu", generator="dpdm").plugin("generator")


def test_run_id_follows_what_decides_numbers_only() -> None:
    a = build_config(preset="cpu")
    assert a.run_id() == build_config(preset="cpu", out=Path("elsewhere"), device="cpu", threads=3).run_id()
    assert a.run_id() != build_config(preset="cpu", seeds=2).run_id()
    assert a.run_id() != build_config(preset="cpu", sets=["generator.steps=123"]).run_id()
    assert a.run_id().startswith("adversarial-ldm-small_cnn-phantom-cpu-")
