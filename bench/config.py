"""The configuration of a run: preset, then run file, then command line, validated and frozen."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from bench import registry
from bench.contracts import Options
from bench.data.base import DataConfig
from bench.errors import ConfigError
from bench.keys import digest

Preset = Literal["smoke", "cpu", "gpu", "paper"]
SECTIONS = ("protocol", "generator", "classifier")
ALL_SECTIONS = (*SECTIONS, "extractor", "domain")

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"data": {"resolution": 16}, "seeds": [0], "replicates": 500, "paths": 20},
    "cpu": {"data": {"resolution": 32}, "seeds": [0]},
    "gpu": {"data": {"resolution": 64}, "seeds": [0, 1, 2, 3, 4], "paths": 2_000},
    "paper": {"data": {"resolution": 256}, "seeds": list(range(10)), "paths": 50_000},
}


class Section(Options):
    """A plugin by name with its options: ``{"name": "ldm", "steps": 500}`` in a run file."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping):
            rest = {k: v for k, v in value.items() if k not in ("name", "options")}
            return {"name": value.get("name", ""), "options": {**value.get("options", {}), **rest}}
        return value


class RunConfig(Options):
    """One run: data x protocol x generator x classifier x seeds.

    also_test       specs of further test sets, e.g. "folder:DIR": every image of them is scored by every arm
    replicates      bootstrap replicates of intervals
    paths           paths of perceptual path length, of generators that have a latent space
    extractor       feature space of FID, KID, precision and recall (see :mod:`bench.extractors`)
    domain          classifier whose embedding is the ``domain`` extractor and an encoder of memorization
    device          "auto" (CUDA if there is one), "cpu", "cuda", "cuda:1"
    precision       "auto" (bf16 where the processor is fast at it), "fp32", "bf16"; the resolved one is in every key
    threads         CPU threads, 0 = all cores
    store, out      where stages and runs are kept
    """

    preset: Preset = "cpu"
    data: DataConfig = DataConfig()
    protocol: Section = Section(name="adversarial")
    generator: Section = Section(name="ldm")
    classifier: Section = Section(name="small_cnn")
    extractor: Section = Section(name="domain")
    domain: Section = Section(name="small_cnn")
    seeds: tuple[int, ...] = (0,)
    also_test: tuple[str, ...] = ()
    replicates: int = 10_000
    paths: int = Field(100, ge=20)
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int = 0
    store: Path = Path(".bench/store")
    out: Path = Path("runs")

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, value: Any) -> Any:
        if isinstance(value, int):
            value = range(value)
        seeds = tuple(value)
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError("seeds must be a count of at least 1 or a list of different numbers")
        return seeds

    @field_validator("also_test")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("also_test names a test set twice")
        return value

    @field_validator("replicates")
    @classmethod
    def _enough_replicates(cls, value: int) -> int:
        if value < 100:
            raise ValueError("replicates must be at least 100")
        return value

    def plugin(self, kind: str) -> tuple[Any, BaseModel]:
        """(class, effective config) of the section ``kind``: protocol, generator, classifier, extractor or domain."""
        section: Section = getattr(self, kind)
        group, options = "classifier" if kind == "domain" else kind, section.options
        if kind == "extractor":
            from bench.extractors import resolve

            cls, options = resolve(section.name, options)
        else:
            cls = registry.load(group, section.name)
        return cls, registry.effective_config(group, section.name, cls, self.preset, options)

    def effective_data(self) -> DataConfig:
        """The data section with the data set's own values for the preset filled in."""
        from bench.data.prepare import parse_spec

        cls = registry.load("dataset", parse_spec(self.data.spec)[0])
        options = {**getattr(cls, "presets", {}).get(self.preset, {}), **self.data.options}
        return self.data.model_copy(update={"options": options})

    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: effective plugin configs and versions, without places and devices."""
        plugins = {}
        for kind in ALL_SECTIONS:
            cls, config = self.plugin(kind)
            plugins[kind] = {"class": registry.class_path(cls), "config": config.model_dump(mode="json")}
        rest = self.model_dump(mode="json", exclude={"store", "out", "device", "threads", *ALL_SECTIONS})
        if not self.also_test:
            del rest["also_test"]  # a run without further test sets is what it was before there were any
        return {**rest, "data": self.effective_data().model_dump(mode="json"), **plugins}

    def run_id(self) -> str:
        """Readable and unique: protocol-generator-classifier-data-preset-digest."""
        parts = [
            self.protocol.name,
            self.generator.name,
            self.classifier.name,
            self.data.spec.split(":")[0],
            self.preset,
        ]
        words = ["".join(c if c.isalnum() else "_" for c in part) for part in parts]
        return "-".join([*words, digest(self.identity())[:10]])


def build_config(
    *,
    preset: str | None = None,
    run_file: Path | None = None,
    sets: Sequence[str] = (),
    **direct: Any,
) -> RunConfig:
    """The run configuration: preset < run file (TOML or JSON) < ``direct`` options < ``sets`` ("a.b=value").

    ``direct``: top-level fields by name; strings for data (spec), protocol, generator, classifier (names); None is
    ignored. Without a preset: ``gpu`` where CUDA is present, else ``cpu``.
    Raises :class:`ConfigError` that names the option and file.
    """
    from_file = _read_run_file(run_file) if run_file else {}
    chosen = preset or from_file.get("preset") or default_preset()
    if chosen not in PRESETS:
        raise ConfigError(f"no preset {chosen!r}; there are {', '.join(PRESETS)}")
    values: dict[str, Any] = {"preset": chosen}
    for layer in (PRESETS[chosen], from_file, _direct(direct), *map(_parse_set, sets)):
        values = _merge(values, layer)
    values["preset"] = chosen
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "run"
        raise ConfigError(f"option {where}: {first['msg']}" + (f" (see {run_file})" if run_file else "")) from None


def default_preset() -> str:
    """``gpu`` where the NVIDIA driver shows a device, else ``cpu``; does not import torch."""
    return "gpu" if Path("/proc/driver/nvidia/gpus").is_dir() or Path("/dev/nvidia0").exists() else "cpu"


def _direct(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {k: v for k, v in options.items() if v is not None}
    for kind in ALL_SECTIONS:
        if isinstance(given.get(kind), str):
            given[kind] = {"name": given[kind]}
    if isinstance(given.get("data"), str):
        given["data"] = {"spec": given["data"]}
    return given


def _read_run_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"run file {path}: not found") from None
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"run file {path}: {error}") from None
    return {k: {"name": v} if k in ALL_SECTIONS and isinstance(v, str) else v for k, v in found.items()}


def _parse_set(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {text!r}: write it as section.option=value, e.g. --set generator.steps=500")
    try:
        parsed: Any = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    for part in reversed(name.strip().split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested update. A section given by another name drops the options of the former one."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            renamed = key in ALL_SECTIONS and "name" in value and value["name"] != old.get("name")
            out[key] = dict(value) if renamed else _merge(dict(old), value)
        elif key in ALL_SECTIONS and isinstance(value, Mapping) and "name" not in value:
            default: Section = RunConfig.model_fields[key].default
            out[key] = {"name": default.name, **value}
        else:
            out[key] = dict(value) if isinstance(value, Mapping) else value
    return out
