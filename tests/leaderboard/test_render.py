"""What is printed: every row, every name as text, equal bytes for equal records."""

from __future__ import annotations

import csv
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leaderboard.board import Board, Cell, build
from leaderboard.load import load
from leaderboard.render import Scale, cell_text, escape, markdown, table, write
from leaderboard.render import html as page_of
from tests.leaderboard.runs import make_run

HOSTILE = '<script>alert("x")</script>'
FORMULA = '=HYPERLINK("http://x","y")'


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """Two entrants with hostile names, a control, a smoke run and a failed run."""
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "a", HOSTILE, command=f"bench run --generator '{HOSTILE}'", stream=1)
    make_run(root / "b", FORMULA, stream=2)
    make_run(root / "c", "oracle", {"C0": (2.0, 0), "A1": (2.6, 500)}, control=True, stream=3)
    make_run(root / "d", "quick", {"A1": (2.6, 500)}, (0,), preset="smoke", ranked=False, stream=4)
    failure = {"seed": 0, "phase": "fit | pggan", "error": "StageError", "message": "loss is NaN", "elapsed_seconds": 1}
    make_run(root / "e", "pggan", {}, (0,), status="failed", failures=[failure], fidelity=[])
    (root / "f").mkdir()
    (root / "f" / "record.json").write_text('{"run_id": "<b>half a record</b>"}')
    return build(load([root]))


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_hostile_name_shows_as_text_and_runs_nothing(board: Board) -> None:
    page = page_of(board)
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page.replace("&#34;", "&quot;")
    parsed = Page(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert any(HOSTILE in text for text in parsed.text)
    assert "<b>half a record</b>" not in page
    assert "<script>" not in markdown(board)


def test_the_page_asks_the_network_for_nothing(board: Board) -> None:
    parsed = Page(page_of(board))
    for tag, attributes in parsed.tags:
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "#").startswith("#")
    policies = [a.get("content") for tag, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]
    assert not re.search(r"@import|url\(", page_of(board))


def test_ids_are_unique_and_links_lead_somewhere(board: Board) -> None:
    parsed = Page(page_of(board))
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a["href"] or "").removeprefix("#") for tag, a in parsed.tags if tag == "a"}
    targets |= {a["aria-labelledby"] or "" for _, a in parsed.tags if "aria-labelledby" in a}
    targets |= {a["aria-controls"] or "" for _, a in parsed.tags if "aria-controls" in a}
    assert targets <= set(ids)


def test_every_row_is_in_every_format(board: Board) -> None:
    rows = sum(len(track.lines) for track in board.tracks)
    assert rows == 6
    assert sum(tag == "article" for tag, _ in Page(page_of(board)).tags) == rows
    assert len(list(csv.DictReader(io.StringIO(table(board))))) == rows
    body = [line for line in markdown(board).splitlines() if line.startswith("| ")]
    assert len(body) == rows + 1 + 2  # a head, colour floor, real against real


def test_failed_and_smoke_rows_stay_visible_with_their_reason(board: Board) -> None:
    lines = {line.names[0]: line for track in board.tracks for line in track.lines}
    assert [lines["pggan"].row.status, lines["quick"].row.status] == ["failed", "unranked"]
    assert lines["pggan"].standing is lines["quick"].standing is None
    for text in (page_of(board), markdown(board)):
        assert "loss is NaN" in text
        assert "preset smoke" in text
        assert "half a record" in text or "f/record.json" in text
    order = [line.row.status for track in board.tracks for line in track.lines]
    assert order == sorted(order, key=["ranked", "gated", "unranked", "incomplete", "failed"].index)


def test_rows_with_equal_names_are_told_apart(tmp_path: Path) -> None:
    for i, generator in enumerate(("ldm", "ddpm")):
        make_run(tmp_path / generator, generator, {"C2": (2.0 + i / 10, 0), "A1": (2.0, 500)}, (0,), stream=i)
    (track,) = build(load([tmp_path])).tracks
    variants = {line.variant for line in track.lines if line.row.kind == "baseline"}
    assert len(variants) == 2
    assert {variant.split(",")[0] for variant in variants} == {"beside ldm", "beside ddpm"}
    assert {line.variant for line in track.lines if line.row.kind == "entrant"} == {""}


def test_the_header_says_what_can_be_seen(board: Board) -> None:
    page = page_of(board)
    (track,) = board.tracks
    assert track.ranking.minimum_detectable_difference is not None
    assert "300 test images of 150 groups, 60 of class melanoma" in page
    assert f"must differ by {track.ranking.minimum_detectable_difference:.3f} AUC" in page
    assert "colour floor" in page
    assert [r.name for r in track.references] == ["colour floor", "real against real, n = 100"]
    assert "A claim needs at least 10 paired seeds" in page


def test_provenance_repeats_the_command(board: Board) -> None:
    text = "".join(Page(page_of(board)).text)
    assert f"bench run --generator '{HOSTILE}'" in text
    assert "commit 0123456789abcdef" in text
    assert "generators." in text


def test_csv_keeps_full_precision_and_runs_no_formula(board: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(table(board))))
    by_name = {row["generator"]: row for row in rows}
    assert f"'{FORMULA}" in by_name
    for track in board.tracks:
        for line in track.lines:
            if line.names[0] == "oracle":
                assert float(by_name["oracle"]["auc"]) == line.auc.value
    assert by_name["oracle"]["rank"] == ""
    assert by_name["oracle"]["kind"] == "ceiling"
    assert {row["rank"] for row in rows if row["rank"]} == {"1", "2", "3"}


def test_equal_records_give_equal_bytes_and_writing_leaves_nothing_behind(board: Board, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in write(board, tmp_path)}
    again = {path.name: path.read_bytes() for path in write(board, tmp_path)}
    assert first == again
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(first)


def test_a_failure_while_rendering_leaves_the_old_files(board: Board, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    write(board, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(_: Board) -> str:
        raise RuntimeError("disk full")

    monkeypatch.setattr("leaderboard.render.html", fail)
    with pytest.raises(RuntimeError):
        write(Board(), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_empty_board_is_a_page_too() -> None:
    assert "No record yet" in page_of(Board())
    assert table(Board()) == ""


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(0.8714, 0.85312, 0.88961), "0.871 [0.853, 0.890]"),
        (Cell(0.8714), "0.871"),
        (Cell(12.345, 11.0, 13.9), "12.3 [11.0, 13.9]"),
        (Cell(None, reason="one class only"), "–"),
        (None, "–"),
    ],
)
def test_numbers_have_the_digits_they_carry(cell: Cell | None, text: str) -> None:
    assert cell_text(cell) == text


def test_markdown_shows_names_literally() -> None:
    assert escape("a|b_c*\n<i>`x`[y](z)") == "a\\|b\\_c\\* &lt;i&gt;\\`x\\`\\[y\\](z)"
    assert escape("0.871 [0.853, 0.890]") == "0.871 [0.853, 0.890]"


def test_the_scale_holds_every_interval(board: Board) -> None:
    (track,) = board.tracks
    scale = Scale.of(track)
    assert (round(scale.low * 20, 6) % 1, round(scale.high * 20, 6) % 1) == (0, 0)
    for line in track.lines:
        if line.auc.low is not None and line.auc.high is not None:
            assert scale.margin <= scale.x(line.auc.low) <= scale.x(line.auc.high) <= scale.width - scale.margin
