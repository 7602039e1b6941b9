"""What is printed: every row, every name as text, equal bytes for equal records."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.record import Record
from leaderboard import exchange, latex, markdown, sheet
from leaderboard.board import Board, Cell, build
from leaderboard.load import load
from leaderboard.pages import track_page
from leaderboard.site import build_site
from leaderboard.words import cautions, cell_text, role
from tests.leaderboard.runs import make_run

HOSTILE = '<script>alert("x")</script>'
RECORDS = Path(__file__).parents[2] / "leaderboard" / "records"
FORMULA = '=HYPERLINK("http://x","y")'


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two entrants with hostile names, a control, a smoke run, a failed run, half a record."""
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "a", HOSTILE, command=f"bench run --generator '{HOSTILE}'", stream=1)
    make_run(root / "b", FORMULA, stream=2)
    make_run(root / "c", "oracle", {"C0": (2.0, 0), "A1": (2.6, 500)}, control=True, stream=3)
    make_run(root / "d", "quick", {"A1": (2.6, 500)}, (0,), preset="smoke", ranked=False, stream=4)
    failure = {"seed": 0, "phase": "fit | pggan", "error": "StageError", "message": "loss is NaN", "elapsed_seconds": 1}
    make_run(root / "e", "pggan", {}, (0,), status="failed", failures=[failure], fidelity=[])
    (root / "f").mkdir()
    (root / "f" / "record.json").write_text('{"run_id": "<b>half a record</b>"}')
    return root


@pytest.fixture(scope="module")
def board(records: Path) -> Board:
    return build(load([records]))


