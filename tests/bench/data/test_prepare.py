"""From a spec to a data set: names, locations, options, classes of other packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.contracts import Options
from bench.data.base import DataConfig, DatasetInfo
from bench.data.prepare import parse_spec, prepare, resolve, source_key
from bench.data.write import PreparedWriter
from bench.errors import ConfigError
from tests.bench.data.samples import INFO, MELANOMA, lesion_like


class Drawn:
    """A data set somebody wrote elsewhere, without inheriting anything."""

    version: ClassVar[str] = "7"
    info: DatasetInfo = INFO

    class Config(Options):
        n: int = 40

    def __init__(self, options: Config, data: DataConfig, location: str | None) -> None:
        self.options, self.data, self.location = options, data, location

    def signature(self) -> dict[str, Any]:
        return {"n": self.options.n}

    def build(self, folder: Path) -> None:
        rng, n = np.random.default_rng(0), self.options.n
        size, names = self.data.resolution, [f"d{i}" for i in range(n)]
        with PreparedWriter(folder, MELANOMA, self.info, size=size, preprocessing="drawn") as writer:
            writer.add(np.stack([lesion_like(rng, size) for _ in range(n)]), np.arange(n) % 2, names, names)


PATH = f"{__name__}:Drawn"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("phantom", ("phantom", None)),
        ("ham10000:../shared/data", ("ham10000", "../shared/data")),
        ("folder:C:/a,b.csv", ("folder", "C:/a,b.csv")),
        ("pkg.mod:Class", ("pkg.mod:Class", None)),
        ("pkg.mod:Class:/some:where", ("pkg.mod:Class", "/some:where")),
        ("folder:./a.b:c", ("folder", "./a.b:c")),
    ],
)
def test_specs(spec: str, expected: tuple[str, str | None]) -> None:
    assert parse_spec(spec) == expected


def test_a_class_of_another_package(tmp_path: Path) -> None:
    config = DataConfig(spec=f"{PATH}:place", resolution=24, options={"n": 12})
    dataset: Any = resolve(config)
    assert (dataset.options.n, dataset.location) == (12, "place")
    assert source_key(dataset, config)["dataset"] == f"{PATH}@7"
    assert source_key(dataset, config)["options"] == {"n": 12}
    assert len(prepare(config, tmp_path).images) == 12


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"spec": "hma10000:x"}, "Did you mean 'ham10000'"),
        ({"spec": "no.such.module:Class"}, "cannot import no.such.module"),
        ({"spec": f"{__name__}:Missing"}, "has no 'Missing'"),
        ({"spec": PATH, "options": {"m": 3}}, "option 'm'.*Options: n"),
        ({"spec": PATH, "options": {"n": "many"}}, "option 'n'.*integer"),
    ],
)
def test_unknown_names_and_options(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(DataConfig(**config))
