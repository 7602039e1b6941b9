"""Curves of AUC over an amount with its intervals: ratio sweep, size sweep, learning curve.

The intervals are those of the rows (over lesions and seeds) and of the record's comparisons; none is computed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.amounts import (
    REPEATED,
    Curve,
    Sweep,
    curves,
    differences,
    record_curves,
    saturation_events,
    saturation_limits,
    saturation_words,
)
from bench.format import interval
from bench.keys import digest
from bench.record import EstimateRecord, Record
from leaderboard.board import Cell, Line, track_board
from leaderboard.load import Entry
from leaderboard.markup import Html, join
from leaderboard.rows import rows_of, tracks_of
from leaderboard.svg import SERIES, Datum, Plot, around, linear, log
from leaderboard.variants import MORE_ARMS, configuration

MARGIN = 0.04  # of the axis on either side of the outermost amounts
ROOM = 30  # pixels from one amount written at the axis to the next
APART = 5.0  # pixels between intervals at one amount
PAIRED = "All arms share their test images: whether two differ is told by their paired difference, not by overlap."


@dataclass(frozen=True)
class Drawn:
    """A curve of rows and what it is called."""

    name: str
    curve: Curve[Line]

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """What the records of its rows say of saturation, once for each seed."""
        rows = [line.row for _, line in self.curve.points if line is not self.curve.reference]
        entries = {e.path: e for row in rows for e in row.entries}
        ordered = sorted(entries.values(), key=lambda e: e.record.created)
        return saturation_events((event for e in ordered for event in e.record.ledger), self.curve)


def of_lines(lines: Sequence[Line]) -> Html:
    """A figure for each sweep and each training on real images alone that curves among ``lines`` start from."""
    found: dict[tuple[Sweep, int], list[Drawn]] = {}
    for drawn in _named(_family_curves([line for line in lines if line.auc.value is not None])):
        found.setdefault((drawn.curve.sweep, id(drawn.curve.reference)), []).append(drawn)
    times = Counter(sweep for sweep, _ in found)
    return join(_plot(sweep, of, several=times[sweep] > 1) for (sweep, _), of in found.items())


def of_run(entry: Entry) -> Html:
    """The curves of one run, each followed by that of its paired differences from C0; nothing without a sweep."""
    record = entry.record
    if not record_curves(record):
        return Html("")
    track = tracks_of(record)[0]
    board = track_board(track, rows_of([entry], track.extractor))
    return join([of_lines(board.lines), *_differences(record)])


def _family_curves(lines: Sequence[Line]) -> list[Curve[Line]]:
    """Curves within what was trained alike, each once: controls of repeated images are the same for all generators."""
    families: dict[str, list[Line]] = {}
    for line in lines:
        for key in dict.fromkeys(_family(entry.record) for entry in line.row.entries):
            families.setdefault(key, []).append(line)
    found: list[Curve[Line]] = []
    for members in families.values():
        surest_first = sorted(members, key=lambda line: -len(line.row.sources))
        found += curves((line.row.identity.arm, _options(line), line) for line in surest_first)
    places = [{(curve.sweep, amount, id(line)) for amount, line in curve.points} for curve in found]
    whole = [
        curve for i, curve in enumerate(found)
        if not any(places[i] < other or (places[i] == other and j < i) for j, other in enumerate(places))
    ]  # fmt: skip
    return sorted(whole, key=lambda curve: curve.repeated)


def _options(line: Line) -> Mapping[str, Any]:
    return line.row.entries[-1].record.protocol.config


def _family(record: Record) -> str:
    """Equal for runs whose arms may stand on one curve: plugins and options alike, but for which arms are asked for."""
    fixed = {name: value for name, value in record.protocol.config.items() if name not in MORE_ARMS}
    protocol = record.protocol.model_copy(update={"config": fixed})
    plugins = (record.generator, protocol, record.classifier)
    return digest([[plugin.cls, plugin.version, plugin.config] for plugin in plugins if plugin])


def _named(found: Sequence[Curve[Line]]) -> list[Drawn]:
    """Each curve under its generator, with the configuration where two of one figure share that."""
    plain = [REPEATED if curve.repeated else _line(curve).names[0] for curve in found]
    times = Counter((curve.sweep, id(curve.reference), name) for curve, name in zip(found, plain, strict=True))
    return [
        Drawn(name if times[curve.sweep, id(curve.reference), name] == 1 else _with_variant(name, curve), curve)
        for curve, name in zip(found, plain, strict=True)
    ]


def _line(curve: Curve[Line]) -> Line:
    """A row of the curve other than C0."""
    return next(line for _, line in curve.points if line is not curve.reference)


def _with_variant(name: str, curve: Curve[Line]) -> str:
    return f"{name} · {_line(curve).variant or configuration(_line(curve).row)}"


def _plot(sweep: Sweep, found: Sequence[Drawn], *, several: bool) -> Html:
    drawn, reference = found[:SERIES], found[0].curve.reference
    cells = [line.auc for d in drawn for _, line in d.curve.points] + ([reference.auc] if reference else [])
    words = [
        f"Classifier: {_line(found[0].curve).names[3]}." if several else "",
        "Mean over seeds with 95 % intervals.",
        sweep.reference if reference else "", PAIRED, *_saturated(drawn),
        f"The first {len(drawn)} of {len(found)} curves." if len(drawn) < len(found) else "",
    ]  # fmt: skip
    data = [[_datum(x, line) for x, line in d.curve.points] for d in drawn]
    plot = _frame(sweep, sweep.title, "AUC", data, _heights(cells), words)
    for i, (d, of) in enumerate(zip(drawn, data, strict=True)):
        plot.curve(of, i, d.name, shift=APART * (i - (len(drawn) - 1) / 2))
    if reference and reference.auc.value is not None:
        label = f"C0, real images alone: {_text(reference.auc)}"
        plot.reference(reference.auc.value, reference.auc.low, reference.auc.high, label)
    return plot.html()


def _datum(amount: float, line: Line) -> Datum:
    words = f"{line.names[2]}: AUC {_text(line.auc)}"
    return Datum(amount, line.auc.value or 0.0, line.auc.low, line.auc.high, words)


def _text(cell: Cell) -> str:
    return interval(EstimateRecord(value=cell.value, low=cell.low, high=cell.high))


def _heights(cells: Iterable[Cell]) -> list[float]:
    return [v for cell in cells for v in (cell.low, cell.value, cell.high) if v is not None]


def _saturated(drawn: Sequence[Drawn]) -> list[str]:
    """What the records say of saturation, for each curve, and on which images."""
    told = [(d, events) for d in drawn if (events := d.events)]
    several = sum(not d.curve.repeated for d in drawn) > 1
    words = [(f"{d.name}: " if several else "") + saturation_words(events, d.curve.sweep) for d, events in told]
    limits = saturation_limits([event for _, events in told for event in events])
    return [f"Saturation: {'; '.join(words)}.", limits] if words else []


def _differences(record: Record) -> list[Html]:
    """For each sweep of a run the paired differences of AUC from C0, as its record has them."""
    found: dict[Sweep, dict[str, list[Datum]]] = {}
    for curve in record_curves(record):
        data = []
        for amount, row in differences(record, curve):
            e = row.estimate
            words = f"{row.arm} − {row.versus}: {interval(e, signed=True)} AUC"
            data.append(Datum(amount, e.value or 0.0, e.low, e.high, words))
        if data:
            generator = record.generator.name if record.generator and curve.sweep.real != 1 else "real images"
            found.setdefault(curve.sweep, {})[REPEATED if curve.repeated else generator] = data
    return [_difference_plot(sweep, of) for sweep, of in found.items()]


def _difference_plot(sweep: Sweep, of: Mapping[str, list[Datum]]) -> Html:
    data = list(of.values())
    heights = [v for curve in data for d in curve for v in (d.low, d.y, d.high, 0.0) if v is not None]
    words = ["Paired over seeds and test images; bars: 95 % intervals. Dashed line: as good as C0, real images alone."]
    plot = _frame(sweep, f"{sweep.title}: difference from C0", "AUC − AUC of C0", data, heights, words)
    plot.rule(y=0.0)
    for i, (name, curve) in enumerate(of.items()):
        plot.curve(curve, i, name, shift=APART * (i - (len(of) - 1) / 2))
    return plot.html()


def _frame(
    sweep: Sweep,
    title: str,
    y_label: str,
    data: Sequence[Sequence[Datum]],
    heights: Sequence[float],
    words: Sequence[str],
) -> Plot:
    """Axes for ``data``, with the amounts of the sweep at the horizontal one."""
    amounts = sorted({d.x for curve in data for d in curve})
    low, high = amounts[0], amounts[-1]
    doubling = sweep.scale == "log"
    margin = (high / low) ** MARGIN if doubling else MARGIN * (high - low)
    span = (low / margin, high * margin) if doubling else (low - margin, high + margin)
    plot = Plot(
        title, sweep.unit, y_label, span, around(heights, 0.02), log if doubling else linear,
        description=" ".join(word for word in words if word),
    )  # fmt: skip
    plot.x_ticks = _apart(amounts, plot)
    return plot


def _apart(amounts: Sequence[float], plot: Plot) -> list[float]:
    """Those of ``amounts`` that can be written at the axis without touching, the largest always."""
    kept = [amounts[-1]]
    for amount in reversed(amounts[:-1]):
        if plot.x(kept[-1]) - plot.x(amount) >= ROOM:
            kept.append(amount)
    return kept[::-1]