@pytest.fixture(scope="module")
def site(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    build_site([records], out)
    return out


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


def html_pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def track_text(site: Path) -> str:
    (page,) = (site / "tracks").glob("*.html")
    return page.read_text()


def test_a_hostile_name_shows_as_text_and_runs_nothing(site: Path) -> None:
    seen = 0
    for path in html_pages(site):
        page = path.read_text()
        assert HOSTILE not in page, path
        assert "<b>half a record</b>" not in page
        parsed = Page(page)
        assert [tag for tag, _ in parsed.tags].count("script") == 2
        assert not [key for _, attributes in parsed.tags for key in attributes if key.startswith("on")]
        seen += any(HOSTILE in text for text in parsed.text)
    assert seen >= 3  # index, track, run
    assert html.escape(HOSTILE) in track_text(site)
    assert "<script>" not in (site / "leaderboard.md").read_text()


def test_no_page_asks_the_network_for_anything(site: Path) -> None:
    for path in html_pages(site):
        page = path.read_text()
        parsed = Page(page)
        for tag, attributes in parsed.tags:
            assert (attributes.get("src") or "data:").startswith("data:"), tag
            assert not re.match(r"(https?:)?//", attributes.get("href") or ""), attributes
        assert not re.search(r"@import|url\(", page)
        (policy,) = [a.get("content") or "" for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy


def test_ids_are_unique_and_links_lead_somewhere(site: Path) -> None:
    for path in html_pages(site):
        parsed = Page(path.read_text())
        ids = [a["id"] for _, a in parsed.tags if "id" in a]
        assert len(ids) == len(set(ids))
        for tag, attributes in parsed.tags:
            address = attributes.get("href") or "#main"
            if tag == "a" and not address.startswith("#"):
                assert (path.parent / address).exists(), address
            for key in ("aria-labelledby", "aria-controls"):
                assert attributes.get(key, "main") in ids
            if tag == "a" and address.startswith("#"):
                assert address[1:] in ids


def test_every_row_is_in_every_format(board: Board, site: Path) -> None:
    rows = sum(len(track.lines) for track in board.tracks)
    assert rows == 6 + 2  # noise and copy are not run yet
    assert len(re.findall(r'<tr class="[^"]*" data-kind', track_text(site))) == rows
    assert len(list(csv.DictReader(io.StringIO((site / "leaderboard.csv").read_text())))) == rows
    ranked = (site / "leaderboard.md").read_text().split("(reported, not re-measured)")[0]
    body = [line for line in ranked.splitlines() if line.startswith("| ")]
    assert len(body) == rows + 1 + 2  # a head, colour floor, real against real
    stored = json.loads((site / "leaderboard.json").read_text())
    assert sum(len(track["rows"]) for track in stored["tracks"]) == rows
    assert [row["record"].endswith("f/record.json") for row in stored["unreadable"]] == [True]
    classified, drawn = (site / "leaderboard.tex").read_text().split(r"\end{tabular}")[:2]
    assert len([line for line in classified.splitlines() if line.endswith(r"\\")]) == rows + 1 + 1  # head, colour floor
    with_images = sum(line.cells["kid"].value is not None for track in board.tracks for line in track.lines)
    assert len([line for line in drawn.splitlines() if line.endswith(r"\\")]) == with_images + 1 + 1 > 4


def test_a_run_has_a_page_and_its_rows_lead_there(site: Path) -> None:
    assert sorted(path.stem for path in (site / "runs").glob("*.html")) == ["a", "b", "c", "d", "e"]
    page = (site / "runs" / "a.html").read_text()
    text = " ".join(Page(page).text)
    for words in ("Provenance", "Reproduce", f"bench run --generator '{HOSTILE}'", "0123456789abcdef", "sha256",
                  "Comparisons", "Fidelity and memorization", "Environment", "Configuration"):  # fmt: skip
        assert words in text, words
    assert "ROC curves" in page
    assert 'href="runs/' not in track_text(site)
    assert 'href="../runs/a.html"' in track_text(site)


def test_failed_and_smoke_rows_stay_visible_with_their_reason(board: Board, site: Path) -> None:
    lines = {line.names[0]: line for track in board.tracks for line in track.lines}
    assert [lines["pggan"].row.status, lines["quick"].row.status] == ["failed", "unranked"]
    assert lines["pggan"].standing is lines["quick"].standing is None
    for text in (track_text(site), (site / "leaderboard.md").read_text()):
        assert "loss is NaN" in text
        assert "preset smoke" in text
    for text in ((site / "index.html").read_text(), (site / "leaderboard.md").read_text()):
        assert "half a record" in text or "f/record.json" in text
    order = [line.row.status for track in board.tracks for line in track.lines]
    assert order == sorted(order, key=["ranked", "gated", "unranked", "incomplete", "failed", "absent"].index)


def test_controls_that_nobody_ran_have_a_row_that_says_so(board: Board, site: Path) -> None:
    absent = {line.row.kind: line for track in board.tracks for line in track.lines if line.row.status == "absent"}
    assert sorted(absent) == ["floor", "sentinel"]
    assert all(line.standing is None and line.auc.value is None for line in absent.values())
    for text in (track_text(site), (site / "leaderboard.md").read_text()):
        assert "not run yet: repeat a run of this table with --generator noise" in text.replace("\\", "")


def test_published_results_stand_apart_and_say_that_they_were_not_measured_here(site: Path) -> None:
    from leaderboard.published import published_tables

    page = (site / "published.html").read_text()
    assert page.count("reported, not re-measured") > len(published_tables()) > 3
    words = Page(page).text
    for table in published_tables():
        for row in table.rows:
            assert set(row) - {""} <= set(words), row
    assert "published.html" in (site / "index.html").read_text()


def test_a_submission_from_elsewhere_is_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "theirs", {"A1": (2.0, 500)}, (0,), origin="external")
    (track,) = build(load([tmp_path])).tracks
    assert "external: scored here, trained elsewhere" in markdown.section(track)


def test_rows_without_synthetic_images_do_not_bear_the_name_of_a_generator(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "ldm", {"C0": (2.0, 0), "C6": (2.4, 0), "guided": (2.1, 500)}, (0,))
    (track,) = build(load([tmp_path])).tracks
    names = {line.names[2]: line.names[0] for line in track.lines if line.row.sources}
    assert names == {"C0": "real images", "C6": "held-out real images", "guided": "ldm"}


def test_rows_with_equal_names_are_told_apart(tmp_path: Path) -> None:
    for i, generator in enumerate(("ldm", "ddpm")):
        make_run(tmp_path / generator, generator, {"C2": (2.0 + i / 10, 0), "A1": (2.0, 500)}, (0,), stream=i)
    (track,) = build(load([tmp_path])).tracks
    variants = {line.variant for line in track.lines if line.row.kind == "baseline"}
    assert len(variants) == 2
    assert {variant.split(",")[0] for variant in variants} == {"beside ldm", "beside ddpm"}
    assert {line.variant for line in track.lines if line.row.kind == "entrant"} == {""}


def test_the_header_says_what_can_be_seen(board: Board, site: Path) -> None:
    page = track_text(site)
    (track,) = board.tracks
    assert track.ranking.minimum_detectable_difference is not None
    words = " ".join(Page(page).text)
    for fact in ("Test images 300", "of class melanoma 60", "Lesions or patients 150"):
        assert fact in words
    assert f"{track.ranking.minimum_detectable_difference:.3f} AUC" in words
    assert [r.name for r in track.references] == ["colour floor", "real against real, n = 100"]
    assert "A claim needs at least 10 paired seeds" in page
    assert "300 test images of 150 groups, 60 of class melanoma" in (site / "leaderboard.md").read_text()


def test_a_distance_measured_another_way_is_told_and_no_floor_mixes_both(tmp_path: Path) -> None:
    make_run(tmp_path / "new", "ddpm", created="2026-03-01T00:00:00Z")
    old = Record.read(make_run(tmp_path / "old", "ldm"))
    (before,) = build(load([tmp_path])).tracks
    assert not any("another way" in caution for caution in cautions(before))
    for fidelity in old.fidelity:
        for part in (fidelity.metrics, fidelity.floor):
            part["kid"].method, part["kid"].value = "all pairs", 7.0
    old.write(tmp_path / "old" / "record.json")
    (track,) = build(load([tmp_path])).tracks
    (told,) = [caution for caution in cautions(track) if "another way" in caution]
    assert told.startswith("KID of 1 row from older runs was measured another way (all pairs)")
    (real,) = [r for r in track.references if r.name.startswith("real against real")]
    (floor,) = [r for r in before.references if r.name.startswith("real against real")]
    assert real.cells["kid"].value == floor.cells["kid"].value


def test_seeds_of_two_methods_are_not_averaged(tmp_path: Path) -> None:
    old = Record.read(make_run(tmp_path / "old", "ldm", seeds=(0, 1, 2)))
    for fidelity in old.fidelity:
        fidelity.metrics["kid"].method, fidelity.metrics["kid"].value = "all pairs", 7.0
    old.write(tmp_path / "old" / "record.json")
    make_run(tmp_path / "new", "ldm", seeds=(0, 1), created="2026-03-01T00:00:00Z")
    (track,) = build(load([tmp_path])).tracks
    (line,) = [line for line in track.lines if line.row.kind == "entrant"]
    assert line.row.seeds == [0, 1, 2]
    assert line.cells["kid"].value < 1
    assert "mean of 2 seeds" in line.cells["kid"].how
    assert "mean of 3 seeds" in line.cells["fid"].how
    assert not any("another way" in caution for caution in cautions(track))


def test_controls_beaten_are_counted_after_correction(tmp_path: Path) -> None:
    seeds = range(5)  # of two seeds nothing is sure, whatever the difference
    make_run(tmp_path / "a", "good", {"C0": (1.0, 0), "A1": (3.0, 500)}, seeds)
    make_run(tmp_path / "b", "same", {"C0": (1.0, 0), "A1": (1.0, 500)}, seeds, stream=1)
    (track,) = build(load([tmp_path])).tracks
    texts = {line.names[0]: markdown.versus_text(line) for line in track.lines if line.row.kind == "entrant"}
    assert texts == {"good": "1 of 1", "same": "0 of 1"}


def test_csv_keeps_full_precision_and_runs_no_formula(board: Board, site: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((site / "leaderboard.csv").read_text())))
    by_name = {row["generator"]: row for row in rows}
    assert f"'{FORMULA}" in by_name
    for track in board.tracks:
        for line in track.lines:
            if line.names[0] == "oracle":
                assert float(by_name["oracle"]["auc"]) == line.auc.value
    assert by_name["oracle"]["rank"] == ""
    assert by_name["oracle"]["kind"] == "ceiling"
    assert {row["rank"] for row in rows if row["rank"]} == {"1", "2", "3"}


