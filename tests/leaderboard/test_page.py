"""The page in a real browser: sorting, filtering and links work, and the console stays empty."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from leaderboard.board import build
from leaderboard.load import load
from leaderboard.render import write
from tests.leaderboard.runs import make_run

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine: apt-get install chromium")

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--no-first-run", "--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=3000",
    "--window-size=1600,1200",
]  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    make_run(root / "runs" / "a", "ldm", stream=1, shift=0.6)
    make_run(root / "runs" / "b", "<script>alert(1)</script>", {"C0": (2.0, 0), "A1": (1.0, 500)}, stream=2)
    make_run(root / "runs" / "c", "oracle", {"C0": (2.0, 0), "A1": (3.0, 500)}, control=True, stream=3, shift=0)
    make_run(root / "runs" / "d", "quick", {"A1": (2.6, 500)}, (0,), preset="smoke", ranked=False, stream=4)
    write(build(load([root / "runs"])), root / "out")
    return root / "out" / "leaderboard.html"


def browse(page: Path, folder: Path, actions: str) -> dict[str, Any]:
    """Open the page, run ``actions`` (JavaScript that fills ``out``), return ``out`` with what the console said."""
    script = (
        "<script>const out = {}; const rows = () => [...document.querySelectorAll('tbody.rows tr')]"
        ".filter((row) => !row.hidden).map((row) => row.cells[1].querySelector('a').textContent);"
        f"{actions}; document.title = 'out:' + JSON.stringify(out);</script></body>"
    )
    copy = folder / "page.html"
    copy.write_text(page.read_text().replace("</body>", script))
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", copy.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>out:(.*?)</title>", answer.stdout, re.DOTALL)
    assert found, answer.stderr[-2000:]
    out: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    out["console"] = [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
    return out


def test_sort_filter_and_links(page: Path, tmp_path: Path) -> None:
    out = browse(
        page,
        tmp_path,
        """
        out.start = rows();
        const buttons = [...document.querySelectorAll('thead button')];
        const label = (text) => buttons.find((b) => b.textContent.trim().startsWith(text));
        const head = (text) => label(text).closest('th').getAttribute('aria-sort');
        label('KID').click(); out.kid = rows(); out.kidState = head('KID'); out.rankState = head('Rank');
        label('KID').click(); out.kidDown = rows();
        label('AUC').click(); out.auc = rows(); out.aucState = head('AUC');
        label('Rank').click(); out.rank = rows();
        const form = document.querySelector('form.tools');
        const type = (text) => {
          form.querySelector('[type=search]').value = text;
          form.dispatchEvent(new Event('input'));
        };
        type('LDM small'); out.filtered = rows(); out.said = form.querySelector('output').textContent;
        type('nothing like it'); out.none = rows();
        type(''); form.elements.controls.checked = false; form.dispatchEvent(new Event('input')); out.entrants = rows();
        form.elements.unranked.checked = false; form.dispatchEvent(new Event('input')); out.ranked = rows();
        const link = document.querySelector('tbody.rows a');
        location.hash = link.getAttribute('href');
        dispatchEvent(new HashChangeEvent('hashchange'));
        out.open = document.querySelector('details.provenance').open;
        out.focus = document.activeElement.id === link.getAttribute('href').slice(1);
        """,
    )
    hostile = "<script>alert(1)</script>"
    assert out["start"] == ["oracle", "ldm", "real images", hostile, "quick"]
    assert out["kid"][0] == "oracle"
    assert out["kid"][-1] == "real images"  # no number: last, in both directions
    assert out["kidDown"][-1] == "real images"
    assert out["kidDown"][:-1] == out["kid"][:-1][::-1]
    assert (out["kidState"], out["rankState"]) == ("ascending", None)
    assert (out["auc"][0], out["auc"][-1], out["aucState"]) == ("oracle", hostile, "descending")
    assert out["rank"][:3] == ["ldm", "real images", hostile]
    assert (out["filtered"], out["said"], out["none"]) == (["ldm"], "1 of 5 rows", [])
    assert sorted(out["entrants"]) == sorted(["ldm", hostile, "quick"])
    assert sorted(out["ranked"]) == sorted(["ldm", hostile])
    assert out["open"]
    assert out["focus"]
    assert out["console"] == []


def test_the_policy_of_the_page_stops_a_request(page: Path, tmp_path: Path) -> None:
    out = browse(page, tmp_path, "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; out.tried = true")
    assert out["tried"]
    assert any("Content Security Policy" in line for line in out["console"])
