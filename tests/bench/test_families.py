"""The picture of hard cases and their children: which cases are drawn, what stands beside them, and in which frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.figures import families_picture
from bench.figures.families import ACCEPTED, CASES, CHILDREN, FRAME, REJECTED, framed, shown_cases
from bench.figures.grids import Sheet, enlarge
from bench.ledger import Lineage
from tests.worlds import discs


def lineage(n: int = 5, per_case: int = 3, r: int = 1, **changed: Any) -> Lineage:
    """n cases with ``per_case`` children each, in turns over the cases; every third child is rejected."""
    cases, m = discs(n, r), n * per_case
    children = discs(m, 100 + r, prefix="syn-")
    rng = np.random.default_rng(r)
    before, after, judge = rng.uniform(0.1, 0.9, (3, m)).astype(np.float32)
    accepted = np.arange(m) % 3 != 2
    made = Lineage(
        round=r, cases=cases, children=children, case_of=np.arange(m, dtype=np.int64) % n, answers="case",
        accepted=accepted, reasons=["" if ok else "lost_by_blur or lost_by_jpeg" for ok in accepted],
        case_before=rng.permutation(np.linspace(0.1, 0.7, n)).astype(np.float32),
        case_after=rng.uniform(0.2, 0.9, n).astype(np.float32),
        child_before=before, child_after=after, child_judge=judge,
    )  # fmt: skip
    return replace(made, **changed)


def code(pixels: np.ndarray) -> np.ndarray:
    """One number a pixel, uint32 [H, W]."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    return red << 16 | green << 8 | blue


class Drawn:
    """A picture, read back from its file, and the words that were put on it."""

    def __init__(self, path: Path, words: list[str]) -> None:
        self.pixels = np.asarray(Image.open(path).convert("RGB"))
        self.codes = code(self.pixels)
        self.words = words

    def places(self, tile: np.ndarray) -> list[tuple[int, int]]:
        """(top, left) of each place where ``tile`` uint8 [H, W, 3] is, to the pixel."""
        inner = code(tile[FRAME:-FRAME, FRAME:-FRAME])
        height, width = inner.shape
        first, last = self.codes[: 1 - height, : 1 - width], self.codes[height - 1 :, width - 1 :]
        found = [
            (y, x) for y, x in np.argwhere((first == inner[0, 0]) & (last == inner[-1, -1])).tolist()
            if np.array_equal(self.codes[y : y + height, x : x + width], inner)
        ]  # fmt: skip
        return [(y - FRAME, x - FRAME) for y, x in found]

    def frame(self, place: tuple[int, int]) -> tuple[int, ...]:
        """The colour of the frame at a place."""
        return tuple(int(v) for v in self.pixels[place[0] + 1, place[1] + 1])


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    words: list[str] = []
    write = Sheet.write

    def drawn(*rounds: Lineage, title: str = "", lettered: bool = False) -> Drawn:
        """The picture; letters, which take most of its time, are set only if ``lettered``."""

        def heard(self: Sheet, x: float, y: float, text: str, **style: Any) -> None:
            words.append(text)
            if lettered:
                write(self, x, y, text, **style)

        monkeypatch.setattr(Sheet, "write", heard)
        families_picture(tmp_path / "families.png", rounds, title)
        return Drawn(tmp_path / "families.png", words)

    return drawn


def colour(code: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(code.lstrip("#")))


