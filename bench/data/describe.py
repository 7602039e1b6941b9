"""What a prepared data set holds, as JSON and as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.base import Prepared
from bench.data.duplicates import stored_duplicates
from bench.data.splits import Splits

if TYPE_CHECKING:
    from rich.console import RenderableType


def describe(prepared: Prepared) -> dict[str, Any]:
    """Counts by part and class, groups, near-duplicates, metadata, terms, notes and unusable files, as JSON."""
    images, table, meta = prepared.images, prepared.table, prepared.meta
    parts = [p for p in ("train", "test") if (table["part"] == p).any()]
    names = np.array(images.class_names)
    pairs = stored_duplicates(prepared)
    return {
        **{k: meta["info"][k] for k in ("name", "title", "licence", "citation")},
        "images": len(images),
        "resolution": meta["resolution"],
        "preprocessing": meta["preprocessing"],
        "fingerprint": prepared.fingerprint,
        "task": meta["task"],
        "positive": names[meta["positive"]].item(),
        "parts": {p: _counts(names[images.labels[table["part"] == p]], names.tolist()) for p in parts},
        "groups_are": meta["info"]["group"],
        "groups": {p: len(np.unique(images.groups[table["part"] == p])) for p in parts},
        "diagnoses": {p: _counts(table["dx"][table["part"] == p]) for p in parts} if "dx" in table else {},
        "near_duplicates": {
            "pairs": len(pairs),
            "of_two_groups": [images.ids[p].tolist() for p in pairs if len(np.unique(images.groups[p])) == 2],
        },
        "masks": meta["mask_names"],
        "columns": sorted(set(table) - {"id", "label", "group", "part", "hash", "split"}),
        "notes": meta["notes"],
        "unusable": meta["bad"],
    }


def describe_splits(splits: Splits) -> dict[str, Any]:
    """Checksum, and counts by split and class, as JSON."""
    return {
        "checksum": splits.checksum,
        "seed": splits.seed,
        "counts": splits.counts(),
        "groups": splits.groups(),
        "notes": list(splits.notes),
    }


def render(summary: dict[str, Any]) -> Iterator[RenderableType]:
    """:func:`describe` for a terminal."""
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2, 0, 0))
    yield Text.assemble((summary["title"], "bold"), f"  {summary['images']:,} images at {summary['resolution']} px")
    facts.add_row("task", f"{summary['task']} (positive: {summary['positive']})")
    facts.add_row("preprocessing", summary["preprocessing"])
    facts.add_row("masks", ", ".join(summary["masks"]) or "none")
    facts.add_row("metadata", ", ".join(summary["columns"]) or "none")
    facts.add_row("licence", summary["licence"])
    facts.add_row("cite", summary["citation"])
    facts.add_row("fingerprint", summary["fingerprint"][:16])
    yield facts
    yield _count_table("part", summary["parts"], summary["groups"], f"{summary['groups_are']}s")
    if summary["diagnoses"] and summary["task"] != "classes":
        yield _count_table("diagnoses", summary["diagnoses"])
    twins = summary["near_duplicates"]
    two = "; ".join(" = ".join(pair) for pair in twins["of_two_groups"][:5])
    across = f", {len(twins['of_two_groups'])} of them of two groups, which are joined: {two}" if two else ""
    yield Text(f"{twins['pairs']} near-duplicate pairs{across}")
    yield from _listed("Notes", summary["notes"])
    yield from _listed("Unusable files", [f"{bad['file']}: {bad['reason']}" for bad in summary["unusable"]])


def render_splits(summary: dict[str, Any]) -> Iterator[RenderableType]:
    """:func:`describe_splits` for a terminal."""
    from rich.text import Text

    yield _count_table("split", summary["counts"], summary["groups"], "groups")
    yield Text(f"checksum {summary['checksum'][:16]}  seed {summary['seed']}")
    yield from _listed("Notes", summary["notes"])


def _counts(values: Any, names: list[str] | None = None) -> dict[str, int]:
    found, counts = np.unique(values, return_counts=True)
    by_name = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return {name: by_name.get(name, 0) for name in names or sorted(by_name, key=lambda n: -by_name[n])}


def _count_table(
    title: str, counts: dict[str, dict[str, int]], groups: dict[str, int] | None = None, groups_are: str = ""
) -> RenderableType:
    from rich.table import Table

    classes = list(dict.fromkeys(c for row in counts.values() for c in row))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(title)
    for column in (*classes, "images", *([groups_are] if groups else [])):
        table.add_column(column, justify="right")
    for name, row in counts.items():
        cells = [*(row.get(c, 0) for c in classes), sum(row.values()), *([groups[name]] if groups else [])]
        table.add_row(name, *(f"{n:,}" for n in cells))
    return table


def _listed(title: str, lines: list[str], most: int = 20) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    if lines:
        yield Text(f"{title}", style="bold")
        yield from (Padding(Text(f"· {line}"), (0, 0, 0, 1)) for line in lines[:most])
    if len(lines) > most:
        yield Text(f"  and {len(lines) - most} more (--json lists all)")
