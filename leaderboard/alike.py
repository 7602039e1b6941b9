"""Records that name the same images must agree on them: a fingerprint or split checksum is no label to be chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from leaderboard.evidence import Evidence, Problem
from leaderboard.load import Entry

SHA256 = re.compile(r"[0-9a-f]{64}")


def check_names_of_data(evidence: Evidence) -> Iterator[Problem]:
    """Data fingerprint and split checksum are sha256 digests: whatever else would make a track of its own."""
    record = evidence.entry.record
    if record.split is None:
        return
    for cell, value in (("data.fingerprint", record.data.fingerprint), ("split.checksum", record.split.checksum)):
        if not SHA256.fullmatch(value):
            told = f"{value!r} is no sha256: it must be the one that `bench data splits` and the run record print"
            yield evidence.problem(told, cell)


def disagreements(entries: Iterable[Entry]) -> Iterator[Problem]:
    """Records of the same fingerprint, and of the same split of it, that state other facts of them than the first."""
    first: dict[tuple[str, ...], tuple[Entry, dict[str, Any]]] = {}
    for entry in entries:
        for key, facts in _facts(entry).items():
            before, stated = first.setdefault(key, (entry, facts))
            for cell, value in facts.items():
                if value != stated[cell]:
                    told = f"is {value!r}; {before.path} has the same {key[0]} and {stated[cell]!r}"
                    yield Problem(str(entry.path), "", cell, told)


def _facts(entry: Entry) -> dict[tuple[str, ...], dict[str, Any]]:
    data, split = entry.record.data, entry.record.split
    if split is None:
        return {}
    names = {"data.n": data.n, "data.resolution": data.resolution, "data.class_names": data.class_names}
    sizes = {"split.counts": split.counts, "split.groups": split.groups}
    return {
        ("data fingerprint", data.fingerprint): names,
        ("split checksum", data.fingerprint, split.checksum): sizes,
    }
