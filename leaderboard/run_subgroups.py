"""What the page of a run says of subgroups: how each arm does by sex, age, site and artifact."""

from __future__ import annotations

from collections.abc import Sequence

from bench.format import NOTHING, over_seeds
from bench.record import ArmRecord, EstimateRecord, Record
from bench.tables import metric_title
from leaderboard.markup import Html, Table, fold, join, tag, text

ENOUGH = "insufficient n"  # how a reason begins that says that a subgroup has too few cases
SMALL_PRINT = (
    "Subgroups are described, not tested: many are looked at, and none was chosen beforehand. Insufficient n: fewer "
    "than 20 cases of a class that the number needs."
)


def subgroups(record: Record) -> Html:
    """AUC of every arm in every subgroup, the other metrics on demand; nothing where the data set tells none."""
    by_arm: dict[str, list[ArmRecord]] = {}
    for arm in record.arms:
        by_arm.setdefault(arm.name, []).append(arm)
    named: dict[str, dict[str, None]] = {}  # metric -> its subgroups, in the order of the record
    for name in (name for arm in record.arms for name in arm.subgroups):
        metric, _, part = name.partition("[")
        named.setdefault(metric, {})[part.removesuffix("]")] = None
    if not named:
        return Html("")
    tables = {metric: _table(metric, list(parts), by_arm) for metric, parts in named.items()}
    first = tables.pop("auc", None)
    others = fold("Sensitivity and specificity in subgroups", join(tables.values())) if tables else Html("")
    return join([first or Html(""), tag("p", SMALL_PRINT, class_="soft"), others])


def _table(metric: str, parts: Sequence[str], by_arm: dict[str, list[ArmRecord]]) -> Html:
    whole = metric == "auc"  # of all cases; sensitivity and specificity are of those of one class
    heads = ("Subgroup", "Positive of all" if whole else "Cases", *by_arm)
    rows = []
    for part in parts:
        key = f"{metric}[{part}]"
        cells = [[arm.subgroups[key] for arm in arms if key in arm.subgroups] for arms in by_arm.values()]
        first = next(e for cell in cells for e in cell)
        column, _, value = part.partition("=")
        counts = f"{int(first.extra.get('positives', 0)):,} of {first.n:,}" if whole else f"{first.n:,}"
        name = f"{column.replace('_', ' ')}: {value}" if value else part
        rows.append([name, counts, *(_cell(cell) for cell in cells)])
    title = f"{metric_title(metric)} in subgroups of the test images"
    return Table(title, heads, rows, frozenset(range(1, len(heads)))).html()


def _cell(estimates: Sequence[EstimateRecord]) -> object:
    if not estimates:
        return NOTHING
    reasons = [e.reason or "undefined" for e in estimates if e.value is None]
    if len(reasons) < len(estimates):
        return over_seeds(estimates)
    short = ENOUGH if reasons[0].startswith(ENOUGH) else "undefined"
    return Html(f'<span title="{text(reasons[0])}">{text(short)}</span>')
