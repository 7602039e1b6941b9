"""Plugins by name, loaded when first used: entry points, or ``package.module:Class`` with no packaging at all."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.errors import ConfigError

GROUPS = {
    "generator": "bench.generators",
    "classifier": "bench.classifiers",
    "protocol": "bench.protocols",
    "metric": "bench.metrics",
    "dataset": "bench.datasets",
    "extractor": "bench.extractors",
    "strategy": "bench.strategies",
}


@cache
def _entry_points(kind: str) -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=GROUPS[kind])}


def names(kind: str) -> list[str]:
    """Names of all registered plugins of ``kind`` (a key of ``GROUPS``), sorted, without importing any."""
    return sorted(_entry_points(kind))


def target(kind: str, name: str) -> str:
    """``module:Class`` that ``name`` stands for, without importing it."""
    found = _entry_points(kind).get(name)
    return found.value if found else name


def distribution(kind: str, name: str) -> str:
    """Name of the installed package that registered ``name``, "" for ``module:Class`` names."""
    found = _entry_points(kind).get(name)
    return found.dist.name if found is not None and found.dist is not None else ""


def load(kind: str, name: str) -> Any:
    """The plugin class called ``name``.

    Raises :class:`ConfigError` with the nearest registered name, or with the import error of ``module:Class``.
    """
    known = _entry_points(kind)
    if name not in known and ":" not in name:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"no {kind} called {name!r}.{hint} Known: {', '.join(sorted(known)) or 'none'}; "
            f"'package.module:Class' works too."
        )
    module, _, attribute = target(kind, name).partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{kind} {name!r}: cannot import {module}: {error}") from error
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise ConfigError(f"{kind} {name!r}: {module} has no {attribute!r}") from None


def class_path(cls: type) -> str:
    """``module:Class@version``, the part of a stage key that names the code."""
    return f"{cls.__module__}:{cls.__qualname__}@{getattr(cls, 'version', '0')}"


@cache
def source_digest(cls: type) -> str:
    """sha256 of the source of the class's module and of what that imports from its own package, at any depth.

    Notices edits without a new ``version``. "" where there is no source file. Nothing is imported to find out.
    """
    top = cls.__module__.partition(".")[0]
    pending, files = [cls.__module__], dict[str, Path]()
    while pending:
        name = pending.pop()
        path = _source_file(name)
        if name in files or path is None:
            continue
        files[name] = path
        pending += [found for found in _imports(path, name) if found.partition(".")[0] == top]
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + files[name].read_bytes())
    return digest.hexdigest() if files else ""


def _source_file(module: str) -> Path | None:
    """The ``.py`` file of ``module``, found beside its loaded top-level package; None where there is none."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is not None:
        return Path(loaded) if loaded.endswith(".py") and Path(loaded).is_file() else None
    top, *below = module.split(".")
    for root in getattr(sys.modules.get(top), "__path__", ()) if below else ():
        place = Path(root, *below)
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _imports(path: Path, module: str) -> set[str]:
    """Names that the file ``path`` of ``module`` imports anywhere in it, some of which may be no modules."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            base = (above + (node.module or "")).strip(".")
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def effective_config(kind: str, name: str, cls: Any, preset: str, options: dict[str, Any]) -> BaseModel:
    """Defaults, then the plugin's own values for ``preset``, then ``options``, validated.

    Raises :class:`ConfigError` that names the option, and the options there are.
    """
    model: type[BaseModel] = cls.Config
    values = {**getattr(cls, "presets", {}).get(preset, {}), **options}
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"])) or "?"
        known = ", ".join(model.model_fields) or "none"
        near = difflib.get_close_matches(option, list(model.model_fields), n=1)
        hint = f" Did you mean {near[0]!r}?" if near and first["type"] == "extra_forbidden" else ""
        raise ConfigError(f"{kind} {name!r}: option {option!r}: {first['msg']}.{hint} Options: {known}") from None
