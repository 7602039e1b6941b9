"""The table of subgroups: the AUC of every arm by sex, age, site and artifact."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from bench.format import NOTHING, over_seeds
from bench.record import ArmRecord, Record
from bench.tables import make_table, small_print

WIDTH = 14  # of a cell with its interval below


def subgroup_blocks(record: Record, width: int) -> Iterator[RenderableType]:
    """The table and its small print, for a screen of ``width`` columns; nothing where the data set tells no subgroups.

    Subgroups in which no arm has a number are only named.
    """
    by_name: dict[str, list[ArmRecord]] = {}
    for arm in record.arms:
        by_name.setdefault(arm.name, []).append(arm)
    parts = list(dict.fromkeys(part for arm in record.arms for part in map(_part, arm.subgroups) if part))
    if not parts:
        return
    shown = list(by_name.items())[: max(1, (width - 40) // WIDTH)]
    table = make_table("AUC in subgroups of the test images", "subgroup", "positive of all", *(n for n, _ in shown))
    few = []
    for part in parts:
        cells = [[a.subgroups[f"auc[{part}]"] for a in arms if f"auc[{part}]" in a.subgroups] for _, arms in shown]
        first = next(e for cell in cells for e in cell)
        if all(e.value is None for cell in cells for e in cell):
            few.append(part)
            continue
        counts = f"{int(first.extra.get('positives', 0)):,} of {first.n:,}"
        table.add_row(Text(part), counts, *(over_seeds(c, stacked=True) if c else NOTHING for c in cells))
    if table.row_count:
        yield table
    more = (
        f"; arms not shown are in the record: {', '.join(list(by_name)[len(shown) :])}"
        if len(by_name) > len(shown)
        else ""
    )
    named = f"fewer than 20 positives or negatives: {', '.join(few)}" if few else "subgroups are described, not tested"
    yield small_print(f"{named}{more}; sensitivity and specificity of each subgroup are in the record")


def _part(name: str) -> str:
    """ "sex=female" of "auc[sex=female]", "" of other metrics."""
    return name.removeprefix("auc[").removesuffix("]") if name.startswith("auc[") else ""