@given(n=st.integers(1, 60), most=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_shown_cases_are_spread_over_the_ranks_from_the_hardest_to_the_easiest(n: int, most: int, seed: int) -> None:
    p = np.random.default_rng(seed).permutation(np.linspace(0.05, 0.75, n)).astype(np.float32)
    rows = shown_cases(replace(lineage(n, 1), case_before=p), most)
    ranks = np.argsort(np.argsort(p, kind="stable"), kind="stable")[rows]
    assert len(rows) == len(set(rows.tolist())) == min(n, most)
    assert ranks[0] == 0
    assert most == 1 or ranks[-1] == n - 1
    gaps = np.diff(ranks)
    assert (gaps > 0).all(), "hardest first"
    assert not len(gaps) or gaps.max() - gaps.min() <= 1, "evenly"


def test_a_frame_is_green_or_red_around_the_image_itself() -> None:
    image = discs(1, 3).pixels[0]
    for accepted, wanted in ((True, ACCEPTED), (False, REJECTED)):
        tile = framed(np.asarray(image), accepted)
        assert np.array_equal(tile[FRAME:-FRAME, FRAME:-FRAME], enlarge(np.asarray(image)))
        edge = np.ones(tile.shape[:2], dtype=bool)
        edge[FRAME:-FRAME, FRAME:-FRAME] = False
        assert {tuple(v) for v in tile[edge].tolist()} == {colour(wanted)}
    assert (framed(np.asarray(image), None)[:FRAME] == 255).all()


def test_each_case_stands_before_its_children_in_their_frames(draw: Any) -> None:
    of = lineage()
    found = draw(of)
    rows = []
    for case in range(len(of.cases)):
        (home,) = found.places(framed(np.asarray(of.cases.pixels[case]), None))
        assert found.frame(home) == (255, 255, 255)
        mine = np.flatnonzero(of.case_of == case)
        places = []
        for child in mine.tolist():
            (place,) = found.places(framed(np.asarray(of.children.pixels[child]), True))
            assert found.frame(place) == colour(ACCEPTED if of.accepted[child] else REJECTED)
            places.append(place)
        assert {top for top, _ in places} == {home[0]}, "in the row of their case"
        lefts = [home[1], *(left for _, left in places)]
        assert len(set(np.diff(lefts))) == 1, "beside it, in their order, at equal steps"
        assert lefts == sorted(lefts)
        rows.append((float(of.case_before[case]), home))
    assert [home for _, home in sorted(rows)] == sorted(home for _, home in rows), "the hardest case first"


def test_words_tell_what_became_of_each(draw: Any) -> None:
    of = lineage()
    words = draw(of, title="seed 3").words
    assert words[0] == "seed 3"
    assert words[1] == "Round 1: 5 hard cases, 15 images made from them, 10 accepted"
    assert words.count("accepted") == 10
    assert words.count("lost by blur") == 5
    for before, after in (*zip(of.case_before, of.case_after, strict=True),
                          *zip(of.child_before, of.child_after, strict=True)):  # fmt: skip
        assert f"p {before:.2f} → {after:.2f}" in words
    names = [of.cases.class_names[k] for k in of.cases.labels]
    assert sorted(w for w in words if w in of.cases.class_names) == sorted(names)
    quartiles = np.quantile(of.child_before[of.accepted], (0.5, 0.25, 0.75))
    assert "accepted images {:.2f} ({:.2f}–{:.2f})".format(*quartiles) in words[2]


def test_of_many_cases_and_children_the_first_are_drawn_and_no_other(draw: Any) -> None:
    of = lineage(n=CASES + 2, per_case=CHILDREN + 1)
    found, cases = draw(of), set(shown_cases(of).tolist())
    assert len(cases) == CASES < len(of.cases)
    for case in range(len(of.cases)):
        assert len(found.places(framed(np.asarray(of.cases.pixels[case]), None))) == (case in cases)
    drawn = {c for case in cases for c in np.flatnonzero(of.case_of == case)[:CHILDREN].tolist()}
    some = [*sorted(drawn)[::9], *sorted(set(range(len(of.children))) - drawn)[::5]]
    for child in some:
        assert len(found.places(framed(np.asarray(of.children.pixels[child]), True))) == (child in drawn)


def test_rounds_stand_below_each_other_and_cases_without_children_say_so(draw: Any) -> None:
    first, last = lineage(), lineage(n=4, r=2, case_after=None)
    alone = np.zeros(len(last.children), dtype=np.int64)  # all children are of one case
    last = replace(last, case_of=alone, answers="class")
    found = draw(first, last, lettered=True)  # no word covers an image
    ends = [
        [found.places(framed(np.asarray(pixels), None))[0][0] for pixels in of.cases.pixels] for of in (first, last)
    ]
    assert max(ends[0]) < min(ends[1])
    assert found.words.count("none made") == 3
    assert any("12 images made for their class" in words for words in found.words)
    for before in last.case_before:
        assert f"p {before:.2f}" in found.words, "no later fold looked"


def test_without_a_round_there_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rounds to draw"):
        families_picture(tmp_path / "x.png", [])
    assert not list(tmp_path.iterdir())
