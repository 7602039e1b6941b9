"""What tells rows of equal names apart: the options in which their runs differ, as they are set on the command line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.record import Record
from leaderboard.rows import Row

MORE_ARMS = ("arms", "ratios", "sizes", "size", "fractions", "balance", "positives", "classical")
"""Options of protocols that say which arms there are, and change none: runs that differ by these make one curve."""
MOST = 3  # options named of a row; the page of its run has them all
SECTIONS = ("protocol", "generator", "classifier")


def variants(rows: Sequence[Row]) -> list[str]:
    """A text for each of ``rows``, which share generator, protocol, arm and classifier: none stands for two.

    Real images are first told apart by the generator that they were run beside. Then come the options that differ, at
    most three, and for rows that these leave alike the digest of the configuration.
    """
    beside: dict[str, list[Row]] = {}
    for row in rows:
        beside.setdefault(_beside(row), []).append(row)
    told = {id(row): text for where, alike in beside.items() for row, text in _by_options(where, alike)}
    times = Counter(told.values())
    return [
        told[id(row)] if times[told[id(row)]] == 1 else ", ".join(filter(None, (told[id(row)], configuration(row))))
        for row in rows
    ]


def configuration(row: Row) -> str:
    """The short digest of all options of a row."""
    return f"configuration {row.identity.digest[:6]}"


def _beside(row: Row) -> str:
    if row.kind not in ("baseline", "ceiling"):
        return ""
    names = sorted({entry.record.generator.name for entry in row.entries if entry.record.generator})
    return f"beside {', '.join(names)}" if names else ""


def _by_options(where: str, rows: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    settings = [dict(_settings(row.entries[-1].record)) for row in rows]
    names = [name for name in dict.fromkeys(name for one in settings for name in one) if _differs(name, settings)]
    for row, one in zip(rows, settings, strict=True):
        given = [_said(name, one, names) for name in names[:MOST]]
        yield row, ", ".join(filter(None, (where, *given)))


def _said(name: str, settings: Mapping[str, Any], names: Sequence[str]) -> str:
    """ "guidance=2"; "no guidance" of a run from before there was such an option."""
    short = _short(name, names)
    return f"{short}={_text(settings[name])}" if name in settings else f"no {short}"


def _settings(record: Record) -> Iterator[tuple[str, Any]]:
    for section in SECTIONS:
        plugin = getattr(record, section)
        if plugin is None:
            continue
        yield f"{section} version", plugin.version
        for name, value in plugin.config.items():
            if section != "protocol" or name not in MORE_ARMS:
                yield f"{section}.{name}", value


def _differs(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    return len({_text(one[name]) if name in one else None for one in settings}) > 1


def _short(name: str, names: Sequence[str]) -> str:
    """``name`` without its section, where no other of ``names`` ends alike."""
    last = name.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in names) == 1 else name


def _text(value: Any) -> str:
    """Short where nothing is lost by it: what is written alike is alike."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
