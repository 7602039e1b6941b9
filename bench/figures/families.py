"""Hard cases beside the images made for them: what was accepted, and how hard each is before and after retraining."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figures.canvas import INK, MUTED
from bench.figures.grids import GAP, Sheet, enlarge
from bench.ledger import Lineage, quartiles, quartiles_text
from bench.pixels import UInt8

CASES = 12  # of each round
CHILDREN = 7  # of each case: the first ones
ACROSS = 8  # images in a row
FRAME = 4
LABEL = 34  # room for two lines of words below an image
BAND, FOOT = 62, 16
ACCEPTED, REJECTED = "#009E73", "#D55E00"  # green and red that colour-blind readers can tell apart


def families_picture(path: Path, rounds: Sequence[Lineage], title: str = "") -> None:
    """Of each round some hard cases, hardest first, each beside its first children framed by what became of them.

    Cases: see :func:`shown_cases`. Below a case: its class, p(true) out of fold when mined and, where a later fold
    looked, after retraining. Below a child: p(true) before and after retraining, and why it was rejected. Raises
    ValueError if there is no round.
    """
    if not rounds:
        raise ValueError("no rounds to draw")
    side = enlarge(np.asarray(rounds[0].cases.pixels[0])).shape[0] + 2 * FRAME
    blocks = [_Block(r, side) for r in rounds]
    sheet = Sheet(max(b.width for b in blocks) + 32, 40 + sum(b.height for b in blocks))
    sheet.write(16, 10, title or "Hard cases and the images made for them", ha="left", fontsize=11, fontweight="bold")
    top = 40
    for block in blocks:
        block.draw(sheet, top)
        top += block.height
    sheet.save(path)


def shown_cases(lineage: Lineage, most: int = CASES) -> NDArray[np.int64]:
    """Rows of at most ``most`` cases, evenly over the ranks of difficulty: the hardest and the easiest among them."""
    order = np.argsort(lineage.case_before, kind="stable")
    places = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(np.int64)
    return order[places]


class _Block:
    """One round: a heading and a grid of families."""

    def __init__(self, lineage: Lineage, side: int) -> None:
        self.lineage, self.side = lineage, side
        self.cases = shown_cases(lineage)
        of_case = [np.flatnonzero(lineage.case_of == case) for case in self.cases]
        self.children = [rows[:CHILDREN] for rows in of_case]
        self.members = 1 + max(1, max(map(len, self.children)))
        self.across = max(1, ACROSS // self.members)
        self.step = side + GAP
        self.family = self.members * self.step + 14
        self.width = max(self.across * self.family, 640)
        self.height = BAND + -(-len(self.cases) // self.across) * (self.step + LABEL) + FOOT

    def draw(self, sheet: Sheet, top: int) -> None:
        """Put it on ``sheet``, its upper edge at ``top``."""
        for line, (words, style) in enumerate(
            zip(_heading(self.lineage), ({"fontweight": "bold"}, {}, {}), strict=True)
        ):
            sheet.write(16, top + 16 * line, words, ha="left", **style)
        for place, case in enumerate(self.cases.tolist()):
            x = 16 + place % self.across * self.family
            y = top + BAND + place // self.across * (self.step + LABEL)
            self._case(sheet, x, y, case)
            for column, child in enumerate(self.children[place].tolist(), start=1):
                self._child(sheet, x + column * self.step, y, child)
            if not len(self.children[place]):
                sheet.write(x + 1.5 * self.step, y + 8, "none made", color=MUTED)

    def _case(self, sheet: Sheet, x: int, y: int, row: int) -> None:
        r = self.lineage
        sheet.paste(x, y, framed(np.asarray(r.cases.pixels[row]), None))
        name = r.cases.class_names[r.cases.labels[row]]
        self._words(sheet, x, y, _change(r.case_before[row], None if r.case_after is None else r.case_after[row]), INK)
        self._words(sheet, x, y + 15, name if len(name) <= 16 else f"{name[:15]}…", MUTED)

    def _child(self, sheet: Sheet, x: int, y: int, row: int) -> None:
        r, accepted = self.lineage, bool(self.lineage.accepted[row])
        sheet.paste(x, y, framed(np.asarray(r.children.pixels[row]), accepted))
        self._words(sheet, x, y, _change(r.child_before[row], r.child_after[row]), INK)
        reason = "accepted" if accepted else r.reasons[row].split(" or ")[0].replace("_", " ")
        self._words(sheet, x, y + 15, reason, ACCEPTED if accepted else REJECTED)

    def _words(self, sheet: Sheet, x: int, y: int, words: str, colour: str) -> None:
        sheet.write(x + self.side / 2, y + self.side + 3, words, color=colour, fontsize=7.5 if len(words) < 18 else 6)


def _heading(r: Lineage) -> list[str]:
    """Three lines: what happened, how hard it was, which cases are shown."""
    accepted = int(r.accepted.sum())
    before, after = (quartiles_text(quartiles(v[r.accepted])) for v in (r.child_before, r.child_after))
    again = "" if r.case_after is None else f" → {quartiles_text(quartiles(r.case_after))}"
    how = "made from them" if r.answers == "case" else "made for their class"
    return [
        f"Round {r.round}: {len(r.cases):,} hard cases, {len(r.children):,} images {how}, {accepted:,} accepted",
        f"p(true), median (quartiles): cases out of fold {quartiles_text(quartiles(r.case_before))}{again}; "
        f"accepted images {before} → {after}",
        f"{len(shown_cases(r))} cases evenly over the ranks of difficulty; → after retraining; "
        "green frame accepted, red rejected",
    ]


def _change(before: float, after: float | None) -> str:
    return f"p {before:.2f}" if after is None else f"p {before:.2f} → {after:.2f}"


def framed(image: UInt8, accepted: bool | None) -> UInt8:
    """``image`` enlarged in a frame of FRAME pixels: green accepted, red rejected, None no frame."""
    tile = enlarge(image)
    height, width = tile.shape[0] + 2 * FRAME, tile.shape[1] + 2 * FRAME
    out = np.full((height, width, 3), 255, dtype=np.uint8)
    if accepted is not None:
        colour = ACCEPTED if accepted else REJECTED
        out[:] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    out[FRAME:-FRAME, FRAME:-FRAME] = tile
    return out
