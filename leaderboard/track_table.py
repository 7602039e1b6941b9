"""The table of a track as HTML: a row an entry, light enough for thousands of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from bench.format import NOTHING
from leaderboard.board import COLUMNS, Cell, Column, Line, Reference, TrackBoard
from leaderboard.markup import Html, join, tag, text
from leaderboard.svg import Scale, around, interval
from leaderboard.words import badges, made_of, number_and_interval, rank_text, versus_text, versus_words

PAGE = 50  # rows on the screen at once; the script shows more on demand
AUC = Column("auc", "AUC", "area under the ROC curve: mean over seeds, 95 % interval", "arm")
WIDTH, NARROW, MARGIN = 136, 78, 5
Names = Mapping[Path, str]  # record -> name of its page


def table(track: TrackBoard, pages: Names) -> Html:
    """Caption, sortable heads, rows, references."""
    scales = {column.key: _scale(track, column) for column in (AUC, *COLUMNS)}
    usual = {column.key: _usual(track, column) for column in COLUMNS}
    marks = [r.auc.value for r in track.references if r.auc and r.auc.value is not None]
    heads = join(
        [_head("Rank", "rank, and the ranks that the data allow", sorted_=True), *_heads(track, scales, usual)]
    )
    firsts = _first_of_groups(track.lines)
    rows = [
        _row(line, scales, usual, marks, pages, "leads" if i in firsts else "", hidden=i >= PAGE)
        for i, line in enumerate(track.lines)
    ]
    references = [_reference(reference, scales) for reference in track.references]
    below = tag("tbody", join(references), class_="references") if references else ""
    caption = f"{track.title}: entries by AUC of {track.positive}, best first; heads sort"
    inner = [tag("caption", caption, class_="hidden"), tag("thead", tag("tr", heads))]
    return tag("table", join([*inner, tag("tbody", join(rows), class_="rows"), below]), id="board", class_="board")


def _heads(track: TrackBoard, scales: Mapping[str, Scale], usual: Mapping[str, str]) -> list[Html]:
    auc = Column("auc", "AUC", f"area under the ROC curve of {track.positive}: {AUC.title.split(': ')[1]}", "arm")
    return [
        _head("Entry", "generator; protocol, arm, classifier", class_="entry"),
        _head("Tie group", "rows of one tie group cannot be told apart from its first", class_="tie"),
        _metric_head(auc, scales["auc"], 2, ""),
        _head("Controls beaten", "primary comparisons won, at 5 % after the correction of the run", class_="wins"),
        *(_metric_head(column, scales[column.key], 0, usual[column.key]) for column in COLUMNS),
        _head("Seeds", "independent trainings; a claim needs 10"),
    ]


def _head(label: str, title: str, *, sorted_: bool = False, class_: str | None = None) -> Html:
    button = tag("button", label, type="button", class_="sort", title=title)
    return tag("th", button, scope="col", class_=class_, aria_sort="ascending" if sorted_ else None)


def _metric_head(column: Column, scale: Scale, decimals: int, how: str) -> Html:
    arrow = "↑" if column.better == "higher" else "↓"
    words = Html(
        f'{text(column.label)} <span class="better" aria-hidden="true">{arrow}</span>'
        f'<span class="hidden"> ({column.better} is better)</span>'
    )
    title = f"{column.title}; {how}" if how else column.title
    button = tag("button", words, type="button", class_="sort", title=title, data_better=column.better)
    ends = join(tag("span", f"{end:.{decimals}f}" if decimals else f"{end:g}") for end in (scale.low, scale.high))
    axis = tag("span", ends, class_="scale" if decimals else "scale narrow", aria_hidden="true")
    return tag("th", Html(button + axis), scope="col", class_="metric")


def _scale(track: TrackBoard, column: Column) -> Scale:
    """Room for what is compared; controls may lie outside and are drawn at the end of the scale."""
    drawn = [line for line in track.lines if _on_scale(line)] or track.lines
    cells = [_cell_of(line, column.key) for line in drawn]
    cells += [r.auc for r in track.references if r.auc] if column is AUC else []
    known = [v for cell in cells for v in (cell.value, cell.low, cell.high) if v is not None]
    top = max((abs(v) for v in known), default=1.0)
    low, high = around(known, 0.05 if top <= 1.0 else 1.0 if top <= 20 else 10.0)
    return Scale(low, high, MARGIN, (WIDTH if column is AUC else NARROW) - MARGIN)


def _on_scale(line: Line) -> bool:
    of_arm = line.row.kind == "control" and line.row.control_of
    return bool(of_arm) or line.row.kind in ("entrant", "baseline", "ceiling")


def _usual(track: TrackBoard, column: Column) -> str:
    """How most numbers of a column came about: said once, in its head."""
    times = Counter(cell.how for line in track.lines if (cell := line.cells[column.key]).value is not None)
    return times.most_common(1)[0][0] if times else ""


def _cell_of(line: Line, key: str) -> Cell:
    return line.auc if key == AUC.key else line.cells[key]


def _first_of_groups(lines: Sequence[Line]) -> set[int]:
    """Positions at which another tie group begins, or the ranked rows end."""
    groups = [line.standing.tie_group if line.standing else None for line in lines]
    ranked = [(i, group) for i, group in enumerate(groups) if group is not None]
    return {i for (_, before), (i, group) in pairwise(ranked) if group != before}


def _row(
    line: Line, scales: Mapping[str, Scale], usual: Mapping[str, str], marks: Sequence[float], pages: Names, first: str,
    *, hidden: bool,
) -> Html:  # fmt: skip
    row, standing = line.row, line.standing
    group = (standing.tie_group, standing.tie_group) if standing else ("", NOTHING)
    controls = versus_text(line)
    cells = [
        f'<td class="rank" data-v="{standing.rank if standing else ""}">{_rank(line)}</td>',
        _entry(line, pages),
        f'<td class="tie" data-v="{group[0]}">{group[1]}</td>',
        _number(line.auc, scales["auc"], marks),
        f'<td data-v="{controls if line.versus else ""}" title="{text(versus_words(line))}">{controls}</td>',
        *(_number(line.cells[c.key], scales[c.key], usual=usual[c.key]) for c in COLUMNS),
        f'<td class="n" data-v="{len(row.sources)}">{len(row.sources) or NOTHING}</td>',
    ]
    state = f' data-kind="{row.kind}" data-status="{row.status}"{" hidden" * hidden}'
    return Html(f'<tr class="{row.kind} {row.status} {first}"{state}>{"".join(cells)}</tr>\n')


def _rank(line: Line) -> str:
    if line.standing is None:
        return NOTHING
    value, _, span = rank_text(line).partition(" ")
    return f"<b>{value}</b>" + (f" <small>{span.strip('()')}</small>" if span else "")


def _number(cell: Cell, scale: Scale, marks: Sequence[float] = (), usual: str = "") -> str:
    """The number in digits with its interval, and the interval drawn; how it came about, unless that is as usual."""
    if cell.value is None:
        why = text(cell.reason)
        return f'<td class="n" data-v="" title="{why}">{NOTHING}<span class="hidden"> {why}</span></td>'
    value, limits = number_and_interval(cell)
    drawn = interval(cell.value, cell.low, cell.high, scale, marks)
    small = f" <small>{limits}</small>" if limits else ""
    how = f' title="{text(cell.how)}"' if cell.how and cell.how != usual else ""
    return f'<td class="n" data-v="{cell.value:.8g}"{how}>{drawn}<b>{value}</b>{small}</td>'


def _entry(line: Line, pages: Names) -> str:
    """Names, badges, what is wrong with it, and on demand how it came about."""
    row = line.row
    page = pages.get(row.entries[-1].path) if row.entries else None
    name = text(line.names[0])
    linked = f'<a href="{text(page)}">{name}</a>' if page else f"<b>{name}</b>"
    who = text(" · ".join(part for part in _what(line) if part))
    marks = "".join(f'<span class="badge">{text(badge)}</span>' for badge in badges(line))
    why = f"<small>{text(row.notes[0])}</small>" if row.status != "ranked" and row.notes else ""
    named = f'<span class="who">{linked} <small>{who}</small>{marks}</span>'
    return f'<th scope="row" class="entry">{named}{why}{_how(line, pages)}</th>'


def _what(line: Line) -> list[str]:
    """Protocol, arm with what it was trained on, classifier."""
    _, protocol, arm, classifier = line.names
    of = made_of(line)
    return [protocol, f"{arm}: {of}" if of else arm, classifier]


def _how(line: Line, pages: Names) -> str:
    """Command, commit and pages of the runs behind a row."""
    if not line.row.entries:
        return ""
    newest = line.row.entries[-1].record
    commit = (newest.environment.commit or "unknown")[:12] + (" + changes" if newest.environment.dirty else "")
    runs = ", ".join(
        f'<a href="{text(pages[e.path])}">{text(e.record.run_id)}</a>' if e.path in pages else text(e.record.run_id)
        for e in line.row.entries[-10:]
    )
    more = f" and {len(line.row.entries) - 10} older" if len(line.row.entries) > 10 else ""
    seeds = ", ".join(map(str, line.row.seeds)) or "none"
    notes = "".join(f"<br>{text(note)}" for note in line.row.notes[line.row.status != "ranked" :])
    return (
        f'<details class="how"><summary>reproduce</summary><code>{text(newest.command)}</code>'
        f"<small>commit {text(commit)} · seeds {seeds} · runs {runs}{more}{notes}</small></details>"
    )


def _reference(reference: Reference, scales: Mapping[str, Scale]) -> Html:
    name = f"<i>{text(reference.name)}</i> <small>reference: {text(reference.title)}</small>"
    cells = [reference.cells.get(column.key) for column in COLUMNS]
    shown = [_number(cell, scales[c.key]) if cell else "<td></td>" for c, cell in zip(COLUMNS, cells, strict=True)]
    auc = _number(reference.auc, scales["auc"]) if reference.auc else "<td></td>"
    head = f'<td></td><th scope="row" class="entry">{name}</th><td class="tie"></td>'
    return Html(f'<tr class="reference">{head}{auc}<td></td>{"".join(shown)}<td></td></tr>\n')


def digest_table(track: TrackBoard, rows: int = 5) -> Html:
    """The first rows of a track for the index: rank, entry, tie group, AUC."""
    scale = _scale(track, AUC)
    marks = [r.auc.value for r in track.references if r.auc and r.auc.value is not None]
    body = join(_short(line, scale, marks) for line in [x for x in track.lines if x.row.sources][:rows])
    heads = join(tag("th", head, scope="col") for head in ("Rank", "Entry", "Tie group", "AUC"))
    caption = tag("caption", f"First rows of {track.title}", class_="hidden")
    inner = [caption, tag("thead", tag("tr", heads)), tag("tbody", body)]
    return tag("table", join(inner), class_="board short")


def _short(line: Line, scale: Scale, marks: Sequence[float]) -> Html:
    who = text(" · ".join(part for part in _what(line) if part))
    shown = "".join(f'<span class="badge">{text(badge)}</span>' for badge in badges(line))
    group = line.standing.tie_group if line.standing else NOTHING
    name = f'<th scope="row" class="entry"><b>{text(line.names[0])}</b> <small>{who}</small>{shown}</th>'
    cells = f'<td class="rank">{_rank(line)}</td>{name}<td class="tie">{group}</td>{_number(line.auc, scale, marks)}'
    return Html(f'<tr class="{line.row.kind} {line.row.status}">{cells}</tr>')
