"""Options that several commands share, and the run configuration they make."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.config import RunConfig

EXPERIMENT, MACHINE, OUTPUT = "Experiment", "Machine", "Output"


def _option(panel: str, flag: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(flag, help=text, metavar=metavar, rich_help_panel=panel, show_default=False)


ProtocolName = Annotated[
    str | None, _option(EXPERIMENT, "--protocol", "Protocol, see `bench list protocol`. Default: adversarial.", "NAME")
]
GeneratorName = Annotated[
    str | None, _option(EXPERIMENT, "--generator", "Generator, by name or package.module:Class. Default: ldm.", "NAME")
]
ClassifierName = Annotated[
    str | None,
    _option(EXPERIMENT, "--classifier", "Classifier that is trained. Default: small_cnn.", "NAME"),
]
ExtractorName = Annotated[
    str | None,
    _option(EXPERIMENT, "--extractor", "Features of the fidelity table, or timm:NETWORK. Default: domain.", "NAME"),
]
DataSpec = Annotated[
    str | None, _option(EXPERIMENT, "--data", "Data: phantom (the default), ham10000:DIR, folder:DIR.", "SPEC")
]
PresetName = Annotated[
    str | None,
    _option(EXPERIMENT, "--preset", "smoke, cpu, gpu or paper. Default: gpu where CUDA is present, else cpu.", "NAME"),
]
RunFile = Annotated[Path | None, _option(EXPERIMENT, "--run-file", "Configuration in TOML or JSON.", "FILE")]
Sets = Annotated[
    list[str] | None,
    _option(EXPERIMENT, "--set", "Any option, e.g. generator.steps=500. Repeatable.", "A.B=VALUE"),
]
Seeds = Annotated[
    str | None, _option(EXPERIMENT, "--seeds", "How many paired seeds (5), or which ones (0,3,7).", "N or LIST")
]
ArmSet = Annotated[
    str | None,
    _option(EXPERIMENT, "--arms", "Controls of adversarial: minimal, standard (the default) or full.", "SET"),
]
TaskName = Annotated[
    str | None, _option(EXPERIMENT, "--task", "melanoma (vs rest, the default), malignant or classes.", "TASK")
]
OnBad = Annotated[
    str | None, _option(EXPERIMENT, "--on-bad", "Unusable image files: fail (the default) or skip.", "POLICY")
]
AlsoTest = Annotated[
    list[str] | None,
    _option(EXPERIMENT, "--also-test", "A further test set, e.g. folder:DIR: all its images. Repeatable.", "SPEC"),
]
Device = Annotated[str | None, _option(MACHINE, "--device", "auto, cpu, cuda or cuda:N.", "DEVICE")]
Precision = Annotated[str | None, _option(MACHINE, "--precision", "auto, fp32 or bf16.", "NAME")]
Threads = Annotated[int | None, _option(MACHINE, "--threads", "CPU threads; 0, the default, uses all cores.", "N")]
StoreDir = Annotated[
    Path | None, _option(MACHINE, "--store", "Where finished stages are kept. Default: .bench/store.", "DIR")
]
OutDir = Annotated[Path | None, _option(OUTPUT, "--out", "Folder of the run folders. Default: runs.", "DIR")]
AsJson = Annotated[bool, _option(OUTPUT, "--json", "JSON on stdout, everything else on stderr.")]
Plain = Annotated[bool, _option(OUTPUT, "--plain", "Plain lines even on a terminal: no colour, no live display.")]

DISPLAY_FLAGS = frozenset({"as_json", "plain", "debug"})


def run_config(
    *,
    data: str | None,
    task: str | None,
    on_bad: str | None,
    seeds: str | None,
    sets: list[str] | None,
    arms: str | None = None,
    **rest: Any,
) -> RunConfig:
    """The configuration of the shared options; ``rest`` are fields of :class:`bench.config.RunConfig`."""
    from bench.config import build_config

    data_section = {"spec": data, "task": task, "on_bad": on_bad}
    given = {name: value for name, value in data_section.items() if value is not None}
    sets = [*([f"protocol.arms={arms}"] if arms else []), *(sets or [])]
    return build_config(sets=sets, data=given or None, seeds=parse_seeds(seeds), **rest)


def parse_seeds(text: str | None) -> int | list[int] | None:
    """ "5" is a count, "0,3,7" a list. Raises :class:`ConfigError`."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)
    except ValueError:
        raise ConfigError(f"--seeds {text!r}: give a count (5) or a list (0,3,7)") from None


def command_line(ctx: typer.Context) -> str:
    """The command that reproduces this one: the options given, without those that only change the display."""
    words = ["python", "-m", "bench", ctx.command.name or ""]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        source = ctx.get_parameter_source(name)
        if name in DISPLAY_FLAGS or source is None or source.name != "COMMANDLINE":
            continue
        value = ctx.params[name]
        flag = parameter.opts[0] if parameter.param_type_name == "option" else ""
        for item in value if isinstance(value, list | tuple) else [value]:
            words += [flag, str(item)] if flag else [str(item)]
    return shlex.join(words)
