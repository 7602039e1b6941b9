"""The tables of comparisons: the primary endpoint, the secondary ones, and how the arms do on hard cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.format import LEAST_DIFFERENCE, NOTHING, interval, number, p_value
from bench.record import ComparisonRecord, Record
from bench.tables import make_table, metric_title, small_print

WIDE = 110
PRIMARY = "auc"
DETECTABLE = "detectable: the smallest true difference that a run of this size shows with 80 % power"


def comparison_blocks(record: Record, width: int) -> Iterator[RenderableType]:
    """The tables and their small print, for a screen of ``width`` columns; nothing without comparisons."""
    if not record.comparisons:
        return
    rows = [c for c in record.comparisons if c.endpoint == PRIMARY]
    if rows:
        yield _table("Comparisons", sorted(rows, key=lambda c: not c.primary), width)
        method = rows[0].estimate.method
        yield small_print(f"bold: primary; {f'{method}; ' if method else ''}{DETECTABLE}")
    yield from _secondary(record, width)
    yield from _hard(record, width)


def _secondary(record: Record, width: int) -> Iterator[RenderableType]:
    pairs = {(c.arm, c.versus) for c in record.comparisons if c.primary}
    rows = [c for c in record.comparisons if c.endpoint != PRIMARY and (c.arm, c.versus) in pairs]
    if rows:
        yield _table("Secondary endpoints of the primary pairs", rows, width)
        yield small_print(
            f"{rows[0].estimate.method}; BH: false discovery rate over this table; "
            f"@sens95: at the threshold of 95 % sensitivity on val_thresh; other pairs are in the record"
        )


def _hard(record: Record, width: int) -> Iterator[RenderableType]:
    for stratum in record.strata:
        words = f"AUC on {stratum.name} test cases: {stratum.n:,}, {stratum.positives:,} of them positive"
        table = make_table(words, "arm", "AUC", "minus re-seeded C0")
        against = {c.arm: c for c in record.comparisons if c.endpoint == f"auc@{stratum.name}" and c.versus == "C0r"}
        for name, estimate in stratum.auc.items():
            found = against.get(name)
            difference = NOTHING if found is None else interval(found.estimate, signed=True, stacked=width < WIDE)
            table.add_row(Text(name, style="bold"), interval(estimate, stacked=width < WIDE), difference)
        yield table
        yield small_print(
            f"{stratum.name}: {stratum.rule}; {stratum.judges} judges, none of them an arm. Low by construction: "
            f"compare arms, not cases. C0r: C0 with another random stream, what a new training alone changes"
        )


def _table(title: str, rows: Sequence[ComparisonRecord], width: int) -> Table:
    correction = next((c.correction for c in rows if c.correction), "adjusted")
    heads = ("arm minus control", "endpoint", "difference", "p", f"p {correction}", "detectable")
    table = make_table(title, *heads)
    for c in rows:
        mdd = c.minimum_detectable_difference
        table.add_row(
            Text(f"{c.arm} - {c.versus}", style="bold" if c.primary else ""),
            metric_title(c.endpoint),
            interval(c.estimate, signed=True, stacked=width < WIDE),
            p_value(c.p),
            p_value(c.p_adjusted),
            NOTHING if mdd is None else f"± {number(mdd, max(mdd, LEAST_DIFFERENCE))}",
        )
    return table
