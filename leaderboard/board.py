"""The board: tracks with their facts, rows with their cells, everything that the renderers print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bench.record import ComparisonRecord, DataRecord, EstimateRecord, FidelityRecord
from leaderboard.load import Entry, Loaded
from leaderboard.rank import Ranking, Standing, rank
from leaderboard.rows import Row, Track, absent_controls, extractor_name, gather
from leaderboard.variants import variants

ORDER = {"ranked": 0, "gated": 1, "unranked": 2, "incomplete": 3, "failed": 4, "absent": 5}


@dataclass(frozen=True)
class Column:
    """A metric of the table. ``better``: which direction is good; ``source``: of the classifier or of its images.

    ``distance``: one that another method gives another value of; the method of a share names only its interval.
    """

    key: str
    label: str
    title: str
    source: Literal["arm", "fidelity"]
    better: Literal["higher", "lower"] = "higher"
    distance: bool = False


AT_YOUDEN = "at the threshold that Youden's index chose on val_thresh"
COPIES = "synthetic images nearer to a training image than 99 % of held-out real images are; real images score 0.010"
FREE = "of images that the generator draws freely, not of those that this arm was trained on"
COLUMNS: tuple[Column, ...] = (
    Column("sensitivity@youden", "Sens.", f"sensitivity {AT_YOUDEN}", "arm"),
    Column("specificity@youden", "Spec.", f"specificity {AT_YOUDEN}", "arm"),
    Column("kid", "KID", "kernel distance to held-out real images, unbiased", "fidelity", "lower", True),
    Column("fid", "FID", "Fréchet distance to held-out real images", "fidelity", "lower", True),
    Column("precision", "Prec.", "improved precision: synthetic images within the real manifold", "fidelity"),
    Column("recall", "Recall", "improved recall: real images within the synthetic manifold", "fidelity"),
    Column("copy_rate", "Copies", COPIES, "fidelity", "lower"),
)


@dataclass(frozen=True)
class Cell:
    """A number as printed: ``value`` None needs ``reason``; ``how`` says what the interval covers."""

    value: float | None
    low: float | None = None
    high: float | None = None
    how: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Line:
    """One row as printed. ``variant`` tells rows of one track apart that have equal names; else it is empty."""

    row: Row
    standing: Standing | None
    auc: Cell
    cells: dict[str, Cell]
    variant: str = ""

    @property
    def names(self) -> tuple[str, str, str, str]:
        """Generator, protocol, arm, classifier; trainings without synthetic images have no generator."""
        identity = self.row.identity
        if self.row.status == "absent":
            return identity.generator, "", "", ""
        generator = identity.generator if self.row.kind != "baseline" else ""
        if self.row.kind == "ceiling" and self.row.arm is not None and not self.row.arm.n_synthetic:
            generator = "held-out real images"
        return generator or "real images", identity.protocol, identity.arm or "no arm", identity.classifier

    @property
    def versus(self) -> list[ComparisonRecord]:
        """The primary comparisons of the newest run that made any of this arm, with its controls; Holm-adjusted p."""
        for entry in reversed(self.row.entries):
            found = [c for c in entry.record.comparisons if c.primary and c.arm == self.row.identity.arm]
            if found and self.row.kind != "baseline":
                return found
        return []


@dataclass(frozen=True)
class Reference:
    """A line that no entrant can take: what colour alone, chance or real images would give in these columns."""

    name: str
    title: str
    auc: Cell | None = None
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackBoard:
    """One table: rows that may be compared, best first, and what one must know to read them."""

    track: Track
    lines: list[Line]
    ranking: Ranking
    references: list[Reference]
    data: DataRecord

    @property
    def title(self) -> str:
        """What is told apart, on which images."""
        names = self.data.class_names
        if not names:
            return f"{self.data.spec}, {self.track.resolution} px: failed before the images were ready"
        what = f"{self.positive} versus rest" if len(names) == 2 else f"{len(names)} classes, {self.positive} positive"
        return f"{self.track.data}, {what}, {self.track.resolution} px"

    @property
    def positive(self) -> str:
        """The class whose sensitivity and AUC are reported."""
        return self.data.class_names[self.data.positive] if self.data.class_names else self.track.task

    @property
    def few_seeds(self) -> bool:
        """Whether some ranked row has fewer seeds than a claim needs."""
        return any(line.standing and len(line.row.sources) < 10 for line in self.lines)

    def other_methods(self, column: Column) -> tuple[int, str]:
        """How many rows have ``column`` by another method than the newest row, and one such method; (0, "") if none."""
        newest = sorted(self.lines, key=lambda line: max((e.record.created for e in line.row.entries), default=""))
        methods = [e[-1].method for line in newest if (e := line.row.fidelity_estimates(column.key)) and e[-1].method]
        other = [method for method in methods if method != methods[-1]]
        return len(other), other[-1] if other else ""

    @property
    def one_seed(self) -> bool:
        """Whether some ranked row has one seed and no other row tells how much trainings differ."""
        single = [m for i, m in self.ranking.measured.items() if i in self.ranking.standings and len(m.per_seed) == 1]
        return any(m.lent[1] == 0 for m in single)


@dataclass(frozen=True)
class Board:
    """All tracks, the records that could not be read, and the date of the newest record."""

    tracks: list[TrackBoard] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    newest: str = ""


def build(loaded: Loaded) -> Board:
    """The board of ``loaded``: a function of records and stored predictions alone, without date or chance."""
    tracks = [track_board(track, rows) for track, rows in gather(loaded.entries).items()]
    newest = max((entry.record.created for entry in loaded.entries), default="")
    return Board(tracks, loaded.unreadable, newest)


def track_board(track: Track, rows: list[Row]) -> TrackBoard:
    """The table of one track: its rows measured, ranked and in order, and rows for the controls that are missing."""
    entries = list({entry.path: entry for row in rows for entry in row.entries}.values())
    data = entries[0].record.data
    ranking = rank(rows, data.positive)
    everything = [*rows, *absent_controls(rows)] if track.fingerprint else rows
    lines = _told_apart([_line(i, row, ranking) for i, row in enumerate(everything)])
    references = [*_floors(entries), *_ideal(data), *_real_against_real(entries, track.extractor)]
    notes = list(dict.fromkeys(note for entry in entries for note in entry.record.data.notes))
    return TrackBoard(track, sorted(lines, key=_order), ranking, references, data.model_copy(update={"notes": notes}))


def _line(i: int, row: Row, ranking: Ranking) -> Line:
    return Line(row, ranking.standings.get(i), _auc(i, row, ranking), {c.key: _cell(row, c) for c in COLUMNS})


def _told_apart(lines: list[Line]) -> list[Line]:
    """Rows that share their names get what tells them apart (:mod:`leaderboard.variants`)."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, line in enumerate(lines):
        alike.setdefault(line.names, []).append(i)
    told = list(lines)
    for places in alike.values():
        if len(places) > 1:
            for i, variant in zip(places, variants([lines[i].row for i in places]), strict=True):
                told[i] = replace(lines[i], variant=variant)
    return told


