"""Quality against memorization: marks that lie on each other have one name, and no words lie on others."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.record import Record
from leaderboard import figures
from leaderboard.board import build
from leaderboard.load import load
from leaderboard.svg import Plot
from tests.leaderboard.runs import make_run

LETTER, HEIGHT = 5.5, 9.0  # of the drawings, in pixels


def notes(html: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(f"<all>{html}</all>")
    return [e for e in root.iter("text") if e.get("class") == "note"]


def box(note: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a word."""
    x, y, width = float(note.get("x", "")), float(note.get("y", "")), LETTER * len(note.text or "")
    left = x - width if note.get("text-anchor") == "end" else x
    return left, y - HEIGHT, left + width, y


def overlap(a: ElementTree.Element, b: ElementTree.Element) -> bool:
    (la, ta, ra, ba), (lb, tb, rb, bb) = box(a), box(b)
    return la < rb and lb < ra and ta < bb and tb < ba


def same_copy_rate(path: Path, value: float) -> None:
    record = Record.read(path)
    for fidelity in record.fidelity:
        rate = fidelity.metrics["copy_rate"]
        fidelity.metrics["copy_rate"] = rate.model_copy(update={"value": value, "low": value, "high": value})
    record.write(path)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two generators whose guided arms and controls lie on one another near the axis, and one alone at the far end."""
    root = tmp_path_factory.mktemp("scatter")
    arms = {"C0": (1.5, 0), "guided": (1.5, 500), "C1": (1.5, 500), "C3": (1.5, 500)}
    for stream, name in enumerate(("ddpm", "latent-diffusion & more")):
        same_copy_rate(make_run(root / name[:4], name, arms, (0,), stream=stream), 0.004)
    same_copy_rate(make_run(root / "copy", "copy", {"S0": (1.5, 500)}, (0,), control=True, stream=3), 1.0)
    (track,) = build(load([root])).tracks
    return figures.quality_and_memorization(track)


def test_rows_of_one_place_are_named_by_generator_entrants_first(crowded: str) -> None:
    words = [note.text or "" for note in notes(crowded)]
    assert words.count("copy") == 1
    of = {
        name: [word for word in words if word.startswith(f"{name} · ")] for name in ("ddpm", "latent-diffusion & more")
    }
    for name, said in of.items():
        arms = [arm for word in said for arm in word.removeprefix(f"{name} · ").split(", ")]
        assert sorted(arms) == ["C1", "C3", "guided"]
        assert len(said) < 3
    assert any(re.search(r"· guided, ", word) for word in words)


def test_no_words_lie_on_others_or_outside_the_drawing(crowded: str) -> None:
    found = notes(crowded)
    assert len(found) >= 4
    assert [(a.text, b.text) for a, b in combinations(found, 2) if overlap(a, b)] == []
    for left, top, right, bottom in map(box, found):
        assert left >= 46 - 12
        assert top >= 0
        assert right <= 420
        assert bottom <= 300 - 40


def test_names_of_near_points_give_way_and_too_many_are_counted() -> None:
    plot = Plot("t", "x", "y", (0.0, 1.0), (0.0, 1.0))
    for i in range(4):
        plot.point(0.5, 0.5 + i / 30, "entrant", f"p{i}")
    for i in range(4):
        plot.name(0.5, 0.5 + i / 30, [f"generator {i}", "and 2 more"])
    found = notes(plot.html())
    assert len(found) == 8
    assert [(a.text, b.text) for a, b in combinations(found, 2) if overlap(a, b)] == []


def test_more_generators_than_fit_at_one_place_are_counted(tmp_path: Path) -> None:
    for i in range(6):
        path = make_run(tmp_path / str(i), f"g{i}", {"A1": (1.5, 500)}, (0,), stream=1)
        same_copy_rate(path, 0.0)
    (track,) = build(load([tmp_path])).tracks
    words = [note.text or "" for note in notes(figures.quality_and_memorization(track))]
    assert words == ["g0", "g1", "g2", "and 3 more"]