def test_latex_prints_names_literally(site: Path) -> None:
    assert latex.escape(r"50 % of {a_b} \input{x} $1^2~#&") == (
        r"50 \% of \{a\_b\} \textbackslash{}input\{x\} \$1\textasciicircum{}2\textasciitilde{}\#\&"
    )
    tex = (site / "leaderboard.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == tex.count(r"\toprule") == 2
    for part in tex.split(r"\begin{tabular}{")[1:]:
        columns = part.split("}")[0]
        for line in part.splitlines():
            if line.endswith(r"\\"):
                assert len(re.split(r"(?<!\\)&", line)) == len(columns)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a--b---c", "a-{}-b-{}-{}-c"),  # no dash
        ('"x" `y`', r"{\char34}x{\char34} \textasciigrave{}y\textasciigrave{}"),
        ("a\x00b\nc\td", "a b c d"),
        ("1–4", "1--4"),
        ("é ñ ï ß", r"\'{e} \~{n} \"{\i} {\ss}"),
        ("e\u0301", r"\'{e}"),
        ("中 μ", "[U+4E2D] [U+03BC]"),  # no glyph, and pdflatex would stop
    ],
)
def test_latex_makes_no_dashes_and_needs_no_font_encoding(text: str, printed: str) -> None:
    assert latex.escape(text) == printed


