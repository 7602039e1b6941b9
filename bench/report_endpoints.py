"""The tables of comparisons: the primary endpoint, the secondary ones, and how the arms do on hard cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.format import NOTHING, detectable, interval, over_seeds, p_value
from bench.progress import duration
from bench.record import ComparisonRecord, EstimateRecord, FurtherArmRecord, Record
from bench.tables import make_table, metric_title, small_print

WIDE = 110
PRIMARY = "auc"
FURTHER = ("auc", "sensitivity@youden", "specificity@youden", "specificity@sens95", "sensitivity@sens95")
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
        yield from _rates(rows)
    yield from _secondary(record, width)
    yield from _hard(record, width)


def _rates(rows: Sequence[ComparisonRecord]) -> Iterator[RenderableType]:
    rates = [(c, c.per_hour) for c in rows if c.per_hour is not None]
    if not rates:
        return
    said = ", ".join(
        f"{c.arm} - {c.versus} {interval(rate, signed=True) if rate.value is not None else f'undefined, {rate.reason}'}"
        for c, rate in rates
    )
    took = dict.fromkeys(f"{c.arm} took {duration(c.extra_seconds or 0.0)} beyond C0" for c, _ in rates)
    yield small_print(f"{rates[0][1].unit}: {said}; {', '.join(took)} a seed, all rounds and mining")


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


def round_blocks(record: Record) -> Iterator[RenderableType]:
    """Copy rate of the images that each round accepted; nothing where no round was measured."""
    if not record.rounds:
        return
    names = list(dict.fromkeys(name for row in record.rounds for name in row.metrics))
    heads = [metric_title(name) for name in names]
    table = make_table("Memorization by round", "seed", "round", "images", *heads, "more than chance")
    for row in record.rounds:
        cells = [_rate(row.metrics[name]) if name in row.metrics else NOTHING for name in names]
        flagged = Text(", ".join(map(metric_title, row.flagged)) or "no", style="yellow" if row.flagged else "")
        table.add_row(str(row.seed), str(row.round), f"{row.n_synthetic:,}", *cells, flagged)
    yield table
    near = "; made from training images, so near them by design" if any(r.varied for r in record.rounds) else ""
    yield small_print(
        f"share nearer to train than 99 % of {record.rounds[0].n_reference:,} held-out images; pixels, domain: in all "
        f"eight orientations; more than chance: p <= 2.5 % (beta-binomial){near}"
    )
    why = dict.fromkeys(e.reason for row in record.rounds for e in row.metrics.values() if e.reason)
    yield from (small_print(f"undefined, because {reason}") for reason in why)


def _rate(estimate: EstimateRecord) -> str:
    chance = estimate.extra.get("p_innocent")
    return interval(estimate) if chance is None else f"{interval(estimate)}, p {p_value(chance)}"


def further_blocks(record: Record, width: int) -> Iterator[RenderableType]:
    """How the arms do on every further test set, and the primary differences there."""
    for test in record.further_tests:
        counts = ", ".join(f"{n:,} {name}" for name, n in test.counts.items())
        table = make_table(f"Also tested on {test.name}", "arm", *map(metric_title, FURTHER))
        by_name: dict[str, list[FurtherArmRecord]] = {}
        for arm in test.arms:
            by_name.setdefault(arm.name, []).append(arm)
        for name, arms in by_name.items():
            cells = [over_seeds([a.metrics[m] for a in arms if m in a.metrics], stacked=width < WIDE) for m in FURTHER]
            table.add_row(Text(name, style="bold"), *cells)
        yield table
        yield small_print(f"{test.spec}: all of its {sum(test.counts.values()):,} images, {counts}; same thresholds")
        if test.comparisons:
            yield _table(f"Differences on {test.name}, for information", test.comparisons, width)


def _table(title: str, rows: Sequence[ComparisonRecord], width: int) -> Table:
    correction = next((c.correction for c in rows if c.correction), "adjusted")
    heads = ("arm minus control", "endpoint", "difference", "p", f"p {correction}", "detectable")
    table = make_table(title, *heads)
    for c in rows:
        table.add_row(
            Text(f"{c.arm} - {c.versus}", style="bold" if c.primary else ""),
            metric_title(c.endpoint),
            interval(c.estimate, signed=True, stacked=width < WIDE),
            p_value(c.p),
            p_value(c.p_adjusted),
            detectable(c.minimum_detectable_difference),
        )
    return table
