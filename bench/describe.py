"""What a plugin says of itself: options with defaults and values per preset, abilities, terms of its data."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench import capabilities as optional
from bench import registry
from bench.config import PRESETS
from bench.data import base
from bench.errors import ConfigError

SECTION_OF = {"dataset": "data.options", "strategy": "protocol.strategy_options"}


@dataclass(frozen=True)
class OptionRow:
    """One option. ``presets``: the presets that set it, with their values."""

    name: str
    type: str
    default: Any
    presets: dict[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Description:
    """A plugin as ``bench describe`` prints it."""

    kind: str
    name: str
    target: str
    package: str
    version: str
    control: bool
    doc: str
    abilities: dict[str, str] = field(default_factory=dict)
    options: list[OptionRow] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return asdict(self)


def describe_plugin(kind: str, name: str) -> Description:
    """Load the plugin and read what it says of itself. Raises :class:`ConfigError` for an unknown name."""
    cls = registry.load(kind, name)
    return Description(
        kind=kind,
        name=name,
        target=f"{cls.__module__}:{cls.__qualname__}",
        package=registry.distribution(kind, name),
        version=str(getattr(cls, "version", "not stated")),
        control=bool(getattr(cls, "control", False)),
        doc=inspect.getdoc(cls) or "",
        abilities=dict(_abilities(cls)),
        options=list(_options(kind, name, cls)),
        facts=_facts(cls),
    )


def capabilities() -> dict[str, type]:
    """The optional protocols a plugin may satisfy: name -> protocol, e.g. ``CanVary``."""
    prefixes = ("Can", "Needs", "Has")
    found = {**vars(optional), **vars(base)}
    return {
        name: value
        for name, value in found.items()
        if name.startswith(prefixes) and isinstance(value, type) and Protocol in value.__mro__
    }


def _abilities(cls: type) -> Iterator[tuple[str, str]]:
    for name, protocol in capabilities().items():
        methods = [m for m, v in vars(protocol).items() if callable(v) and not m.startswith("_")]
        if methods and all(callable(getattr(cls, m, None)) for m in methods):
            yield name, (inspect.getdoc(protocol) or "").split("\n")[0]


def _options(kind: str, name: str, cls: Any) -> Iterator[OptionRow]:
    model: type[BaseModel] | None = getattr(cls, "Config", None)
    if model is None:
        return
    per_preset = {preset: _values(kind, name, cls, preset) for preset in PRESETS}
    told: dict[str, str] = {}
    for part in reversed(model.__mro__):  # options are documented where they are defined
        told |= documented_options(inspect.cleandoc(vars(part).get("__doc__") or ""))
    for option, info in model.model_fields.items():
        default = "required" if info.default is PydanticUndefined and info.default_factory is None else None
        default = default or info.get_default(call_default_factory=True)
        values = {p: v[option] for p, v in per_preset.items() if option in v and v[option] != default}
        text = info.description or told.get(option, "")
        yield OptionRow(option, type_name(info.annotation), _plain(default), _plain(values), text)


def _values(kind: str, name: str, cls: Any, preset: str) -> dict[str, Any]:
    try:
        return registry.effective_config(kind, name, cls, preset, {}).model_dump()
    except ConfigError:
        return {}  # an option without a default: then no preset stands on its own


def documented_options(doc: str) -> dict[str, str]:
    """Option texts of a docstring: lines "name, other   what it is", with at least two spaces between.

    Lines indented deeper than the names go on with the text above.
    """
    found: dict[str, str] = {}
    last: list[str] = []
    margin = 0
    for line in doc.splitlines():
        match = re.match(r"( *)([a-z_][\w, ]*?) {2,}(\S.*)", line)
        indent = len(line) - len(line.lstrip())
        if match:
            last, margin = [name.strip() for name in match[2].split(",")], len(match[1])
            found |= dict.fromkeys(last, match[3].strip())
        elif line.strip() and last and indent > margin:
            found |= {name: f"{found[name]} {line.strip()}" for name in last}
        else:
            last = []
    return found


def type_name(annotation: Any) -> str:
    """A type as people write it: constraints of pydantic are left out, choices are listed."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return " | ".join(repr(a) for a in arguments)
    if origin in (Union, UnionType):
        return " | ".join("None" if a is type(None) else type_name(a) for a in arguments)
    if origin is not None:
        inside = ", ".join("..." if a is Ellipsis else type_name(a) for a in arguments)
        return f"{origin.__name__}[{inside}]"
    return str(getattr(annotation, "__name__", annotation))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _facts(cls: Any) -> dict[str, str]:
    """Title, licence, citation and notes of a data set."""
    info = getattr(cls, "info", None)
    if not isinstance(info, base.DatasetInfo):
        return {}
    found = {"title": info.title, "licence": info.licence, "cite": info.citation, "groups by": info.group}
    return {**found, **({"notes": "\n".join(info.notes)} if info.notes else {})}


def print_description(found: Description, console: Console) -> None:
    """Print it for a person."""
    control = "  (control: never ranked as an entrant)" if found.control else ""
    console.print(Text.assemble("\n", (f"{found.kind} {found.name}", "bold"), f"  version {found.version}{control}"))
    console.print(Text(f"{found.target}{f'  from package {found.package}' if found.package else ''}", style="dim"))
    console.print(Text(f"\n{found.doc}"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    for title, text in {**found.facts, **found.abilities}.items():
        grid.add_row(title, Text(text))
    if grid.row_count:
        console.print("")
        console.print(grid)
    if found.options:
        console.print(Text("\nOptions", style="bold"))
        for row in found.options:
            console.print(_option_text(row))
        console.print(Text(f"\nset them with --set {SECTION_OF.get(found.kind, found.kind)}.OPTION=VALUE", style="dim"))


def _option_text(row: OptionRow) -> Padding:
    presets = "  ".join(f"{preset}: {_value(value)}" for preset, value in row.presets.items())
    first = Text.assemble((row.name, "bold"), (f"  {row.type}", "dim"), f" = {_value(row.default)}")
    more = [Text(f"\n  {text}", style=style) for text, style in ((presets, "cyan"), (row.text, "")) if text]
    return Padding(Text.assemble(first, *more), (0, 0, 0, 2))


def _value(value: Any) -> str:
    return '""' if value == "" else str(value)
