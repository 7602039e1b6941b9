"""The ledger of a run on the board: words and numbers of the hardest cases, as many as people are shown."""

from __future__ import annotations

from pathlib import Path

from bench.ledger import families_title
from bench.ledger_file import LedgerRound, cases_shown, cut_file, read_ledger, round_totals
from leaderboard.load import Entry


def publish_ledgers(entry: Entry, folder: Path) -> dict[str, str]:
    """Title -> path of the ledger files, cut and written into ``folder``; none for a run without hard cases.

    Raises as :func:`bench.ledger_file.read_ledger` for a ledger that cannot be read.
    """
    if not round_totals(entry.record):
        return {}
    rounds = read_ledger(entry.record, entry.folder)
    of_seed: dict[int, list[LedgerRound]] = {}
    for of in rounds:
        of_seed.setdefault(of.totals.seed, []).append(of)
    names = {}
    for seed, told in of_seed.items():
        families = [of.families for of in told if of.families is not None]
        if families:
            name = f"ledger/children-seed{seed}.json"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(cut_file(seed, families, cases_shown(rounds)))
            names[families_title(seed)] = name
    return names
