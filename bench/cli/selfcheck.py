"""``bench selfcheck``: which metrics can be trusted on these images under this extractor?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import options as opt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from bench.config import RunConfig
    from bench.selfcheck import Finding, Ground

ExtractorName = Annotated[
    str, typer.Option("--extractor", help="pixels, domain (a classifier trained on spare images) or another name.")
]
ENOUGH = 600  # images a set
FEW = f"with {{}} images a set a claim may fail for want of images alone: the default is {ENOUGH}"
SHORT = "TSTR: trained on synthetic images, tested on real ones. AUC: area under the ROC curve. SE: standard error"
Size = Annotated[int, typer.Option("-n", "--images", min=120, help="Images a set; five sets that share no group.")]
Only = Annotated[
    str | None, typer.Option("--only", help="Only these numbers of the list, e.g. 1,2,13.", show_default=False)
]
Resolution = Annotated[
    int | None, typer.Option("--resolution", min=8, help="Side in pixels. Default: the preset's.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(selfcheck)


def selfcheck(
    data: opt.DataSpec = None,
    extractor: ExtractorName = "pixels",
    images: Size = ENOUGH,
    only: Only = None,
    resolution: Resolution = None,
    task: opt.TaskName = None,
    on_bad: opt.OnBad = None,
    preset: opt.PresetName = None,
    sets: opt.Sets = None,
    device: opt.Device = None,
    store: opt.StoreDir = None,
    as_json: opt.AsJson = False,
    plain: opt.Plain = False,
) -> None:
    """Check what each metric says of controls whose truth is known: copies, noise, collapse, wrong labels, leaks...

    Exit code 1 if a claim does not hold; the last lines say which metrics that speaks against.
    """
    from tempfile import TemporaryDirectory

    from bench.cli.console import console, print_json
    from bench.selfcheck import run_checks, trusted

    sized = [*([f"data.resolution={resolution}"] if resolution else []), *(sets or [])]
    config = opt.run_config(
        data=data, task=task, on_bad=on_bad, seeds=None, sets=sized, preset=preset or "cpu", store=store, device=device
    )
    numbers = parse_numbers(only)
    screen = console(stderr=True, plain=plain)
    with TemporaryDirectory(prefix="bench-selfcheck-") as folder, screen.status("preparing images") as status:
        ground = _ground(config, extractor, images, Path(folder))
        findings = run_checks(ground, numbers, lambda check: status.update(f"{check.number}  {check.claim}"))
        about = _about(ground)
    if as_json:
        print_json({**about, "findings": [f.plain() for f in findings], "against": trusted(findings)})
    else:
        print_findings(about, findings, console(plain=plain))
        if images < ENOUGH and any(f.passed is False for f in findings):
            typer.echo(FEW.format(images), err=True)
    raise typer.Exit(int(any(f.passed is False for f in findings)))


def parse_numbers(text: str | None) -> list[int] | None:
    """ "1,2,13" as numbers of the list. Raises :class:`ConfigError` for one that is not in it."""
    from bench.errors import ConfigError
    from bench.selfcheck import CHECKS

    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ConfigError(f"--only {text!r}: give numbers of the list, e.g. 1,2,13") from None
    if unknown := [n for n in numbers if n not in CHECKS]:
        raise ConfigError(f"--only: no claim {unknown[0]}; there are {', '.join(map(str, CHECKS))}")
    return numbers


def _ground(config: RunConfig, extractor: str, images: int, folder: Path) -> Ground:
    from bench.environment import resolve_device
    from bench.selfcheck import make_extractor, prepare_ground

    def chosen(sets: Any) -> Any:
        return make_extractor(extractor, sets, folder, resolve_device(config.device))

    return prepare_ground(config.effective_data(), chosen, folder, config.store, images)


def _about(ground: Ground) -> dict[str, Any]:
    counts = dict(zip(ground.train.class_names, ground.train.counts().tolist(), strict=True))
    size = ground.train.size[0]
    return {
        "data": ground.name,
        "extractor": ground.extractor.identity,
        "n": ground.n,
        "counts": counts,
        "resolution": size,
    }


def print_findings(about: dict[str, Any], findings: Sequence[Finding], screen: Console) -> None:
    """A table of the claims, the notes beside them, and which metrics can be trusted."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bench.selfcheck import trusted

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for title, ratio in (("", 1), ("claim", 8), ("observed", 9), ("expected", 6), ("", 2)):
        table.add_column(title, overflow="fold", ratio=ratio)
    states = {True: ("holds", "green"), False: ("FAILS", "bold red"), None: ("open", "yellow")}
    for finding in findings:
        words = finding.verdict
        cells = (str(finding.number), finding.claim, words.observed, words.expected)
        table.add_row(*map(Text, cells), Text(*states[finding.passed]))
    counts = ", ".join(f"{n} {name}" for name, n in about["counts"].items())
    screen.print(Text(f"{about['data']} at {about['resolution']} px, {about['extractor']}", style="bold"))
    screen.print(Text(f"sets of {about['n']} images ({counts}), one image a patient or lesion"))
    screen.print(table)
    screen.print(Text(SHORT, style="dim"))
    for finding in findings:
        if finding.verdict.note:
            screen.print(Text(f"{finding.number}: {finding.verdict.note}", style="dim"))
    against = trusted(findings)
    good = [name for name, numbers in against.items() if not numbers]
    screen.print(Text.assemble(("can be trusted here: ", "green"), ", ".join(good) or "none of them"))
    bad = [f"{name} ({', '.join(map(str, numbers))})" for name, numbers in against.items() if numbers]
    if bad:
        screen.print(Text.assemble(("not by itself: ", "bold red"), ", ".join(bad)))
