"""From the ``data`` section of a run to a prepared data set on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import registry
from bench.data.base import DataConfig, Dataset, Prepared, load_prepared
from bench.errors import ConfigError


def parse_spec(spec: str) -> tuple[str, str | None]:
    """Name and location of a spec: "phantom", "ham10000:DIR" or "package.module:Class[:LOCATION]".

    A registered name wins; the location may itself hold colons.
    """
    name, _, rest = spec.partition(":")
    if name in registry.names("dataset") or not rest or "." not in name:
        return name, rest or None
    class_name, _, location = rest.partition(":")
    return f"{name}:{class_name}", location or None


def resolve(config: DataConfig) -> Dataset:
    """The data set that ``config.spec`` names, with its options; nothing is read yet but the folder listing.

    Raises :class:`ConfigError` for an unknown name or option, :class:`DataError` for a location that is not there.
    """
    name, location = parse_spec(config.spec)
    cls = registry.load("dataset", name)
    options = registry.effective_config("dataset", name, cls, "", config.options)
    dataset: Dataset = cls(options, config, location)
    return dataset


def source_key(dataset: Dataset, config: DataConfig) -> dict[str, Any]:
    """JSON that tells when a prepared set is still the right one: code, source files and every option that matters.

    The spec's path and the options of the split are not in it: moving the files or another split seed changes no pixel.
    """
    cls = type(dataset)
    effective = config.model_dump(mode="json", exclude={"spec", "test", "test_fraction", "split_seed", "options"})
    options = registry.effective_config("dataset", config.spec, cls, "", config.options)
    return {
        "dataset": registry.class_path(cls),
        "signature": dataset.signature(),
        "data": effective,
        "options": options.model_dump(mode="json"),
        "pillow": _pillow_version(),
    }


def prepare(config: DataConfig, folder: Path) -> Prepared:
    """Resolve, build into ``folder`` and open; a finished folder of the same source is opened as it is."""
    dataset = resolve(config)
    key = json.dumps(source_key(dataset, config), sort_keys=True)
    stamp = folder / "source.json"
    if (folder / "meta.json").exists() and stamp.exists() and stamp.read_text() == key:
        return load_prepared(folder)
    if folder.exists() and any(folder.iterdir()) and not stamp.exists():
        raise ConfigError(f"{folder}: not empty and not a prepared data set; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.json").unlink(missing_ok=True)
    stamp.write_text(key)
    dataset.build(folder)
    return load_prepared(folder)


def _pillow_version() -> str:
    import PIL

    return PIL.__version__
