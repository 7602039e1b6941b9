"""The site in a real browser: it sorts, filters, opens and recolours, keeps the console empty, and asks for nothing."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leaderboard.site import build_site
from tests.leaderboard.browser import MISSING, PROGRAM, Browser
from tests.leaderboard.runs import make_run

pytestmark = pytest.mark.skipif(not PROGRAM, reason=MISSING)
HOSTILE = "<script>alert(1)</script>"
SHOWN = "[...document.querySelectorAll('tbody.rows tr')].filter(r => !r.hidden)"
ROWS = f"{SHOWN}.map(r => r.querySelector('.who :first-child').textContent)"
CAPTIONS = "[...document.querySelectorAll('figcaption b')].map(c => c.textContent)"
HEADS = "[...document.querySelectorAll('#board thead th')]"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    ledger = [
        {"seed": s, "event": "chosen round", "arm": a, "round": 2, "val_select_auc": [0.8 + s / 50, 0.84, 0.83]}
        for s in (0, 1) for a in ("A1", "C0")
    ]  # fmt: skip
    make_run(root / "runs" / "a", "ldm", stream=1, shift=0.6, ledger=ledger)
    make_run(root / "runs" / "b", HOSTILE, {"C0": (2.0, 0), "A1": (1.0, 500)}, stream=2)
    make_run(root / "runs" / "c", "oracle", {"C0": (2.0, 0), "A1": (3.0, 500)}, control=True, stream=3, shift=0)
    make_run(root / "runs" / "d", "quick", {"A1": (2.6, 500)}, (0,), preset="smoke", ranked=False, stream=4)
    make_run(root / "runs" / "e", "thief", {"A1": (2.2, 500)}, (0,), copies=0.4, stream=5)
    ratios = {"C0": (2.0, 0), "A0.5": (2.1, 250), "A1": (2.2, 500), "A2": (2.2, 1000)}
    make_run(root / "runs" / "f", "ddpm", ratios, stream=6)
    build_site([root / "runs"], root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture
def table(site: Path, browser: Browser) -> Browser:
    """The page of the only track, opened wide and light."""
    (page,) = (site / "tracks").glob("*.html")
    browser.console.clear()
    browser.requests.clear()
    browser.blocked.clear()
    browser.screen(1600)
    browser.open(page.as_uri())
    return browser


def head(label: str) -> str:
    return f"{HEADS}.find(h => h.textContent.trim().startsWith({json.dumps(label)}))"


def click_head(page: Browser, label: str) -> list[str]:
    """Click a head and return the rows."""
    page.run(f"{head(label)}.querySelector('button').dataset.test = {json.dumps(label)}")
    page.click(f"button[data-test={json.dumps(label)}]")
    rows: list[str] = page.run(ROWS)
    return rows


def type_filter(page: Browser, text: str) -> list[str]:
    """Put the focus into the filter, replace its text, return the rows."""
    page.run("document.querySelector('[type=search]').select()")
    page.send("Input.insertText", text=text)
    if not text:
        page.press("Delete", 46)
    rows: list[str] = page.run(ROWS)
    return rows


def test_heads_sort_and_say_so(table: Browser) -> None:
    start = table.run(ROWS)
    assert start[0] == "oracle"
    assert start[-2:] == ["copy", "noise"]  # not run yet
    for direction in ("ascending", "descending"):
        click_head(table, "KID")
        assert (table.run(f"{head('KID')}.ariaSort"), table.run(f"{head('Rank')}.ariaSort")) == (direction, None)
        values = table.run(f"{SHOWN}.map(r => r.cells[{head('KID')}.cellIndex].dataset.v)")
        known = [float(value) for value in values if value]
        assert known == sorted(known, reverse=direction == "descending")
        assert values[len(known) :] == [""] * 3  # real images, copy and noise have no number: last, both ways
    assert click_head(table, "AUC")[0] == "oracle"
    assert table.run(f"{head('AUC')}.ariaSort") == "descending"
    assert click_head(table, "Rank")[-2:] == ["copy", "noise"]
    assert table.console == []


def test_the_table_sorts_by_keyboard(table: Browser) -> None:
    table.run(f"{head('AUC')}.querySelector('button').focus()")
    table.press("Enter", 13, "\r")
    assert table.run(f"{head('AUC')}.ariaSort") == "descending"
    assert table.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_filters_hide_rows_and_count_them(table: Browser) -> None:
    everything = table.run(ROWS)
    assert type_filter(table, "LDM small") == ["ldm"]
    assert table.run("document.querySelector('output').textContent") == f"1 of {len(everything)} rows"
    assert type_filter(table, "nothing like it") == []
    assert type_filter(table, "script") == [HOSTILE]
    assert type_filter(table, "") == everything
    table.click("[name=controls]")
    assert "oracle" not in table.run(ROWS)
    table.click("[name=unranked]")
    assert set(table.run(ROWS)) == {"ldm", HOSTILE, "ddpm"}


def test_a_row_leads_to_the_page_of_its_run(table: Browser) -> None:
    table.follow("tbody.rows tr:nth-child(2) .who a")
    headings = table.run("[...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert {"Provenance", "Arms on the test images", "Figures", "Configuration", "Environment"} <= set(headings)
    assert table.run("document.querySelectorAll('figure svg[role=img][aria-label]').length") >= 2
    table.follow(".brand")
    assert table.console == []
    assert all(address.startswith(("file:", "data:")) for address in table.requests)


def test_commands_can_be_read_without_leaving_the_table(table: Browser) -> None:
    assert not table.run("document.querySelector('.how').open")
    table.click(".how summary")
    assert table.run("document.querySelector('.how').open")
    assert "python -m bench run" in table.run("document.querySelector('.how[open] code').textContent")


def test_light_and_dark_follow_the_system_until_the_reader_chooses(table: Browser) -> None:
    def paper() -> int:
        return int(table.run("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))

    assert paper() > 200
    table.screen(1600, scheme="dark")
    assert paper() < 60
    table.click("button.scheme")
    assert paper() > 200
    assert "dark" in table.run("document.querySelector('button.scheme').ariaLabel")
    table.run("localStorage.clear()")


def test_every_figure_is_drawn(site: Path, table: Browser) -> None:
    assert table.run(CAPTIONS) == ["Quality and memorization.", "ROC curves.", "Reliability.",
                        "AUC over the amount of synthetic images.", "AUC over rounds."]  # fmt: skip
    assert table.run("document.querySelectorAll('.plot .mark.gated').length") == 1
    drawn = table.run("[...document.querySelectorAll('svg path')].map(p => p.getAttribute('d'))")
    assert not [d for d in drawn if any(word in d for word in ("nan", "inf"))]
    table.open((site / "runs" / "f.html").as_uri())
    assert "AUC over the amount of synthetic images." in table.run(CAPTIONS)


@pytest.mark.parametrize("width", [400, 1600])
def test_no_page_is_wider_than_the_screen(site: Path, browser: Browser, width: int) -> None:
    browser.screen(width)
    for page in (
        site / "index.html",
        site / "published.html",
        *(site / "tracks").glob("*.html"),
        site / "runs" / "a.html",
    ):
        browser.open(page.as_uri())
        assert browser.run("document.documentElement.scrollWidth") <= width, page
        texts = "[...document.querySelectorAll('main *')].filter(e => e.textContent && !e.closest('svg'))"
        assert browser.run(f"Math.min(...{texts}.map(e => parseFloat(getComputedStyle(e).fontSize)))") >= 11


def test_the_policy_of_the_page_stops_requests_and_scripts(table: Browser) -> None:
    table.run("const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i)")
    table.run("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    assert table.run("window.ran ?? null") is None
    table.run("new Promise(done => setTimeout(done, 200))")
    assert sum("Content Security Policy" in text for text in table.console) >= 2
    assert table.blocked == [address for address in table.requests if address.startswith("http")]


def axe() -> Path | None:
    """The accessibility checker: BENCH_AXE, ``npm install axe-core`` in the checkout, or a Python package with it."""
    places = [Path(os.environ.get("BENCH_AXE", "")), Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"]
    for package in ("axe_core_python", "axe_playwright_python"):
        found = importlib.util.find_spec(package)
        places += [Path(found.origin).parent / "axe.min.js"] if found and found.origin else []
    return next((place for place in places if place.is_file()), None)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "published.html", "tracks/*.html", "runs/a.html", "runs/b.html"])
def test_axe_finds_nothing_serious(site: Path, browser: Browser, name: str, scheme: str) -> None:
    checker = axe()
    if checker is None:
        pytest.skip("no axe-core: npm install axe-core, or pip install axe-core-python")
    (page,) = site.glob(name)
    browser.screen(1600, scheme=scheme)
    browser.open(page.as_uri())
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.run(checker.read_text() + "; null")
    violation = "({id: v.id, impact: v.impact, html: v.nodes[0].html})"
    found: list[dict[str, Any]] = browser.run(f"axe.run().then(r => r.violations.map(v => {violation}))")
    assert [v for v in found if v["impact"] in ("serious", "critical")] == []