def _order(line: Line) -> tuple[int, float, tuple[str, ...]]:
    value = line.auc.value
    return ORDER[line.row.status], float("inf") if value is None else -value, line.names


def beaten(comparisons: Sequence[ComparisonRecord]) -> list[str]:
    """The controls that an arm is surely better than: a positive difference at 5 % after the record's correction."""
    return [
        c.versus for c in comparisons
        if (c.estimate.value or 0.0) > 0 and c.p_adjusted is not None and c.p_adjusted < 0.05
    ]  # fmt: skip


def _auc(i: int, row: Row, ranking: Ranking) -> Cell:
    if i in ranking.measured:
        found = ranking.measured[i]
        low, high = found.interval()
        seeds = len(found.per_seed)
        how = "lesions and seeds" if seeds > 1 else "lesions, and the spread between seeds of other rows"
        how = "lesions only: one seed" if seeds == 1 and not found.lent[0] else how
        return Cell(found.value, low, high, f"mean of {seeds} seed{'s' * (seeds > 1)}; interval over {how}")
    return mean_cell(row.estimates("auc")) if row.status != "absent" else Cell(None, reason="not run yet")


def _cell(row: Row, column: Column) -> Cell:
    if row.status == "absent":
        return Cell(None, reason="not run yet")
    if column.source == "arm":
        return mean_cell(row.estimates(column.key))
    if row.kind == "baseline" or (row.arm is not None and not row.arm.n_synthetic):
        return Cell(None, reason="no synthetic images")
    estimates = row.fidelity_estimates(column.key)
    cell = mean_cell(_as_the_newest(estimates) if column.distance else estimates)
    return replace(cell, how=f"{cell.how}; {FREE}") if row.steered and cell.value is not None else cell


