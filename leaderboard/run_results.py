"""What the page of a run says of its results: arms, comparisons, fidelity and memorization."""

from __future__ import annotations

from collections.abc import Sequence

from bench.format import LEAST_DIFFERENCE, NOTHING, interval, number, over_seeds, p_value
from bench.record import ArmRecord, ComparisonRecord, EstimateRecord, FidelityRecord, Record
from bench.report import ARROWS, ENDPOINTS
from leaderboard.markup import Html, Table, fold, join, tag, text
from leaderboard.svg import Scale, around
from leaderboard.svg import interval as drawn


def arms(record: Record) -> Html:
    """A row an arm with its main endpoints, floors below; every metric on demand."""
    if not record.arms:
        return Html("")
    by_name: dict[str, list[ArmRecord]] = {}
    for arm in record.arms:
        by_name.setdefault(arm.name, []).append(arm)
    shown = [name for name in ENDPOINTS if any(name in arm.metrics for arm in record.arms)]
    rows = [
        [Html(f"<b>{text(name)}</b> <small>{text(arms[0].description)}</small>"), f"{arms[0].n_real:,}",
         f"{arms[0].n_synthetic:,}", len(arms),
         *(over_seeds([a.metrics[m] for a in arms if m in a.metrics]) for m in shown)]
        for name, arms in by_name.items()
    ]  # fmt: skip
    rows += [
        [Html(f"<i>{text(name)}</i> <small>reference</small>"), "", "", "", interval(e)]
        for name, e in record.floors.items()
    ]
    if record.data.bayes_auc is not None:
        rows.append(
            [Html("<i>ideal observer</i> <small>reference</small>"), "", "", "", number(record.data.bayes_auc, 1.0)]
        )
    width = 4 + len(shown)
    heads = ("Arm", "Real", "Synthetic", "Seeds", *(m.replace("_", " ") for m in shown))
    several = len({arm.seed for arm in record.arms}) > 1
    caption = "Mean over seeds and their range" if several else "Value and 95 % interval"
    numbers = frozenset(range(1, width))
    table = Table(f"{caption}; thresholds from val_thresh", heads, [_padded(r, width) for r in rows], numbers).html()
    return join([table, fold("Every metric of every arm and seed", _all_metrics(record))])


def _padded(row: Sequence[object], width: int) -> list[object]:
    return [*row, *[""] * (width - len(row))]


def _all_metrics(record: Record) -> Html:
    arms = record.arms
    names = list(dict.fromkeys(name for arm in arms for name in arm.metrics))
    heads = ["Metric", *(f"{arm.name}, seed {arm.seed}" for arm in arms)]
    rows = [[name, *(_estimate(arm.metrics.get(name)) for arm in arms)] for name in names]
    cuts = list(dict.fromkeys(t.rule for arm in arms for t in arm.thresholds))
    rows += [[f"threshold {rule}", *(_threshold(arm, rule) for arm in arms)] for rule in cuts]
    return Table("All metrics, with 95 % intervals", heads, rows, frozenset(range(1, len(heads)))).html()


def _threshold(arm: ArmRecord, rule: str) -> str:
    return next((f"{t.value:.4f}" for t in arm.thresholds if t.rule == rule), NOTHING)


def _estimate(estimate: EstimateRecord | None) -> object:
    if estimate is None:
        return NOTHING
    if estimate.value is None:
        return Html(f'<span title="{text(estimate.reason or "")}">undefined</span>')
    return interval(estimate)


def comparisons(record: Record) -> Html:
    """The verdict, and each comparison with its interval around zero."""
    if not record.comparisons:
        return Html("")
    bounds = [v for c in record.comparisons for v in (c.estimate.low, c.estimate.high, 0.0) if v is not None]
    low, high = around(bounds, 0.01)
    scale = Scale(low, high, 5, 145)
    rows = [_comparison(c, scale) for c in sorted(record.comparisons, key=lambda c: not c.primary)]
    correction = next((c.correction for c in record.comparisons if c.correction), "adjusted")
    heads = (
        "Arm − control",
        "Endpoint",
        "Difference, 95 % interval",
        "p",
        f"p, {correction}",
        "Seeds",
        "Could be seen",
    )
    caption = "Bold: primary. Could be seen: the smallest true difference that this run shows with 80 % power"
    verdict = tag("p", record.verdict, class_="verdict") if record.verdict else Html("")
    table = Table(caption, heads, rows, frozenset({2, 3, 4, 5, 6})).html()
    method = tag("p", record.comparisons[0].estimate.method, class_="soft")
    return join([verdict, table, method])


def _comparison(c: ComparisonRecord, scale: Scale) -> list[object]:
    name = f"{text(c.arm)} − {text(c.versus)}"
    e, mdd = c.estimate, c.minimum_detectable_difference
    shown = drawn(e.value, e.low, e.high, scale, [0.0]) + text(interval(e, signed=True))
    seen = NOTHING if mdd is None else f"± {number(mdd, max(mdd, LEAST_DIFFERENCE))}"
    title = Html(f"<b>{name}</b>" if c.primary else name)
    return [title, c.endpoint, Html(shown), p_value(c.p), p_value(c.p_adjusted), c.n_seeds, seen]


def fidelity(record: Record) -> Html:
    """A table for each extractor and n: metrics of every synthetic set beside real against real."""
    groups: dict[tuple[str, str, int], list[FidelityRecord]] = {}
    for row in record.fidelity:
        groups.setdefault((row.extractor, row.resize, row.n_synthetic), []).append(row)
    parts = []
    for (extractor, resize, n), found in groups.items():
        sets = list(dict.fromkeys(row.name for row in found))
        metrics = list(dict.fromkeys(m for row in found for m in (*row.metrics, *row.floor)))
        rows = [_fidelity_row(metric, sets, found) for metric in metrics]
        caption = (
            f"{n:,} synthetic images against {found[0].n_reference:,} held-out reals; features: {extractor}, "
            f"weights {found[0].weights_sha256[:12]}, {resize}"
        )
        heads = ("Metric", *sets, "real against real")
        parts.append(Table(caption, heads, rows, frozenset(range(1, len(heads)))).html())
    return join(parts)


def _fidelity_row(metric: str, sets: Sequence[str], found: Sequence[FidelityRecord]) -> list[object]:
    columns = [[row.metrics[metric] for row in found if row.name == name and metric in row.metrics] for name in sets]
    columns.append([row.floor[metric] for row in found if row.name == found[0].name and metric in row.floor])
    direction = next(e.direction for column in columns for e in column)
    return [metric.replace("_", " ") + ARROWS[direction], *(over_seeds(c) if c else NOTHING for c in columns)]
