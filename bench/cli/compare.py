"""``bench compare``: two runs, or two arms, from their stored predictions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options as opt
from bench.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.compare import Difference, Side

SideName = Annotated[str, typer.Argument(help="Run folder, record.json or run id; with :ARM for one arm.")]


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(compare)


def compare(
    a: SideName, b: SideName, out: opt.OutDir = None, as_json: opt.AsJson = False, plain: opt.Plain = False
) -> None:
    """Compare two runs arm by arm, or two arms (RUN:ARM): differences with intervals, from stored predictions.

    Refuses runs that were tested on different images, and says what differs.
    """
    from bench.cli.console import console, print_json
    from bench.compare import compare_arms

    rows = [row for x, z in pairs(a, b, out or Path("runs")) for row in compare_arms(x, z)]
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        print_differences(rows, console(plain=plain))


def pairs(a: str, b: str, out: Path) -> list[tuple[Side, Side]]:
    """Sides to compare: the two arms that are named, or every arm that both runs have."""
    from bench.cli.show import find_record
    from bench.compare import Side, check_comparable
    from bench.record import Record

    found = []
    for text in (a, b):
        run, arm = split_arm(text)
        path = find_record(run, out)
        found.append((Record.read(path), path.parent, arm))
    (first, folder_a, arm_a), (second, folder_b, arm_b) = found
    check_comparable(first, second)
    common = list(dict.fromkeys(r.name for r in first.arms if r.name in {s.name for s in second.arms}))
    named = [(arm_a or arm_b, arm_b or arm_a)] if arm_a or arm_b else [(name, name) for name in common]
    if not named:
        raise DataError(f"{a} and {b} have no arm in common; name them as RUN:ARM")
    return [(Side(first, folder_a, x or ""), Side(second, folder_b, z or "")) for x, z in named]


def split_arm(text: str) -> tuple[str, str | None]:
    """ "runs/x:C1" -> ("runs/x", "C1"); a path that exists has no arm."""
    run, colon, arm = text.rpartition(":")
    return (run, arm) if colon and not Path(text).exists() else (text, None)


def print_differences(rows: list[Difference], screen: Console) -> None:
    """One row an endpoint and pair of arms."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bench.format import number, p_value

    def short(title: str) -> str:
        return title.rpartition(":")[2]

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in ("A - B", "endpoint", "A", "B", "difference", "p"):
        table.add_column(column, overflow="fold")
    for row in rows:
        gap = f"{number(row.value, 1.0, signed=True)} [{number(row.low, 1.0, signed=True)}, "
        gap += f"{number(row.high, 1.0, signed=True)}]"
        shares = number(row.a, 1.0), number(row.b, 1.0)
        table.add_row(f"{short(row.arm_a)} - {short(row.arm_b)}", row.endpoint, *shares, gap, p_value(row.p))
    screen.print("")
    for name, title in (("A", rows[0].arm_a), ("B", rows[0].arm_b)):
        screen.print(Text.assemble((f"{name}  ", "bold"), title.rpartition(":")[0]), soft_wrap=True)
    screen.print(table)
    seeds = ", ".join(map(str, rows[0].seeds))
    for method in dict.fromkeys(f"{row.endpoint.split('@')[0]}: {row.method}" for row in rows):
        screen.print(Text(method, style="dim"))
    screen.print(Text(f"paired seeds: {seeds}", style="dim"))