def mean_cell(estimates: Sequence[EstimateRecord]) -> Cell:
    """Mean over seeds of a recorded metric; its bounds are the mean bounds: error between cases, not between seeds."""
    known = [e for e in estimates if e.value is not None and math.isfinite(e.value)]
    if not known:
        return Cell(None, reason=next((e.reason for e in estimates if e.reason), "not measured"))
    lows, highs = [e.low for e in known if e.low is not None], [e.high for e in known if e.high is not None]
    bounded = len(lows) == len(highs) == len(known)
    how = f"{known[0].method}; n = {known[0].n}"
    if len(known) > 1:
        how = f"mean of {len(known)} seeds; mean bounds, between cases only; {how}"
    return Cell(
        _mean([e.value for e in known]), _mean(lows) if bounded else None, _mean(highs) if bounded else None, how
    )


def _as_the_newest(estimates: Sequence[EstimateRecord]) -> list[EstimateRecord]:
    """Those of ``estimates``, oldest first, that were measured as the last one was."""
    return [e for e in estimates if e.method == estimates[-1].method]


def _mean(values: Sequence[float | None]) -> float:
    return sum(v for v in values if v is not None) / len(values)


def _floors(entries: Sequence[Entry]) -> list[Reference]:
    """Every floor that records of the track state, each distinct value once, the colour floor first."""
    floors: dict[str, list[EstimateRecord]] = {}
    for entry in entries:
        for name, estimate in entry.record.floors.items():
            stated = floors.setdefault(name, [])
            if not any(e.value == estimate.value for e in stated):
                stated.append(estimate)
    names = sorted(floors, key=lambda name: (not name.startswith("colour"), name))
    return [Reference(name, estimate.method, mean_cell([estimate])) for name in names for estimate in floors[name]]


def _ideal(data: DataRecord) -> list[Reference]:
    if data.bayes_auc is None:
        return []
    return [Reference("ideal observer", "best possible, known from the simulation", Cell(data.bayes_auc))]


def _real_against_real(entries: Sequence[Entry], extractor: str) -> list[Reference]:
    """What real images score in the columns of fidelity, once for each n: no generator can be expected to do better."""
    floors: dict[int, list[FidelityRecord]] = {}
    for entry in sorted(entries, key=lambda entry: entry.record.created):
        for fidelity in entry.record.fidelity:
            if fidelity.floor and extractor_name(fidelity) == extractor:
                n = next(iter(fidelity.floor.values())).n or fidelity.n_synthetic
                floors.setdefault(n, []).append(fidelity)
    out: list[Reference] = []
    for n, records in sorted(floors.items()):
        found = {c.key: _as_the_newest([f.floor[c.key] for f in records if c.key in f.floor]) for c in COLUMNS}
        cells = {key: mean_cell(estimates) for key, estimates in found.items()}
        known = {key: cell for key, cell in cells.items() if cell.value is not None}
        out.append(
            Reference(f"real against real, n = {n:,}", "training images in the place of synthetic ones", None, known)
        )
    return out
