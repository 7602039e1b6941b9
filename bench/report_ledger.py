"""The ledger of a run on the terminal: totals of each round, then hard cases, hardest first, with their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bench.format import NOTHING, number, seeds_text
from bench.ledger import RoundRow, quartiles_text, reasons_text
from bench.ledger_file import Case, Child, LedgerRound, cases_shown, read_ledger
from bench.record import Record
from bench.report_endpoints import round_blocks
from bench.tables import make_table, small_print

CHILDREN = 8  # of each case: more are counted
PRINT = (
    "p(true): probability of the label that an image carries, the lower the harder; of a case out of fold when mined → "
    "by the folds of the next round (– where no later fold looked); of an image made for it by the classifier before "
    "the round → by the one retrained with the accepted images; check: by the independent label check"
)
NOT_KEPT = "the record names no file of cases and images: it was made or published by a version that kept only totals"


def print_ledger(record: Record, folder: Path, console: Console) -> None:
    """Print the ledger of ``record``, whose files are in ``folder``; raises as :func:`read_ledger`."""
    rounds = read_ledger(record, folder)
    for block in ledger_blocks(record, rounds):
        console.print(block)


def ledger_blocks(record: Record, rounds: Sequence[LedgerRound]) -> Iterator[RenderableType]:
    """The parts in order: what was done in each round, how hard it was, memorization, and the cases."""
    finished = seeds_text(record)
    yield Text.assemble("\n", (record.run_id, "bold"), f"  {record.status}", f", {finished}" if finished else "")
    totals = [of.totals for of in rounds]
    yield _totals(totals)
    yield _difficulty(totals)
    yield from round_blocks(record)
    most = cases_shown(rounds)
    for of in rounds:
        yield from _cases(of, most)
    told = any(of.families is not None for of in rounds)
    yield small_print(f"\n{PRINT}") if told else Text(f"\n{NOT_KEPT}", style="yellow")


def _totals(rows: Sequence[RoundRow]) -> Table:
    table = make_table("Rounds", "seed", "round", "mined", "made", "accepted", "rejected by", "AUC val_select", "used")
    for row in rows:
        counts = (f"{n:,}" for n in (row.mined, row.made, row.accepted))
        why = reasons_text(row.rejected) or "nothing"
        used = "by guided" if row.chosen else ""
        table.add_row(str(row.seed), str(row.round), *counts, Text(why), number(row.val_select_auc, 1.0), used)
    return table


def _difficulty(rows: Sequence[RoundRow]) -> Table:
    heads = ("seed", "round", "cases before", "cases after", "accepted before", "accepted after")
    table = make_table("p(true): median (quartiles)", *heads)
    for row in rows:
        sides = (row.cases_before, row.cases_after, row.accepted_before, row.accepted_after)
        table.add_row(str(row.seed), str(row.round), *(quartiles_text(side) or NOTHING for side in sides))
    return table


def _cases(of: LedgerRound, most: int) -> Iterator[RenderableType]:
    if of.families is None:
        return
    cases = of.families.hardest()
    how = "made from them" if of.families.answers == "case" else "made for their class"
    title = f"Seed {of.totals.seed}, round {of.totals.round}: hard cases and the images {how}"
    table = make_table(title, "hard case", "class", "p(true)", "image", "p(true)", "check", "outcome")
    for case in cases[:most]:
        _add_case(table, case)
    yield table
    words, more = of.how_many(most)
    yield small_print(f"{words}, hardest first" + "; all with --json" * more)


def _add_case(table: Table, case: Case) -> None:
    first = (Text(case.id), Text(case.label), change(case.before, case.after))
    if not case.children:
        table.add_row(*first, Text("none made", style="dim"))
    for i, child in enumerate(case.children[:CHILDREN]):
        table.add_row(*(first if i == 0 else ("", "", "")), *_child(child))
    more = case.children[CHILDREN:]
    if more:
        table.add_row("", "", "", Text(more_text(more), style="dim"))


def _child(child: Child) -> tuple[Text, str, str, Text]:
    outcome = Text(child.outcome, style="" if child.accepted else "yellow")
    return Text(child.id), change(child.before, child.after), chance(child.judge), outcome


def more_text(children: Sequence[Child]) -> str:
    """ "12 more, 3 accepted": images of a case that are only counted."""
    return f"{len(children):,} more, {sum(child.accepted for child in children):,} accepted"


def change(before: float | None, after: float | None) -> str:
    """ "0.17 → 0.13"; a dash where it is not known."""
    return f"{chance(before)} → {chance(after)}"


def chance(p: float | None) -> str:
    """ "0.17"; a dash where it is not known."""
    return NOTHING if p is None else f"{p:.2f}"
