"""Curves over amounts: every point and interval where its numbers say, read back from the drawing by its own axes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.amounts import RATIO, SHARE, SIZE
from bench.record import PluginRecord, Record
from leaderboard import figures, sweeps
from leaderboard.board import Line, TrackBoard, build
from leaderboard.load import Entry, load
from leaderboard.markup import Html
from tests.leaderboard.runs import compare, make_run

HOSTILE = '<script>alert("x")</script>'
APART = 2.6  # pixels by which curves may stand beside their amount


@dataclass
class Figure:
    """A drawn figure, in the units of its axes."""

    root: ElementTree.Element

    @property
    def svg(self) -> ElementTree.Element:
        """The drawing, without the keys of its legend."""
        (found,) = [e for e in self.root.iter("svg") if e.get("class") == "plot"]
        return found

    def all(self, tag: str, *classes: str) -> list[ElementTree.Element]:
        """Elements of the drawing whose classes begin with ``classes``."""
        return [e for e in self.svg.iter(tag) if e.get("class", "").split()[: len(classes)] == list(classes)]

    @property
    def caption(self) -> str:
        return "".join(next(iter(self.root.iter("figcaption"))).itertext())

    @property
    def legend(self) -> list[str]:
        return ["".join(item.itertext()) for item in self.root.iter("li")]

    def x(self, *, doubling: bool = False) -> Callable[[float], float]:
        """Pixels to amounts, by the words at the axis."""
        words = (t for t in self.all("text", "tick") if t.get("text-anchor") == "middle")
        ticks = [(float(t.get("x", "")), float(t.text or "")) for t in words]
        if doubling:
            inverse = _line([(at, math.log(value)) for at, value in ticks])
            return lambda at: math.exp(inverse(at))
        return _line(ticks)

    @property
    def y(self) -> Callable[[float], float]:
        ticks = [t for t in self.all("text", "tick") if t.get("text-anchor") == "end"]
        return _line([(float(t.get("y", "")) - 4, float(t.text or "")) for t in ticks])

    def whiskers(self, series: int) -> list[tuple[float, float, float]]:
        """(pixels from the left, lower limit, upper limit)."""
        found = []
        for whisker in self.all("path", "whisker", f"s{series}"):
            ((at, low, high),) = re.findall(r"^M([\d.]+) ([\d.]+)V([\d.]+)M", whisker.get("d", ""))
            found.append((float(at), self.y(float(low)), self.y(float(high))))
        return found

    def dots(self, series: int) -> list[tuple[float, float]]:
        """(pixels from the left, value)."""
        found = self.all("circle", "dot", f"s{series}")
        return [(float(dot.get("cx", "")), self.y(float(dot.get("cy", "")))) for dot in found]


def _line(pairs: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """The straight line through the outermost of ``pairs``; those between must lie on it, to a pixel's tenth."""
    (a, p), (b, q) = min(pairs), max(pairs)
    slope = (q - p) / (b - a)
    assert all(p + slope * (at - a) == pytest.approx(value, abs=0.2 * abs(slope)) for at, value in pairs)
    return lambda at: p + slope * (at - a)


def drawn(html: Html) -> dict[str, Figure]:
    """Figures by their titles, read as XML: a label that is not escaped is a parse error or an element."""
    root = ElementTree.fromstring(f"<all>{html}</all>")
    found = [Figure(e) for e in root.iter("figure")]
    return {"".join(next(iter(f.root.iter("b"))).itertext()).rstrip("."): f for f in found}


def saturation(seed: int, at: float, best: float) -> dict[str, Any]:
    told = {"0": 0.03, "0.5": 0.031, "1": 0.0, "2": 0.043}
    return {
        "seed": seed, "event": "saturation", "split": "val_select", "n": 75, "auc": dict.fromkeys(told, 0.8),
        "minimum_detectable_difference": told, "best": best, "saturated_at": at,
    }  # fmt: skip


def with_differences(path: Path) -> Entry:
    """The run with every arm against C0, as the runner compares them."""
    record = Record.read(path)
    names = [name for name in dict.fromkeys(arm.name for arm in record.arms) if name != "C0"]
    record.comparisons = [compare(record, path.parent, name, "C0") for name in names]
    record.write(path)
    return load([path]).entries[0]


def protocol(name: str, **config: Any) -> PluginRecord:
    return PluginRecord(name=name, cls=f"protocols:{name}", version="1", config=config)


RATIOS = {"C0": (1.2, 0), "A0.5": (1.3, 250), "A0.5-real": (1.1, 0), "A1": (1.5, 500), "A1-real": (1.15, 0),
          "A2": (1.4, 1000), "A2-real": (1.0, 0), "Abal": (1.3, 300)}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweeps")
    ledger = [saturation(0, 0.5, 1), saturation(1, 0, 2)]
    augmented = protocol("augmented", ratios=[0.5, 1, 2], balance=True)
    with_differences(make_run(root / "ratio", HOSTILE, RATIOS, stream=1, ledger=ledger, protocol=augmented))
    sizes = {"C0": (1.2, 0), "S0": (1.0, 1000), "S0.25": (0.5, 125), "S4": (1.1, 2000)}
    make_run(
        root / "size", "ddpm", sizes, (0,), stream=2, protocol=protocol("synthetic_only", size=2.0, sizes=[0.25, 4])
    )
    shares = {"C0": (1.2, 0), "R0.05": (0.3, 0), "R0.1": (0.6, 0), "R0.5": (1.0, 0)}
    make_run(root / "share", None, shares, (0,), protocol=protocol("real_only", fractions=[0.05, 0.1, 0.5]))
    return root


