"""A record with its stored predictions read once, and the way in which a check names what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bench.errors import DataError
from bench.record import ArmRecord, FileRecord
from leaderboard.load import Entry, Predictions, read_predictions

Part = Literal["predictions", "threshold_predictions"]
PARTS: tuple[Part, ...] = ("predictions", "threshold_predictions")
THRESHOLD_SPLIT = "val_thresh"
SPLIT_OF: dict[Part, str] = {"predictions": "test", "threshold_predictions": THRESHOLD_SPLIT}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: in which record, which arm ("" for the record as a whole), which cell."""

    record: str
    arm: str
    cell: str
    message: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.record, self.arm, self.cell) if part)
        return f"{where}: {self.message}"


def title(arm: ArmRecord) -> str:
    """How messages call an arm of one seed."""
    return f"arm {arm.name!r}, seed {arm.seed}"


@dataclass
class Evidence:
    """An entry and those of its prediction files that could be read; ``unreadable`` says why others could not."""

    entry: Entry
    read: dict[tuple[int, Part], Predictions] = field(default_factory=dict)
    unreadable: dict[tuple[int, Part], str] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Entry) -> Evidence:
        """Read every prediction file that the record names."""
        self = cls(entry)
        for i, arm in enumerate(entry.record.arms):
            for part in PARTS:
                file: FileRecord | None = getattr(arm, part)
                if file is None:
                    continue
                try:
                    self.read[i, part] = read_predictions(entry, file)
                except DataError as error:
                    self.unreadable[i, part] = str(error)
        return self

    def each(self, part: Part) -> Iterator[tuple[ArmRecord, Predictions]]:
        """Arms with their readable predictions of one split."""
        for i, arm in enumerate(self.entry.record.arms):
            if (i, part) in self.read:
                yield arm, self.read[i, part]

    def problem(self, message: str, cell: str = "", arm: ArmRecord | None = None) -> Problem:
        """A problem of this record."""
        return Problem(str(self.entry.path), title(arm) if arm else "", cell, message)
