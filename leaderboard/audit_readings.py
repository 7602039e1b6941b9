"""What else a row may mean whose figures do not follow from its counts: readings under which they would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice, permutations, product

from bench.stats.consistency import Printed, Range, possible_counts, prevalence_from_accuracy
from leaderboard.audit_table import FIGURES, SIZE_OF, Counts, PrintedRow, other_rows

Shares = Mapping[str, Printed]
# Orders of (TP, FP, FN, TN) that have a name.
ORDERS: dict[tuple[int, ...], str] = {
    (3, 2, 1, 0): "with the roles of the classes exchanged",
    (0, 2, 1, 3): "with FP and FN exchanged",
}


def readings(row: PrintedRow, rows: list[PrintedRow], impossible: list[str]) -> Iterator[str]:
    """Sentences, the simplest reading first; ``impossible``: the figures that do not follow from ``row.counts``."""
    assert row.counts is not None
    shares = {name: share for name, share in row.printed.items() if name in FIGURES}
    yield from exchanged_columns(row.counts, shares, impossible)
    yield from reordered_counts(row.counts, shares)
    yield from one_digit(row.counts, shares)
    yield from other_threshold(row, shares)
    yield from other_class_sizes(row, rows, shares)
    yield from mean_of_trainings(row)


def exchanged_columns(counts: Counts, shares: Shares, impossible: list[str]) -> Iterator[str]:
    """A figure that is another figure of the same counts."""
    for name in impossible:
        if name not in shares:
            continue
        for other, figure in FIGURES.items():
            exact = figure(counts)
            if other != name and exact is not None and exact != 0 and shares[name].follows(exact):
                yield f"what is printed as {name} is the {other} of these counts: columns may be exchanged"


def reordered_counts(counts: Counts, shares: Shares) -> Iterator[str]:
    """The same four counts under other headings, where then every printed figure follows."""
    if len(shares) < 2 or fits(counts, shares):
        return
    for order in permutations(range(4)):
        other = Counts(*(counts[i] for i in order))
        if other != counts and fits(other, shares):
            what = ORDERS.get(order, "with the counts in another order")
            yield f"all printed figures follow {what}: {other}"
            return


def one_digit(counts: Counts, shares: Shares) -> Iterator[str]:
    """One count with one digit mistyped, where then every printed figure follows."""
    if len(shares) < 2 or fits(counts, shares):
        return
    for i, value in enumerate(counts):
        for typo in sorted(_typos(value)):
            other = counts._replace(**{Counts._fields[i]: typo})
            if other.n and fits(other, shares):
                yield f"all printed figures follow if {Counts._fields[i].upper()} is {typo} instead of {value}"


def _typos(value: int) -> set[int]:
    """Numbers that differ by one changed, missing, further or transposed digit."""
    text = str(value)
    changed = {text[:i] + d + text[i + 1 :] for i in range(len(text)) for d in "0123456789"}
    further = {text[:i] + d + text[i:] for i in range(len(text) + 1) for d in "0123456789"}
    missing = {text[:i] + text[i + 1 :] for i in range(len(text))}
    turned = {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1)}
    return {int(t) for t in changed | further | missing | turned if t} - {value}


def other_threshold(row: PrintedRow, shares: Shares) -> Iterator[str]:
    """Other counts with the same class sizes: figures and matrix may be of two thresholds, or of two models."""
    found = None if row.classes is None else next(with_sizes(*row.classes, shares), None)
    if found is not None and found != row.counts:
        yield (
            f"with the same class sizes all printed figures follow from {found}: "
            f"they may be of another threshold than the counts, or of another training"
        )


def other_class_sizes(row: PrintedRow, rows: list[PrintedRow], shares: Shares) -> Iterator[str]:
    """The class sizes of another row of the table, by counts or at least by the share of positives."""
    for other, (positives, negatives) in other_rows(row, rows):
        where = f"of row {other.name!r} ({positives:,} positives, {negatives:,} negatives)"
        found = next(with_sizes(positives, negatives, shares), None)
        implied, own = implied_prevalence(shares), row.prevalence
        if found is not None:
            yield f"all printed figures follow from the class sizes {where}, e.g. {found}: a test set may be confused"
        elif implied and own and implied.holds(Fraction(positives, positives + negatives)) and not implied.holds(own):
            yield (
                f"the printed figures imply {percent(implied)} positives, which is the share {where}, "
                f"not that of these counts ({100 * float(own):.1f} %): figures and counts may be of different test sets"
            )


def mean_of_trainings(row: PrintedRow, most: int = 20) -> Iterator[str]:
    """A figure that no count of its class gives, but a mean over a few trainings on the same cases would."""
    needed: dict[str, int] = {}
    for name, size in SIZE_OF.items():
        n = getattr(row, size)
        if name not in row.printed or not n or possible_counts(row.printed[name].rounded(), n):
            continue
        fitting = (k for k in range(2, most + 1) if possible_counts(row.printed[name].rounded(), k * n))
        needed[name] = next(fitting, 0)
    if needed and all(needed.values()):
        names = " and ".join(needed)
        yield f"{names} may be a mean over trainings (at least {max(needed.values())}), the counts those of one of them"


def implied_prevalence(shares: Shares) -> Range | None:
    """Share of positives that printed accuracy, sensitivity and specificity imply; None where one is not printed."""
    if not {"accuracy", "sensitivity", "specificity"} <= shares.keys():
        return None
    parts = [shares[name].rounded() for name in ("accuracy", "sensitivity", "specificity")]
    return prevalence_from_accuracy(*parts)


def with_sizes(positives: int, negatives: int, shares: Shares, most: int = 200_000) -> Iterator[Counts]:
    """Counts of these class sizes from which every printed figure follows; at most ``most`` pairs are looked at."""
    if not {"sensitivity", "specificity"} <= shares.keys():
        return
    hits = possible_counts(shares["sensitivity"].rounded(), positives)
    rejections = possible_counts(shares["specificity"].rounded(), negatives)
    for tp, tn in islice(product(hits, rejections), most):
        counts = Counts(tp, negatives - tn, positives - tp, tn)
        if fits(counts, shares):
            yield counts


def fits(counts: Counts, shares: Shares) -> bool:
    """Whether every printed figure follows from ``counts`` by rounding."""
    for name, share in shares.items():
        exact = FIGURES[name](counts)
        if exact is None or not share.follows(exact):
            return False
    return True


def percent(share: Range) -> str:
    """ "13.5 to 14.3 %"."""
    return f"{100 * float(share.low):.1f} to {100 * float(share.high):.1f} %"
