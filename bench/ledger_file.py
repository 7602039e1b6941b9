"""The ledger of a finished run, read back: the totals of each round, and every hard case with what was made for it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bench.errors import DataError
from bench.ledger import RoundRow, families_title, round_rows
from bench.record import Record, RoundRecord

SHOWN, FEWEST = 40, 8  # cases of a round that people are shown: with one seed, and with many


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Child(_Row):
    """An image made for a case; p(true) ``before`` and ``after`` retraining and by the label check (``judge``)."""

    id: str
    accepted: bool
    before: float | None
    after: float | None
    judge: float | None
    reason: str = ""

    @property
    def outcome(self) -> str:
        """ "accepted", "rejected: label check"."""
        return "accepted" if self.accepted else f"rejected: {self.reason.replace('_', ' ') or 'not said'}"


class Case(_Row):
    """A hard case; p(true) out of fold ``before`` and ``after`` retraining, None where no later fold looked."""

    id: str
    label: str = Field(alias="class")
    before: float | None
    after: float | None
    children: list[Child]


class Families(_Row):
    """Every case of a round; ``answers`` "case": images were made from the case, "class": for its class."""

    round: int
    answers: str
    cases: list[Case]

    def hardest(self) -> list[Case]:
        """The cases, hardest first."""
        return sorted(self.cases, key=lambda case: 2.0 if case.before is None else case.before)


class _SeedFile(_Row):
    seed: int
    of: str
    rounds: list[Families]


@dataclass(frozen=True)
class LedgerRound:
    """One round of one seed: its ``totals``, the memorization of its images, and its cases, None where not told.

    Beside a published record lie the hardest cases alone, then ``families`` has fewer than were mined.
    """

    totals: RoundRow
    memorization: RoundRecord | None
    families: Families | None

    def how_many(self, most: int) -> tuple[str, bool]:
        """ "the 40 hardest of 800 cases", "all 12 cases"; and whether all are there though not all are shown."""
        there = 0 if self.families is None else len(self.families.cases)
        shown, mined = min(there, most), max(there, self.totals.mined)
        words = f"all {mined:,} cases" if shown == mined else f"the {shown:,} hardest of {mined:,} cases"
        return words, shown < there == mined


def read_ledger(record: Record, folder: Path) -> list[LedgerRound]:
    """The rounds of ``record`` in order, with the cases that files in ``folder`` tell of.

    A record that names no such file has rounds without cases. Raises
    :class:`DataError` for a protocol without rounds, and for a named file that is missing, changed, or not readable.
    """
    totals = round_totals(record)
    if not totals:
        raise DataError(
            f"{record.run_id}: protocol {record.protocol.name!r} noted no rounds of hard cases, so there is no such "
            f"ledger; runs of 'adversarial' have one" + (" once a seed is finished" * (record.status != "complete"))
        )
    memorization = {(row.seed, row.round): row for row in record.rounds}
    families = {
        (seed, of.round): of
        for seed in dict.fromkeys(row.seed for row in totals)
        for of in _of_seed(record, folder, seed)
    }
    places = [(row, (row.seed, row.round)) for row in totals]
    return [LedgerRound(row, memorization.get(at), families.get(at)) for row, at in places]


def round_totals(record: Record) -> list[RoundRow]:
    """The rounds that the record itself tells of; raises :class:`DataError` for one that is not as rounds are."""
    try:
        return _row_reader().validate_python([vars(row) for row in round_rows(record.ledger)])
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"missing or wrong: {error}"
        raise DataError(f"{record.run_id}: a round in the ledger of the record is not readable: {why}") from None


@functools.cache
def _row_reader() -> TypeAdapter[list[RoundRow]]:
    """Made once: it takes 4 ms, and a board has thousands of run pages."""
    return TypeAdapter(list[RoundRow])


def _of_seed(record: Record, folder: Path, seed: int) -> Sequence[Families]:
    name = record.files.get(families_title(seed))
    if name is None:
        return ()
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path}: lies outside the run's folder")
    try:
        content = path.read_bytes()
    except OSError:
        raise DataError(f"{path}: the file is missing; the same run command writes it anew from its store") from None
    stated = record.checksums.get(name)
    if stated is not None and hashlib.sha256(content).hexdigest() != stated:
        raise DataError(f"{path}: not the bytes that the record states; the same run command writes them anew")
    try:
        return _SeedFile.model_validate_json(content).rounds
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: not a ledger of cases: {where or 'top level'}: {first['msg']}") from None


def cut_file(seed: int, rounds: Sequence[Families], most: int) -> str:
    """The file of one seed with the ``most`` hardest cases of each round, in the format of the whole one."""
    cut = [of.model_copy(update={"cases": of.hardest()[:most]}) for of in rounds]
    return _SeedFile(seed=seed, of="p(true)", rounds=cut).model_dump_json(by_alias=True) + "\n"


def cases_shown(rounds: Iterable[LedgerRound]) -> int:
    """How many cases of each round people are shown: the more seeds, the fewer."""
    seeds = len({of.totals.seed for of in rounds})
    return max(FEWEST, SHOWN // max(1, seeds))


def whole_ledger(record: Record, rounds: Iterable[LedgerRound]) -> dict[str, Any]:
    """Everything as JSON: totals, memorization (None where not measured) and all cases (None where not kept)."""
    return {
        "run_id": record.run_id, "status": record.status, "of": "p(true)",
        "rounds": [_whole_round(of) for of in rounds],
    }  # fmt: skip


def _whole_round(of: LedgerRound) -> Mapping[str, Any]:
    cases = None if of.families is None else [c.model_dump(by_alias=True) for c in of.families.hardest()]
    kept = None if of.memorization is None else json.loads(of.memorization.model_dump_json(exclude={"seed", "round"}))
    return {**asdict(of.totals), "memorization": kept, "cases": cases}
