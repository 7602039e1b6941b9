"""What the page of a run says of its classifiers: arms and comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from bench.format import (
    NOTHING,
    counts,
    detectable,
    interval,
    number,
    over_seeds,
    p_value,
    words_over_seeds,
)
from bench.progress import duration
from bench.record import ArmRecord, ComparisonRecord, EstimateRecord, Record
from bench.report import ENDPOINTS
from bench.tables import metric_title
from leaderboard.markup import Html, Table, fold, join, tag, text
from leaderboard.svg import Scale, around
from leaderboard.svg import interval as drawn

PRIMARY = "auc"


def arms(record: Record) -> Html:
    """A row an arm with its main endpoints, floors below; every metric on demand."""
    if not record.arms:
        return Html("")
    by_name: dict[str, list[ArmRecord]] = {}
    for arm in record.arms:
        by_name.setdefault(arm.name, []).append(arm)
    shown = [name for name in ENDPOINTS if any(name in arm.metrics for arm in record.arms)]
    rows = [
        [Html(f"<b>{text(name)}</b> <small>{text(words_over_seeds(a.description for a in arms))}</small>"),
         counts(a.n_real for a in arms), counts(a.n_synthetic for a in arms), len(arms),
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
    heads = ("Arm", "Real", "Synthetic", "Seeds", *(metric_title(m) for m in shown))
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
    rows = [[metric_title(name), *(_estimate(arm.metrics.get(name)) for arm in arms)] for name in names]
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
    verdict = tag("p", record.verdict, class_="verdict") if record.verdict else Html("")
    first = sorted((c for c in record.comparisons if c.endpoint == PRIMARY), key=lambda c: not c.primary)
    pairs = {(c.arm, c.versus) for c in record.comparisons if c.primary}
    rest = [c for c in record.comparisons if c.endpoint != PRIMARY]
    second = [c for c in rest if (c.arm, c.versus) in pairs]
    others = [c for c in rest if (c.arm, c.versus) not in pairs]
    parts = [
        verdict,
        difference_table(
            "Bold: primary. Could be seen: the smallest true difference that this run shows with 80 % power", first
        ),
        rates(first),
        difference_table("Secondary endpoints of the primary pairs; false discovery rate over this table", second),
        hard(record),
    ]
    if others:
        parts.append(
            fold("Secondary endpoints of the other pairs", difference_table("For information, not corrected", others))
        )
    return join(parts)


def difference_table(caption: str, rows: Sequence[ComparisonRecord]) -> Html:
    """Each of ``rows`` with its interval around zero; nothing without any."""
    if not rows:
        return Html("")
    bounds = [v for c in rows for v in (c.estimate.low, c.estimate.high, 0.0) if v is not None]
    low, high = around(bounds, 0.01)
    scale = Scale(low, high, 5, 145)
    adjusted = [f"p, {c.correction or 'adjusted'}" for c in rows if c.p_adjusted is not None][:1]
    heads = ("Arm − control", "Endpoint", "Difference, 95 % interval", "p", *adjusted, "Seeds", "Could be seen")
    cells = [_comparison(c, scale, with_adjusted=bool(adjusted)) for c in rows]
    table = Table(caption, heads, cells, frozenset(range(2, len(heads)))).html()
    return join([table, tag("p", rows[0].estimate.method, class_="soft")])


def rates(rows: Sequence[ComparisonRecord]) -> Html:
    """What each primary comparison gains by hour of compute beyond C0; nothing where no cost is known."""
    known = [(c, c.per_hour) for c in rows if c.per_hour is not None]
    if not known:
        return Html("")
    cells = [
        [f"{c.arm} − {c.versus}", duration(c.extra_seconds or 0.0),
         interval(rate, signed=True) if rate.value is not None else f"undefined: {rate.reason}"]
        for c, rate in known
    ]  # fmt: skip
    heads = ("Arm − control", "Compute of the arm beyond C0, a seed", known[0][1].unit)
    caption = "Difference by hour of the compute that the arm takes beyond C0; the hours are taken as known"
    return Table(caption, heads, cells, frozenset({1, 2})).html()


def hard(record: Record) -> Html:
    """AUC of each arm on the test images that classifiers other than the arms find hard; nothing without any."""
    parts = []
    for stratum in record.strata:
        against = {c.arm: c for c in record.comparisons if c.endpoint == f"auc@{stratum.name}" and c.versus == "C0r"}
        rows = [
            [name, interval(e), interval(against[name].estimate, signed=True) if name in against else NOTHING]
            for name, e in stratum.auc.items()
        ]
        caption = f"AUC on {stratum.n:,} {stratum.name} test images, {stratum.positives:,} of them positive"
        heads = ("Arm", "AUC, 95 % interval", "Minus re-seeded C0")
        words = (
            f"{stratum.name.capitalize()}: {stratum.rule}; {stratum.judges} judges, none of them an arm. Low by "
            "construction: compare arms, not cases. C0r: C0 with another random stream, what a new training changes."
        )
        parts += [Table(caption, heads, rows, frozenset({1, 2})).html(), tag("p", words, class_="soft")]
    return join(parts)


def _comparison(c: ComparisonRecord, scale: Scale, *, with_adjusted: bool) -> list[object]:
    name = f"{text(c.arm)} − {text(c.versus)}"
    e = c.estimate
    shown = drawn(e.value, e.low, e.high, scale, [0.0]) + text(interval(e, signed=True))
    title = Html(f"<b>{name}</b>" if c.primary else name)
    adjusted = [p_value(c.p_adjusted)] if with_adjusted else []
    return [
        title,
        metric_title(c.endpoint),
        Html(shown),
        p_value(c.p),
        *adjusted,
        c.n_seeds,
        detectable(c.minimum_detectable_difference),
    ]


def findings(record: Record) -> Html:
    """Numbers that the protocol found itself, a row each and seed; nothing without any."""
    if not record.findings:
        return Html("")
    rows = [[found.name, found.seed, _estimate(found.estimate)] for found in record.findings]
    caption = "Found by the protocol itself, without the test split"
    return Table(caption, ("What", "Seed", "Value"), rows, frozenset({1, 2})).html()
