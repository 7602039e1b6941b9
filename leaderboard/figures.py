"""The figures of a track and of a run, drawn from the same numbers as the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.format import number
from leaderboard import curves, sweeps
from leaderboard.board import Line, TrackBoard
from leaderboard.gate import COPY_LIMIT, COPY_RATE
from leaderboard.load import Entry
from leaderboard.markup import Html, join
from leaderboard.rows import Source
from leaderboard.svg import SERIES, Plot, around, root

POINTS, NAMED = 200, 14  # more marks than this say nothing in a scatter; more places with names cover it
MARK, HERE = 8.0, 3  # pixels that a mark takes; generators, and arms of each, named at one place
SHAPES = {"ceiling": "up", "floor": "down", "sentinel": "square", "control": "diamond"}
Series = Mapping[str, Sequence[curves.Point]]


def of_track(track: TrackBoard) -> Html:
    """All figures for which the track has numbers."""
    drawn = chosen(track.lines)
    sources = {label(line): [line.row.sources[seed] for seed in line.row.seeds] for line in drawn}
    parts = [quality_and_memorization(track), *_judged(sources, track.data.positive)]
    rounds = {label(line): _rounds(line.row.entries, line.row.identity.arm) for line in drawn}
    judged = [line for line in track.lines if line.row.status in ("ranked", "gated")]
    return join([*parts, sweeps.of_lines(judged), round_curves(rounds)])


def of_run(entry: Entry) -> Html:
    """ROC, reliability, and curves over amounts and rounds of one run's arms."""
    record = entry.record
    names = list(dict.fromkeys(arm.name for arm in record.arms))[:SERIES]
    sources = {name: [Source(entry, arm) for arm in record.arms if arm.name == name] for name in names}
    rounds = {name: _rounds([entry], name) for name in names}
    return join([*_judged(sources, record.data.positive), sweeps.of_run(entry), round_curves(rounds)])


def chosen(lines: Sequence[Line]) -> list[Line]:
    """What an overlay shows: the best entrants, the best training on real images alone, one control of each role."""
    ranked = [line for line in lines if line.standing]
    entrants = [line for line in ranked if line.row.kind == "entrant"][:4]
    baseline = [line for line in ranked if line.row.kind == "baseline"][:1]
    controls = [next((x for x in lines if x.row.kind == role and x.row.sources), None) for role in SHAPES]
    found = [*entrants, *baseline, *(line for line in controls[:3] if line)]
    return found or [line for line in lines if line.row.sources][:SERIES]


def label(line: Line) -> str:
    """Generator and arm, with what tells rows of equal names apart."""
    return " · ".join(part for part in (line.names[0], line.names[2], line.variant) if part)


def quality_and_memorization(track: TrackBoard) -> Html:
    """AUC against the copy rate: good and private is top left."""
    lines = [line for line in track.lines if line.cells[COPY_RATE].value is not None and line.auc.value is not None]
    if not lines:
        return Html("")
    shown = [x for x in lines if x.row.kind != "entrant"][:20] + [x for x in lines if x.row.kind == "entrant"][:POINTS]
    real = next((x for x in track.lines if x.standing and x.row.kind == "baseline" and x.auc.value is not None), None)
    values = [v for x in shown for v in (x.auc.low, x.auc.value, x.auc.high) if v is not None]
    values += [real.auc.value] if real and real.auc.value is not None else []
    left_out = f" The {len(shown)} best of {len(lines)} rows." if len(shown) < len(lines) else ""
    plot = Plot(
        "Quality and memorization", "copy rate (root scale)", f"AUC of {track.positive}", (0.0, 1.0), around(values),
        root, (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1),
        "Good images that are no copies lie top left. Right of the dashed line at 1 % are more near-copies of training "
        f"images than among held-out real ones. Bars: 95 % intervals.{left_out}",
    )  # fmt: skip
    plot.rule(x=COPY_LIMIT)
    if real and real.auc.value is not None:
        plot.rule(y=real.auc.value, label="best without synthetic images")
    for line in shown:
        _mark(plot, line)
    places = _places(plot, shown)
    for place, lines in places if len(places) <= NAMED else ():
        plot.name(*place, _names(lines, shown))
    return plot.html()