def test_latex_is_balanced_whatever_the_names(tmp_path: Path) -> None:
    make_run(tmp_path / "a", r"}{\end{table}%$_^~#&", {"A_{1}%": (2.0, 500), "\\": (2.1, 500)}, (0,))
    (track,) = build(load([tmp_path])).tracks
    tex = latex.document([latex.section(track)])
    code = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\{}%$&#_]", "", code)  # without what is escaped
    depth = [bare[:i].count("{") - bare[:i].count("}") for i in range(len(bare) + 1)]
    assert min(depth) == depth[-1] == 0
    assert bare.replace("{%\n", "{\n").count("%") == 0  # one that ends a line, by intent
    assert not re.search(r"[$#_^~]", re.sub(r"\\label\{[^}]*\}", "", bare))
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", bare)
    tabular = [("begin", "tabular"), ("end", "tabular")]
    assert opened == [("begin", "table"), *tabular, *tabular, ("end", "table")]
    assert code.count(r"\toprule") == code.count(r"\bottomrule") == 2


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: apt-get install texlive-latex-recommended")
def test_latex_compiles_and_prints_the_names(tmp_path: Path) -> None:
    """Names of every character that means something to TeX, and of some that its fonts lack, in a plain article."""
    hostile = [HOSTILE, r"}{\end{table}%$_^~#&|`--", "Łódź-中-σ", "\\input{/etc/passwd}"]
    for i, name in enumerate(hostile):
        make_run(tmp_path / str(i), name, {"C0": (2.0, 0), f"A_{i}%": (2.1, 500)}, (0, 1), stream=i)
    for name, places in (("hostile", [tmp_path]), ("committed", [RECORDS])):
        tables = [latex.section(track) for track in build(load(places)).tracks]
        (tmp_path / f"{name}-board.tex").write_text(latex.document(tables))
        head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
        (tmp_path / f"{name}.tex").write_text(rf"{head}\input{{{name}-board}}\end{{document}}")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", f"{name}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
        assert not re.findall(r"Overfull \\hbox|Missing character|^!", done.stdout, re.MULTILINE)
    if shutil.which("pdftotext"):
        shown = subprocess.run(
            ["pdftotext", "-layout", "hostile.pdf", "-"], cwd=tmp_path, capture_output=True, text=True
        )
        for text in ("<script>", r"\end{table}%$", "[U+4E2D]", r"\input{/etc/passwd}", "A 0%"):
            assert text in shown.stdout  # the underscore of these fonts is a rule, no letter