@pytest.fixture(scope="module")
def track(root: Path) -> TrackBoard:
    (found,) = build(load([root])).tracks
    return found


@pytest.fixture(scope="module")
def board(track: TrackBoard) -> dict[str, Figure]:
    return drawn(sweeps.of_lines(track.lines))


@pytest.fixture(scope="module")
def run(root: Path) -> dict[str, Figure]:
    return drawn(sweeps.of_run(load([root / "ratio"]).entries[0]))


def line_of(track: TrackBoard, arm: str) -> Line:
    (found,) = [line for line in track.lines if line.names[2] == arm]
    return found


def check(figure: Figure, series: int, track: TrackBoard, arms: dict[float, str], *, doubling: bool) -> None:
    """Series ``series`` has a dot and an interval for each amount, and they are those of the rows ``arms``."""
    at, tenth = figure.x(doubling=doubling), abs(figure.y(0.0) - figure.y(0.11))
    dots, whiskers = figure.dots(series), figure.whiskers(series)
    assert len(dots) == len(whiskers) == len(arms)
    for (amount, arm), (x, value), (bar, low, high) in zip(arms.items(), dots, whiskers, strict=True):
        cell = line_of(track, arm).auc
        assert (cell.low or 0.0) < (cell.value or 0.0) < (cell.high or 0.0)
        assert at(x - APART) - 1e-3 <= amount <= at(x + APART) + 1e-3
        assert bar == x
        assert (value, low, high) == pytest.approx((cell.value, cell.low, cell.high), abs=tenth)
    (path,) = figure.all("path", "line", f"s{series}")
    places = [tuple(map(float, place.split())) for place in re.findall(r"[\d.]+ [\d.]+", path.get("d", ""))]
    assert [(x, figure.y(y)) for x, y in places] == dots


def test_a_ratio_sweep_has_the_intervals_of_its_rows(board: dict[str, Figure], track: TrackBoard) -> None:
    figure = board[RATIO.title]
    check(figure, 0, track, {0.0: "C0", 0.5: "A0.5", 1.0: "A1", 2.0: "A2"}, doubling=False)
    check(figure, 1, track, {0.0: "C0", 0.5: "A0.5-real", 1.0: "A1-real", 2.0: "A2-real"}, doubling=False)
    assert not figure.dots(2)


def test_a_size_sweep_is_in_multiples_of_train(board: dict[str, Figure], track: TrackBoard) -> None:
    check(board[SIZE.title], 0, track, {0.25: "S0.25", 2.0: "S0", 4.0: "S4"}, doubling=True)
    assert SIZE.unit in "".join(board[SIZE.title].root.itertext())


def test_a_learning_curve_ends_at_all_real_images(board: dict[str, Figure], track: TrackBoard) -> None:
    check(board[SHARE.title], 0, track, {0.05: "R0.05", 0.1: "R0.1", 0.5: "R0.5", 1.0: "C0"}, doubling=True)
    assert board[SHARE.title].legend[0] == "real images"


@pytest.mark.parametrize("title", [RATIO.title, SIZE.title, SHARE.title])
def test_c0_is_the_reference_with_its_interval(board: dict[str, Figure], track: TrackBoard, title: str) -> None:
    figure, auc = board[title], line_of(track, "C0").auc
    (rule,), (band,) = figure.all("path", "rule"), figure.all("path", "band")
    (at,) = re.findall(r"M[\d.]+ ([\d.]+)H", rule.get("d", ""))
    (bottom, top) = re.findall(r"M[\d.]+ ([\d.]+)H[\d.]+V([\d.]+)H[\d.]+Z", band.get("d", ""))[0]
    read = [figure.y(float(place)) for place in (at, bottom, top)]
    assert read == pytest.approx([auc.value, auc.low, auc.high], abs=abs(figure.y(0.0) - figure.y(0.11)))
    order = [e.get("class", "").split()[0] for e in figure.svg.iter("path")]
    assert order.index("band") < order.index("rule") < order.index("line")
    assert figure.legend[-1].startswith(f"C0, real images alone: {auc.value:.3f} [")


def test_names_are_shown_literally(board: dict[str, Figure], run: dict[str, Figure], root: Path) -> None:
    for figure in (board[RATIO.title], run[RATIO.title], run[f"{RATIO.title}: difference from C0"]):
        assert HOSTILE in figure.legend
        assert not list(figure.root.iter("script"))
    html = sweeps.of_run(load([root / "ratio"]).entries[0])
    assert HOSTILE not in html
    assert escape(HOSTILE) in html


