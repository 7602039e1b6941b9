"""What the page of a run says of its synthetic images: fidelity, visible failures, memorization."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.format import NOTHING, number, over_seeds
from bench.record import EstimateRecord, FidelityRecord, Record
from bench.tables import metric_title
from leaderboard.glossary import metric_head
from leaderboard.markup import Html, Table, fold, join, tag, text

REAL = "real against real"


def fidelity(record: Record) -> Html:
    """For each extractor and n: the metrics of every synthetic set beside real against real; details on demand."""
    groups: dict[tuple[str, str, int], list[FidelityRecord]] = {}
    for row in record.fidelity:
        groups.setdefault((row.extractor, row.resize, row.n_synthetic), []).append(row)
    return join(_group(found) for found in groups.values())


def _group(found: Sequence[FidelityRecord]) -> Html:
    first = found[0]
    names = list(dict.fromkeys(m for row in found for m in (*row.metrics, *row.floor)))
    overall = [name for name in names if "[" not in name]
    detailed = [name for name in names if "[" in name]
    caption = (
        f"{first.n_synthetic:,} synthetic images against {first.n_reference:,} held-out reals; features: "
        f"{first.extractor}, weights {first.weights_sha256[:12]}, {first.resize}. Arrows point to better"
    )
    parts = [_table(caption, overall, found)] if overall else []
    if detailed:
        title = "By class and by encoder"
        parts.append(fold(title, _table(f"{title}: {first.n_synthetic:,} synthetic images", detailed, found)))
    return join(parts)


def _table(caption: str, metrics: Sequence[str], found: Sequence[FidelityRecord]) -> Html:
    sets = list(dict.fromkeys(row.name for row in found))
    heads = ("Metric", *sets, REAL)
    rows = [_row(metric, sets, found) for metric in metrics]
    table = Table(caption, heads, rows, frozenset(range(1, len(heads)))).html()
    return join([table, undefined([(m, row.metrics[m]) for m in metrics for row in found if m in row.metrics])])


def undefined(named: Iterable[tuple[str, EstimateRecord]]) -> Html:
    """Why metrics have no value, in words below their table: a tooltip needs a mouse. Nothing where all have one."""
    reasons: dict[str, dict[str, None]] = {}
    for name, estimate in named:
        if estimate.value is None:
            reasons.setdefault(estimate.reason or "no reason recorded", {})[metric_title(name)] = None
    told = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return tag("p", f"Undefined: {'; '.join(told)}.", class_="soft") if told else Html("")


def _row(metric: str, sets: Sequence[str], found: Sequence[FidelityRecord]) -> list[object]:
    columns = [[row.metrics[metric] for row in found if row.name == name and metric in row.metrics] for name in sets]
    columns.append([row.floor[metric] for row in found if row.name == found[0].name and metric in row.floor])
    direction = next(e.direction for column in columns for e in column)
    cells = []
    for column in columns:
        reason = next((e.reason for e in column if e.value is None and e.reason), "")
        shown = over_seeds(column) if column else NOTHING
        if column is columns[-1] and not column:
            shown = _null(columns[0])
        cells.append(Html(f'<span title="{text(reason)}">{text(shown)}</span>') if reason else shown)
    return [metric_head(metric, direction), *cells]


def _null(estimates: Sequence[EstimateRecord]) -> str:
    """What held-out real images give in the place of synthetic ones, where the metric states it itself."""
    stated = [float(e.extra["null"]) for e in estimates if isinstance(e.extra.get("null"), int | float)]
    return number(sum(stated) / len(stated)) if stated else NOTHING