def test_controls_of_a_guided_arm_are_marked_and_take_no_rank(tmp_path: Path) -> None:
    arms = {"C0": (2.0, 0), "C0b": (2.05, 0), "C2": (2.0, 0), "C6": (2.4, 0), "guided": (2.2, 500),
            "C1": (2.1, 500), "C3": (2.1, 500), "C4": (2.0, 500), "C7": (0.2, 500)}  # fmt: skip
    make_run(tmp_path / "a", "ldm", arms, (0,), shift=0.8)  # too far from real images to seem copied
    make_run(tmp_path / "b", "noise", {"guided": (1.0, 500), "C1": (1.0, 500)}, (0,), control=True)
    (track,) = build(load([tmp_path])).tracks
    lines = {line.names[2]: line for line in track.lines if line.names[0] != "noise"}
    assert {arm: role(line) for arm, line in lines.items() if arm} == {
        "C0": "baseline", "C0b": "baseline", "C2": "baseline", "C6": "ceiling", "guided": "", "C1": "control of guided",
        "C3": "control of guided", "C4": "control of guided", "C7": "sentinel of guided",
    }  # fmt: skip
    assert {arm for arm, line in lines.items() if line.standing} == {"C0", "C0b", "C2", "guided"}
    assert lines["C1"].auc.value is not None
    assert {line.row.kind for line in track.lines if line.names[0] == "noise"} == {"floor"}
    assert [line.names[0] for line in track.lines if line.row.status == "absent"] == ["copy"]  # C7 is not that sentinel
    for text in (markdown.section(track), track_page(track, {})):
        assert "control of guided" in text
    (row,) = [r for r in csv.DictReader(io.StringIO(sheet.document([sheet.section(track)]))) if r["arm"] == "C7"]
    assert (row["kind"], row["control_of"], row["rank"]) == ("sentinel", "guided", "")


def test_a_control_that_copies_is_told_too(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "thief", {"guided": (2.2, 500), "C1": (2.1, 500)}, (0,), copies=0.4)
    (track,) = build(load([tmp_path])).tracks
    assert {line.row.status for line in track.lines if line.row.sources} == {"gated"}


def test_the_literature_is_in_the_files_for_programs_too(site: Path) -> None:
    stored = json.loads((site / "leaderboard.json").read_text())
    assert {table["status"] for table in stored["published"]} == {"reported, not re-measured"}
    text = (site / "leaderboard.md").read_text()
    assert text.count("(reported, not re-measured)") == len(stored["published"])


def test_a_board_without_tracks_is_a_page_too() -> None:
    from leaderboard.pages import index_page

    assert "No record yet" in index_page([], {}, "", 0)
    assert sheet.document([]) == ""
    assert json.loads(exchange.document([], {}, ""))["tracks"] == []
    assert markdown.document([], {}) == "# Leaderboard\n"


def test_a_page_can_be_made_of_a_board_alone(board: Board) -> None:
    (track,) = board.tracks
    assert "<a href=" not in track_page(track, {}).split("<tbody")[1]


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
    assert markdown.escape("a|b_c*\n<i>`x`[y](z)") == "a\\|b\\_c\\* &lt;i&gt;\\`x\\`\\[y\\](z)"
    assert markdown.escape("0.871 [0.853, 0.890]") == "0.871 [0.853, 0.890]"
