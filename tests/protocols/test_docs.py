"""The page on protocols: its example runs, and it names what there is."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import get_args

import pytest

from bench import registry
from protocols.arms import ArmName
from tests.worlds import small_lab

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()


def test_the_example_is_a_protocol(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "example_protocol.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("example_protocol", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lab = small_lab(tmp_path, generator="pca-gaussian")
    outcome = module.PositivesOnly(module.PositivesOnly.Config(n=7)).run(lab)
    assert outcome.primary == [("A", "C0")]
    assert outcome.arms["A"].train.counts().tolist() == [48, 32 + 7]
    assert len(code[code.index("class PositivesOnly") :].splitlines()) < 30


@pytest.mark.parametrize("name", [*registry.names("protocol"), *registry.names("strategy"), *get_args(ArmName)])
def test_every_protocol_strategy_and_arm_has_a_row(name: str) -> None:
    assert re.search(rf"^\| `?{re.escape(name)}`? \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", registry.names("strategy"))
def test_the_page_says_what_a_strategy_needs(name: str) -> None:
    needs = registry.load("strategy", name).needs
    row = re.search(rf"^\| `{name}` \| (.*?) \|", PAGE, re.MULTILINE)
    assert row is not None
    assert row[1] == ("any generator" if needs is None else f"`{needs.__name__}`")
