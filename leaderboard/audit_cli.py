"""Audit a table of printed results: which figures follow from its counts, which cannot, and what may explain them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from leaderboard.audit import CellAudit, RowAudit

app = typer.Typer(name="audit", add_completion=False, pretty_exceptions_enable=False)

STYLE = {"follows": "green", "cut": "yellow", "impossible": "bold red", "unchecked": "dim"}


@app.command()
def audit(
    table: Annotated[Path, typer.Argument(help="CSV with TP, FP, FN, TN (or n, positives, negatives) and figures.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Without colour.")] = False,
) -> None:
    """Recompute the figures of a printed table from its counts. Exit code 1 if a cell cannot be.

    Columns: name, TP, FP, FN, TN (or n, positives, negatives), and any of accuracy (ACC), sensitivity (TPR, recall),
    specificity (TNR), precision (PPV), NPV, F1, balanced_accuracy, AUC, with the digits that the source prints.
    """
    from bench.cli.console import console, print_json
    from leaderboard.audit import audit_table

    found = audit_table(table)
    impossible = sum(len(row.impossible) for row in found)
    if as_json:
        print_json({"table": str(table), "impossible": impossible, "rows": [row.plain() for row in found]})
    else:
        show(found, console(plain=plain))
    if impossible:
        raise typer.Exit(1)


def show(rows: list[RowAudit], screen: Console) -> None:
    """One table of all cells, then for each row its sentences."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in ("row", "figure", "printed", "from counts", "95 % (Wilson)", "verdict"):
        table.add_column(column, overflow="fold")
    for row in rows:
        for i, cell in enumerate(row.cells):
            verdict = Text(cell.verdict, style=STYLE[cell.verdict])
            table.add_row(row.row.name if i == 0 else "", cell.figure, cell.printed, *_counted(cell), verdict)
    screen.print(table)
    for row in rows:
        screen.print(Text(f"\n{row.row.name}", style="bold"))
        for text in [cell.why for cell in row.cells if cell.why] + row.notes:
            screen.print(Text(f"- {text}"))
        for text in row.readings:
            screen.print(Text(f"- possible reading: {text}", style="cyan"))
    cells = sum(len(row.impossible) for row in rows)
    screen.print(Text(f"\n{cells} cell{'s' * (cells != 1)} that cannot follow" if cells else "\nevery cell can be"))


def _counted(cell: CellAudit) -> tuple[str, str]:
    if cell.interval is None:
        return _without_counts(cell), ""
    low, high = cell.interval.wilson
    return f"{cell.interval.k:,} / {cell.interval.n:,} = {cell.exact:.4f}", f"{low:.3f} to {high:.3f}"


def _without_counts(cell: CellAudit) -> str:
    """The figure alone, or which counts would be printed so."""
    if cell.exact is not None:
        return f"{cell.exact:.4f}"
    if cell.possible is None:
        return ""
    low, high, n = cell.possible
    return f"{low:,} of {n:,}" if low == high else f"{low:,} to {high:,} of {n:,}"
