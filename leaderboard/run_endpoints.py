"""What the page of a run says of further test sets, and of memorization round by round."""

from __future__ import annotations

from bench.format import NOTHING, interval, over_seeds, p_value
from bench.record import EstimateRecord, FurtherArmRecord, FurtherTestRecord, Record
from bench.report_endpoints import FURTHER
from bench.tables import metric_title
from leaderboard.markup import Html, Table, join, tag
from leaderboard.run_images import undefined
from leaderboard.run_results import difference_table


def further(record: Record) -> Html:
    """Every further test set: its arms, and the primary differences there; nothing without any."""
    return join([part for test in record.further_tests for part in (_arms(test), _differences(test))])


def _arms(test: FurtherTestRecord) -> Html:
    by_name: dict[str, list[FurtherArmRecord]] = {}
    for arm in test.arms:
        by_name.setdefault(arm.name, []).append(arm)
    rows = [
        [name, len(arms), *(over_seeds([a.metrics[m] for a in arms if m in a.metrics]) for m in FURTHER)]
        for name, arms in by_name.items()
    ]
    counts = ", ".join(f"{n:,} {name}" for name, n in test.counts.items())
    caption = f"{test.name}: all of its images ({counts}), thresholds from val_thresh"
    heads = ("Arm", "Seeds", *map(metric_title, FURTHER))
    table = Table(caption, heads, rows, frozenset(range(1, len(heads)))).html()
    return join([table, tag("p", "; ".join([test.spec, *test.notes]), class_="soft")])


def _differences(test: FurtherTestRecord) -> Html:
    return difference_table(f"Differences on {test.name}, for information", test.comparisons)


def rounds(record: Record) -> Html:
    """Copy rate of the images accepted in each round, and whether chance gives as much; nothing without any."""
    if not record.rounds:
        return Html("")
    names = list(dict.fromkeys(name for row in record.rounds for name in row.metrics))
    rows = [
        [row.seed, row.round, f"{row.n_synthetic:,}", *(_rate(row.metrics.get(name)) for name in names),
         ", ".join(map(metric_title, row.flagged)) or "no"]
        for row in record.rounds
    ]  # fmt: skip
    heads = ("Seed", "Round", "Images", *map(metric_title, names), "More than chance")
    held_out = record.rounds[0].n_reference
    caption = f"Share of accepted images nearer to train than 99 % of {held_out:,} held-out images; 95 % interval, p"
    table = Table(caption, heads, rows, frozenset(range(len(heads) - 1))).html()
    near = "Made from training images, so near them by design. " if any(r.varied for r in record.rounds) else ""
    words = f"{near}p: chance of as many without copying (beta-binomial); more than chance: p at most 2.5 %."
    missing = undefined([pair for row in record.rounds for pair in row.metrics.items()])
    return join([table, tag("p", words, class_="soft"), missing])


def _rate(estimate: EstimateRecord | None) -> str:
    if estimate is None:
        return NOTHING
    if estimate.value is None:
        return "undefined"
    return f"{interval(estimate)}, p {p_value(estimate.extra.get('p_innocent'))}"