def test_pointing_at_a_dot_tells_its_arm_and_interval(board: dict[str, Figure], track: TrackBoard) -> None:
    titles = [t.text or "" for t in board[RATIO.title].root.iter("title")]
    auc = line_of(track, "A0.5").auc
    assert f"A0.5: AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]" in titles


def test_saturation_stands_beside_the_curve(board: dict[str, Figure], run: dict[str, Figure]) -> None:
    for figure in (board[RATIO.title], run[RATIO.title]):
        assert (
            "Saturation: from ratio 0.5 on not told apart from the best, ratio 1 (1 of 2 seeds), "
            "real images alone are not told apart from the best, ratio 2 (1 of 2 seeds). "
            "Judged on val_select (75 images); gaps below 0.030–0.031 are missed more than once in five times."
        ) in figure.caption
        assert "Saturation" in figure.svg.get("aria-label", "")
    assert "Saturation" not in board[SIZE.title].caption + board[SHARE.title].caption


def test_paired_differences_are_those_of_the_record(run: dict[str, Figure], root: Path) -> None:
    figure = run[f"{RATIO.title}: difference from C0"]
    stored = {c.arm: c.estimate for c in load([root / "ratio"]).entries[0].record.comparisons}
    tenth = abs(figure.y(0.0) - figure.y(0.11))
    for series, arms in enumerate((("A0.5", "A1", "A2"), ("A0.5-real", "A1-real", "A2-real"))):
        read = [(value, low, high) for (_, value), (_, low, high) in
                zip(figure.dots(series), figure.whiskers(series), strict=True)]  # fmt: skip
        expected = [(stored[arm].value, stored[arm].low, stored[arm].high) for arm in arms]
        assert read == [pytest.approx(row, abs=tenth) for row in expected]
    (rule,) = figure.all("path", "rule")
    assert figure.y(float(re.findall(r"M[\d.]+ ([\d.]+)H", rule.get("d", ""))[0])) == pytest.approx(0, abs=tenth)


def test_the_page_of_a_run_shows_its_curves_of_any_preset(root: Path, tmp_path: Path, run: dict[str, Figure]) -> None:
    assert list(run) == [RATIO.title, f"{RATIO.title}: difference from C0"]
    arms = {"C0": (1.0, 0), "A0.5": (1.0, 250), "A1": (1.0, 500)}
    (entry,) = load([make_run(tmp_path / "a", "ldm", arms, (0,), ranked=False, preset="smoke")]).entries
    assert RATIO.title in figures.of_run(entry)
    (track,) = build(load([tmp_path])).tracks
    assert RATIO.title not in figures.of_track(track)  # nothing there is ranked
    (plain,) = load([make_run(tmp_path / "b", "ldm", {"C0": (1.0, 0), "A1": (1.0, 500)}, (0,))]).entries
    assert sweeps.of_run(plain) == ""


def test_curves_are_of_equal_trainings(tmp_path: Path) -> None:
    """Runs that ask for other ratios make one curve; another option of the generator makes another."""
    one, more = {"C0": (1.2, 0), "A0.5": (1.3, 250), "A1": (1.4, 500)}, {"C0": (1.2, 0), "A2": (1.4, 1000)}
    for name, arms, ratios, steps in (("a", one, [0.5, 1], 100), ("b", more, [2], 100), ("c", one, [0.5, 1], 200)):
        asked = protocol("augmented", ratios=ratios)
        ledger = [saturation(0, 0.5, 2)] if name == "b" else []
        path = make_run(tmp_path / name, "ldm", arms, (0,), protocol=asked, stream=int(name == "c"), ledger=ledger)
        record = Record.read(path)
        record.generator = PluginRecord(name="ldm", cls="generators:G", version="1", config={"steps": steps})
        record.write(path)
    (track,) = build(load([tmp_path])).tracks
    figure = drawn(sweeps.of_lines(track.lines))[RATIO.title]
    assert sorted(len(figure.dots(series)) for series in range(2)) == [3, 4]
    names = figure.legend[:2]
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"ldm · (steps=[12]00|configuration [0-9a-f]{6})", name) for name in names)
    longer = names[[len(figure.dots(series)) for series in range(2)].index(4)]
    assert f"Saturation: {longer}: from ratio 0.5 on not told apart from the best, ratio 2. Judged" in figure.caption


def test_amounts_that_would_touch_are_not_all_written(tmp_path: Path) -> None:
    names = ("0.01", "0.011", "0.5", "0.9", "0.95")
    arms = {"C0": (1.2, 0), **{f"R{name}": (1.0, 0) for name in names}}
    make_run(tmp_path / "a", None, arms, (0,), protocol=protocol("real_only"))
    (track,) = build(load([tmp_path])).tracks
    figure = drawn(sweeps.of_lines(track.lines))[SHARE.title]
    ticks = [t for t in figure.all("text", "tick") if t.get("text-anchor") == "middle"]
    places = [float(t.get("x", "")) for t in ticks]
    assert [t.text for t in ticks] == ["0.011", "0.5", "1"]
    assert min(b - a for a, b in pairwise(places)) >= 30
    assert len(figure.dots(0)) == 6