def _places(plot: Plot, lines: Sequence[Line]) -> list[tuple[curves.Point, list[Line]]]:
    """Lines by the place of their marks; marks that touch share the place of the first, since one name must do."""
    found: list[tuple[curves.Point, curves.Point, list[Line]]] = []  # in the data, in pixels
    for line in lines:
        x, y = line.cells[COPY_RATE].value or 0.0, line.auc.value or 0.0
        at_x, at_y = plot.x(x), plot.y(y)
        near = (of for _, (a, b), of in found if abs(a - at_x) < MARK and abs(b - at_y) < MARK)
        members = next(near, None)
        if members is None:
            found.append(((x, y), (at_x, at_y), [line]))
        else:
            members.append(line)
    return [(place, members) for place, _, members in found]


def _names(lines: Sequence[Line], shown: Sequence[Line]) -> list[str]:
    """A generator a line, with its arms where it has several marks in the plot, entrants first; no more than a few."""
    arms: dict[str, list[str]] = {}
    for line in sorted(lines, key=lambda line: line.row.kind != "entrant"):
        arms.setdefault(line.names[0], []).append(line.names[2])
    times = Counter(line.names[0] for line in shown)
    words = [name if times[name] == 1 else f"{name} · {_few(list(dict.fromkeys(of)))}" for name, of in arms.items()]
    more = len(words) - HERE
    return words if more <= 1 else [*words[:HERE], f"and {more} more"]


def _few(arms: Sequence[str]) -> str:
    return ", ".join(arms) if len(arms) <= HERE + 1 else f"{', '.join(arms[:HERE])} and {len(arms) - HERE} more"


def _mark(plot: Plot, line: Line) -> None:
    x, y, low, high = line.cells[COPY_RATE].value, line.auc.value, line.auc.low, line.auc.high
    if x is None or y is None:
        return
    kind = "gated" if line.row.status == "gated" else line.row.kind
    if low is not None and high is not None:
        plot.bar(x, low, high, kind)
    words = f"{label(line)}: AUC {number(y, 1.0)}, copy rate {number(x, 1.0)}"
    plot.point(x, y, kind, words, "cross" if kind == "gated" else SHAPES.get(kind, "circle"))


def _judged(sources: Mapping[str, Sequence[Source]], positive: int) -> list[Html]:
    predictions = {name: curves.stored(of) for name, of in sources.items()}
    rocs = {name: curves.roc(p, positive) for name, p in predictions.items()}
    bins = {name: curves.reliability(p, positive) for name, p in predictions.items()}
    return [_roc_plot(rocs), _reliability_plot(bins)]


def _roc_plot(series: Series) -> Html:
    plot = Plot(
        "ROC curves", "1 − specificity", "sensitivity", (0.0, 1.0), (0.0, 1.0),
        description="Mean over seeds at equal specificity; the diagonal is chance.",
    )  # fmt: skip
    plot.diagonal()
    return _draw(plot, series)


def _reliability_plot(series: Series) -> Html:
    plot = Plot(
        "Reliability", "predicted probability", "share of positives", (0.0, 1.0), (0.0, 1.0),
        description=f"{curves.BINS} bins of equal width, all seeds together; on the diagonal probabilities mean what "
        "they say.",
    )  # fmt: skip
    plot.diagonal()
    return _draw(plot, series, dots=True)


def _draw(plot: Plot, series: Series, *, dots: bool = False) -> Html:
    """Each series in the line of its place, drawn or not: an arm looks the same in every figure of a page."""
    for i, (name, points) in enumerate(series.items()):
        if points:
            plot.line(points, i, name, dots=dots)
    return plot.html() if any(series.values()) else Html("")


def _rounds(entries: Sequence[Entry], arm: str) -> list[curves.Point]:
    """(round, mean AUC on val_select over seeds) of an arm, from the ledgers."""
    found: dict[int, list[float]] = {}
    for entry in entries:
        for event in entry.record.ledger:
            values = event.get("val_select_auc")
            if event.get("event") == "chosen round" and event.get("arm") == arm and isinstance(values, list):
                for i, value in enumerate(values, 1):
                    if isinstance(value, int | float):
                        found.setdefault(i, []).append(float(value))
    return [(float(i), sum(v) / len(v)) for i, v in sorted(found.items())]


def round_curves(series: Series) -> Html:
    """AUC on val_select after each round of adversarial training; nothing without two rounds."""
    if not any(len(points) > 1 for points in series.values()):
        return Html("")
    everything = [point for points in series.values() for point in points]
    last = int(max(x for x, _ in everything))
    plot = Plot(
        "AUC over rounds", "round", "AUC on val_select", (1.0, float(last)), around([y for _, y in everything], 0.02),
        x_ticks=[float(i) for i in range(1, last + 1)],
        description="Mean over seeds; the round that is reported is chosen on these images, never on test.",
    )  # fmt: skip
    return _draw(plot, series, dots=True)
