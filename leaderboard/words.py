"""What the formats say in the same words: cells, ranks, badges, facts of a track."""

from __future__ import annotations

from bench.format import NOTHING, number, words_over_seeds
from leaderboard.board import COLUMNS, Cell, Line, TrackBoard, beaten

CLAIM_SEEDS = 10
CONTROL_LEGEND = (
    "Controls take no rank. They mark the scale: ceiling (held-out real images in the place of synthetic ones), "
    "sentinel (copies of training images, or shuffled labels), floor (noise); or they are what an arm of the same run "
    "is compared with: the same generator without guidance (control of that arm)."
)
STATUSES = {
    "ranked": "",
    "gated": "memorizes",
    "unranked": "not ranked",
    "incomplete": "incomplete",
    "failed": "failed",
    "absent": "not run yet",
}


def number_and_interval(cell: Cell | None) -> tuple[str, str]:
    """("0.871", "[0.853, 0.889]"); the second is empty without limits, the first a dash without a number."""
    if cell is None or cell.value is None:
        return NOTHING, ""
    scale = max(abs(v) for v in (cell.value, cell.low, cell.high) if v is not None)
    text = number(cell.value, scale)
    if cell.low is None or cell.high is None:
        return text, ""
    return text, f"[{number(cell.low, scale)}, {number(cell.high, scale)}]"


def cell_text(cell: Cell | None) -> str:
    """ "0.871 [0.853, 0.889]", or a dash where there is no number."""
    return " ".join(part for part in number_and_interval(cell) if part)


def made_of(line: Line) -> str:
    """What the arm was trained on, over its seeds: "real + guided synthetic"; empty for a row that nobody has run."""
    sources = line.row.sources
    return words_over_seeds(sources[seed].arm.description for seed in line.row.seeds) if sources else ""


def rank_text(line: Line) -> str:
    """ "2 (1–4)": rank and its interval; a dash for rows that are not ranked."""
    if line.standing is None:
        return NOTHING
    best, worst = line.standing.best, line.standing.worst
    return f"{line.standing.rank} ({best}–{worst})" if best != worst else str(line.standing.rank)


def versus_text(line: Line) -> str:
    """ "1 of 3" controls beaten; a dash where the run has no primary comparison of this arm."""
    return f"{len(beaten(line.versus))} of {len(line.versus)}" if line.versus else NOTHING


def versus_words(line: Line) -> str:
    """Each primary comparison in words."""
    parts = []
    for c in line.versus:
        estimate = c.estimate
        shown = cell_text(Cell(estimate.value, estimate.low, estimate.high))
        p = "" if c.p_adjusted is None else f", p = {c.p_adjusted:.3f} ({c.correction})"
        parts.append(f"minus {c.versus}: {shown}{p}")
    return "; ".join(parts)


def badges(line: Line) -> list[str]:
    """What marks a row: its role, its status, too few seeds, what tells it from a row of the same name."""
    marks = [role(line), STATUSES[line.row.status]]
    seeds = len(line.row.sources)
    if line.standing and seeds < CLAIM_SEEDS:
        marks.append(f"{seeds} seed{'s' * (seeds > 1)}")
    if any(entry.record.origin == "external" for entry in line.row.entries):
        marks.append("external: scored here, trained elsewhere")
    return [mark for mark in [*marks, line.variant] if mark]


def role(line: Line) -> str:
    """What a row stands for where it is no entrant: "baseline", "ceiling", "control of guided"."""
    if line.row.kind == "entrant":
        return ""
    of = f" of {', '.join(line.row.control_of)}" if line.row.control_of else ""
    return f"{line.row.kind}{of}"


def facts(track: TrackBoard) -> list[str]:
    """What one must know to read a track's table, a sentence each."""
    ranking = track.ranking
    said = []
    if ranking.images:
        what = f"{ranking.positives:,} of class {track.positive}"
        said.append(f"{ranking.images:,} test images of {ranking.groups:,} groups, {what}.")
    if ranking.minimum_detectable_difference is not None:
        seen = number(ranking.minimum_detectable_difference, 0.1)
        said.append(
            f"Two rows must differ by {seen} AUC to be told apart with 80 % power (median over pairs, one test)."
        )
    return [*said, *cautions(track), CONTROL_LEGEND, *track.data.notes]


def cautions(track: TrackBoard) -> list[str]:
    """What the seeds of a track, and the images that were judged, do not allow to say."""
    said = []
    if track.one_seed:
        said.append("One seed: how far another training would move a row is in no interval, rank or tie group here.")
    if track.few_seeds:
        said.append(f"A claim needs at least {CLAIM_SEEDS} paired seeds; rows with fewer are marked.")
    arms = list(dict.fromkeys(line.row.identity.arm for line in track.lines if line.row.steered))
    if arms:
        columns = [column.label for column in COLUMNS if column.source == "fidelity"]
        said.append(
            f"{columns[0]} to {columns[-1]} of {', '.join(arms)}: of images that the generator draws freely, not of "
            "those made for these arms; copies among these, where measured: page of the run, Memorization by round."
        )
    for column in [c for c in COLUMNS if c.distance]:
        rows, method = track.other_methods(column)
        if rows:
            said.append(
                f"{column.label} of {rows} row{'s' * (rows > 1)} from older runs was measured another way ({method}): "
                "compare it among these alone, or repeat the run."
            )
    return said
