"""Arms whose synthetic images were made for given cases, and how many copies are among those images.

Fidelity is measured on images that a generator draws freely. A guided arm, and the controls that vary real images, were
trained on others; of those that a guided arm accepted a record knows the copy rate, round by round.
"""

from __future__ import annotations

from bench.ledger import round_rows
from bench.record import Record, RoundRecord

VARIED_ARMS = ("C3", "C4")
BY_DESIGN = (
    "the images made for this arm lie nearer to training images than chance gives, as they were made from them: see "
    "Memorization by round on the page of the run"
)


def steered(record: Record, name: str, guided: tuple[str, ...]) -> bool:
    """Whether arm ``name`` was trained on images made for given cases, and the record judges only free draws.

    ``guided``: the arms of the run that have controls with synthetic images.
    """
    made_for_cases = name in VARIED_ARMS or name in guided
    return made_for_cases and bool(record.fidelity) and not any(f.name == name for f in record.fidelity)


def rounds_used(record: Record) -> list[RoundRecord]:
    """The rounds whose images the guided arm was trained on: up to the one that it reports; all where none is noted."""
    last = {row.seed: row.round for row in round_rows(record.ledger) if row.chosen} if record.rounds else {}
    return [row for row in record.rounds if row.round <= last.get(row.seed, row.round)]
