"""The ledger on the page of a run: each image beside its case, words only, nothing that a name could break."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.ledger import families_title
from bench.ledger_file import read_ledger
from leaderboard import run_ledger
from leaderboard.add import publish
from leaderboard.load import Entry, load
from leaderboard.pages import run_html
from tests.bench.test_ledger_file import FILE, with_ledger
from tests.leaderboard.runs import make_run

EVIL = "<script>alert(1)</script>"


class Rows(HTMLParser):
    """The cells of each row, a cell that spans rows in each of them; and the tags that were opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.still: list[tuple[int, str]] = []  # (rows left, text) of the cells that span
        self.span = 0
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([text for left, text in self.still if left])
            self.still = [(left - 1, text) for left, text in self.still if left]
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.span, self.inside = int(dict(attrs).get("rowspan") or 1), True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self.inside:
            self.inside = False
            if self.span > 1:
                self.still.append((self.span - 1, self.rows[-1][-1]))

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def entry(folder: Path, **sizes: int) -> Entry:
    folder.mkdir(exist_ok=True)
    with_ledger(folder, **sizes)
    return load([folder]).entries[0]


def test_every_image_stands_in_the_row_of_its_case(tmp_path: Path) -> None:
    shown = entry(tmp_path / "run", per_case=3)
    rows = [row for row in Rows(run_ledger.ledger(shown)).rows if len(row) == 5][1:]
    (of,) = read_ledger(shown.record, shown.folder)
    assert of.families
    hardest = of.families.hardest()[:40]
    assert len(rows) == 3 * 40
    expected = [(case.id + case.label, child) for case in hardest for child in case.children]
    for row, (case, child) in zip(rows, expected, strict=True):
        assert row[0] == case
        assert row[2] == child.outcome + child.id
        assert row[3] == f"{child.before:.2f} → {child.after:.2f}"
        assert row[4] == f"{child.judge:.2f}"


def test_the_page_says_how_many_there_are_and_folds_each_round(tmp_path: Path) -> None:
    page = run_html(entry(tmp_path / "run", rounds=2), "0" * 64, {})
    for r in (1, 2):
        assert f"<summary>Seed 0, round {r}: the 40 hardest of 50 cases and the images made from them" in page
    assert "bench show RUN --ledger --json" in page
    totals = [row for row in Rows(page).rows if row and row[0].startswith("seed 0, round")]
    assert [row[:6] for row in totals] == [
        ["seed 0, round 1", "50", "100", "67", "label check 33", "0.812"],
        ["seed 0, round 2 (used)", "50", "100", "67", "label check 33", "0.812"],
    ]


def test_many_images_of_a_case_are_counted(tmp_path: Path) -> None:
    rows = Rows(run_ledger.ledger(entry(tmp_path / "run", n=2, per_case=11))).rows
    assert [row[-1].split(",")[0] for row in rows if "more, " in row[-1]] == ["3 more"] * 2
    assert len([row for row in rows if len(row) == 5]) == 1 + 2 * 8


@pytest.mark.parametrize("place", ["case", "class", "child", "reason"])
def test_a_hostile_name_is_text(place: str, tmp_path: Path) -> None:
    shown = entry(tmp_path / "run", n=3)
    path = shown.folder / FILE.format(0)
    content = json.loads(path.read_text())
    case = content["rounds"][0]["cases"][0]
    if place in ("case", "class"):
        case["id" if place == "case" else "class"] = EVIL
    else:
        case["children"][0] |= {"id": EVIL} if place == "child" else {"accepted": False, "reason": EVIL}
    path.write_text(json.dumps(content))
    shown.record.checksums = {}
    page = run_ledger.ledger(shown)
    assert EVIL not in page
    assert "script" not in Rows(page).tags
    assert any(EVIL in cell for row in Rows(page).rows for cell in row)


def test_a_hostile_reason_in_the_record_is_text(tmp_path: Path) -> None:
    shown = entry(tmp_path / "run", n=3)
    shown.record.ledger[0]["rejected"] = {EVIL: 3}
    page = run_ledger.ledger(shown)
    assert EVIL not in page
    assert f"{EVIL} 3" in {cell for row in Rows(page).rows for cell in row}


def test_a_broken_ledger_is_said_and_nothing_else_is_lost(tmp_path: Path) -> None:
    shown = entry(tmp_path / "run")
    (shown.folder / FILE.format(0)).write_text("{")
    page = run_html(shown, "0" * 64, {})
    assert "The ledger cannot be shown whole: ledger/children-seed0.json: not the bytes" in page
    assert str(tmp_path) not in page
    assert "label check 33" in page
    shown.record.ledger[0]["made"] = "many"
    assert "not readable" in run_html(shown, "0" * 64, {})


def test_what_is_published_holds_the_hardest_cases_in_words_and_no_image(tmp_path: Path) -> None:
    (tmp_path / "run" / "figures").mkdir(parents=True)
    told = with_ledger(tmp_path / "run", rounds=2)
    picture = "figures/hard-cases-seed0.png"
    (tmp_path / "run" / picture).write_bytes(b"\x89PNG" + bytes(100))
    files = {**told.files, "hard cases and their children, seed 0": picture}
    path = make_run(tmp_path / "run", seeds=(0,), ledger=told.ledger, files=files, checksums=told.checksums)
    before = load([path]).entries[0]
    folder = publish(before, tmp_path / "board" / "run")
    (after,) = load([folder]).entries
    assert not list(folder.rglob("*.png"))
    assert after.record.files == {families_title(0): FILE.format(0)}
    assert after.record.checksums.keys() == {FILE.format(0)}
    assert FILE.format(0) in json.loads((folder / "seal.json").read_text())["files"]
    whole, kept = (read_ledger(e.record, e.folder) for e in (before, after))
    for of, cut in zip(whole, kept, strict=True):
        assert of.families
        assert cut.families
        assert cut.families.cases == of.families.hardest()[:40]
        assert cut.totals == of.totals
    page = run_ledger.ledger(after)
    assert "the 40 hardest of 50 cases" in page
    assert "--json" not in page, "the others are not there"
    assert "<img" not in page


def test_a_record_that_keeps_totals_alone_says_so(tmp_path: Path) -> None:
    shown = entry(tmp_path / "run")
    shown.record.files, shown.record.checksums = {}, {}
    page = run_ledger.ledger(shown)
    assert "no such file lies beside this record" in page
    assert "label check 33" in page


def test_other_protocols_keep_their_table_of_events(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", ledger=[{"seed": 0, "event": "added", "arm": "A1", "counts": [3, 4]}])
    rows = Rows(run_ledger.ledger(load([path]).entries[0])).rows
    assert rows == [["event", "arm", "seed", "counts"], ["added", "A1", "0", "3, 4"]]
    shutil.rmtree(path.parent)
    assert run_ledger.ledger(load([make_run(tmp_path / "run")]).entries[0]) == ""
