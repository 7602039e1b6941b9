"""What the page of a run says of its rounds: what was mined, made and accepted, and which image answers which case.

Words and numbers only: the images themselves are seldom ours to publish.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.errors import DataError
from bench.format import NOTHING, number
from bench.ledger import RoundRow, quartiles_text, reasons_text
from bench.ledger_file import Case, Child, LedgerRound, cases_shown, read_ledger, round_totals
from bench.report_ledger import CHILDREN, chance, change, more_text
from leaderboard import run_origin
from leaderboard.load import Entry
from leaderboard.markup import Html, Table, fold, join, scroll, tag

WORDS = (
    "p(true): probability of the label that an image carries, the lower the harder; median and quartiles. Cases are "
    "judged out of fold, again where a later round made new folds; images by the classifier before the round and by "
    "the one retrained with the accepted images."
)
NOT_KEPT = "Which image answers which case is in the ledger folder of the run; no such file lies beside this record."
HEADS = ("Hard case", "p(true)", "Image made for it", "p(true)", "Label check")
NUMBERS = frozenset({1, 3, 4})


def ledger(entry: Entry) -> Html:
    """Totals of each round, the hardest cases with their images on demand, and all that the protocol noted."""
    noted = run_origin.ledger(entry.record)
    try:
        rows = round_totals(entry.record)
    except DataError as error:
        return join([_trouble(entry, error), noted])
    if not rows:
        return noted
    parts = [_totals(rows), tag("p", WORDS, class_="soft"), *_details(entry)]
    return join([*parts, fold("All that the protocol noted", noted)])


def _totals(rows: Sequence[RoundRow]) -> Html:
    heads = (
        "Round", "Mined", "Made", "Accepted", "Rejected by", "AUC on val_select", "Cases before", "Cases after",
        "Accepted before", "Accepted after", "Rejected before",
    )  # fmt: skip
    cells = [
        [
            f"seed {row.seed}, round {row.round}{' (used)' if row.chosen else ''}",
            *(f"{n:,}" for n in (row.mined, row.made, row.accepted)),
            reasons_text(row.rejected) or NOTHING, number(row.val_select_auc, 1.0),
            *(quartiles_text(side) or NOTHING for side in
              (row.cases_before, row.cases_after, row.accepted_before, row.accepted_after, row.rejected_before)),
        ]
        for row in rows
    ]  # fmt: skip
    numbers = frozenset(range(1, len(heads))) - {4}
    return Table("Hard cases, the images made for them, and p(true) of both", heads, cells, numbers).html()


def _details(entry: Entry) -> Iterator[Html]:
    """A fold a round, or why there is none."""
    try:
        rounds = read_ledger(entry.record, entry.folder)
    except DataError as error:
        yield _trouble(entry, error)
        return
    most = cases_shown(rounds)
    for of in rounds:
        yield from _round(of, most)
    if all(of.families is None for of in rounds):
        yield tag("p", NOT_KEPT, class_="soft")


def _trouble(entry: Entry, error: DataError) -> Html:
    """A problem in words that do not tell where on the publisher's disk the run lies."""
    return tag("p", f"The ledger cannot be shown whole: {str(error).replace(f'{entry.folder}/', '')}", class_="soft")


def _round(of: LedgerRound, most: int) -> Iterator[Html]:
    if of.families is None:
        return
    cases = of.families.hardest()
    at = f"Seed {of.totals.seed}, round {of.totals.round}"
    some, more = of.how_many(most)
    how = "made from them" if of.families.answers == "case" else "made for their class"
    all_of_them = " All: bench show RUN --ledger --json." * more
    table = _table(f"Hardest first; before → after retraining.{all_of_them}", cases[:most])
    yield fold(f"{at}: {some} and the images {how}", table)


def _table(caption: str, cases: Sequence[Case]) -> Html:
    """A body of rows a case, so that one with several images stays together."""
    head = join(tag("th", cell, scope="col", class_="n" if i in NUMBERS else None) for i, cell in enumerate(HEADS))
    bodies = join(tag("tbody", join(_rows(case))) for case in cases)
    inner = [tag("caption", tag("span", caption)), tag("thead", tag("tr", head)), bodies]
    return scroll(tag("table", join(inner)), caption)


def _rows(case: Case) -> Iterator[Html]:
    shown, more = case.children[:CHILDREN], case.children[CHILDREN:]
    height = max(1, len(shown) + bool(more))
    span = height if height > 1 else None
    name = join([case.id, tag("small", case.label)])
    first = join([
        tag("th", name, scope="rowgroup" if span else "row", rowspan=span),
        tag("td", change(case.before, case.after), class_="n", rowspan=span),
    ])  # fmt: skip
    rows = [_cells(child) for child in shown]
    if more or not shown:
        rows.append(tag("td", more_text(more) if more else "none made", colspan=3, class_="soft"))
    for i, row in enumerate(rows):
        yield tag("tr", join([first, row]) if i == 0 else row)


def _cells(child: Child) -> Html:
    outcome = child.outcome if child.accepted else tag("span", child.outcome, class_="badge warn")
    return join([
        tag("td", join([outcome, tag("small", child.id)])),
        tag("td", change(child.before, child.after), class_="n"),
        tag("td", chance(child.judge), class_="n"),
    ])  # fmt: skip
