"""A record of several seeds on the board: how many there are, their mean, an interval that covers both levels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bench.stats import auc, delong, two_level_bootstrap
from leaderboard.board import build
from leaderboard.load import load
from leaderboard.site import build_site
from tests.leaderboard.runs import make_run, split_labels
from tests.leaderboard.test_render import Page

SEEDS = (0, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seeds of a good entrant, five of one that is as good as real images alone, one seed of a third."""
    root = tmp_path_factory.mktemp("seeds")
    make_run(root / "many", "good", {"C0": (1.0, 0), "A1": (3.0, 500)}, SEEDS, stream=1)
    make_run(root / "equal", "equal", {"C0": (1.0, 0), "A1": (1.0, 500)}, SEEDS, stream=2)
    make_run(root / "one", "single", {"A1": (3.0, 500)}, (0,), stream=3)
    return root


def scores(folder: Path, arm: str, seeds: tuple[int, ...] = SEEDS) -> np.ndarray:
    """float32 [S, N]: positive scores as stored."""
    files = [np.load(folder / "predictions" / f"{arm}-seed{s}-test.npz") for s in seeds]
    return np.stack([file["scores"][:, 1] for file in files])


def test_seeds_mean_and_interval_of_a_row(places: Path) -> None:
    (track,) = build(load([places])).tracks
    lines = {line.names[0]: line for line in track.lines if line.row.sources}
    assert {name: len(line.row.sources) for name, line in lines.items()} == {
        "good": 5, "equal": 5, "single": 1, "real images": 5,
    }  # fmt: skip
    y = split_labels("test")
    drawn = scores(places / "many", "A1")
    per_seed = [auc(y, row) for row in drawn]
    cell = lines["good"].auc
    assert cell.value == pytest.approx(np.mean(per_seed), abs=1e-12)
    assert cell.low < cell.value < cell.high
    spread = np.std(per_seed, ddof=1) / np.sqrt(len(per_seed))
    cases = max(np.sqrt(delong(y, row).variance) for row in drawn)
    assert spread < (cell.high - cell.low) / (2 * 1.96) < 2 * np.hypot(spread, cases)


def test_the_interval_of_a_difference_covers_cases_and_seeds(places: Path) -> None:
    """The record's own comparison, shown on its page, is the two-level bootstrap of the stored predictions."""
    record = json.loads((places / "many" / "record.json").read_text())
    (comparison,) = record["comparisons"]
    assert comparison["n_seeds"] == len(SEEDS)
    y, groups = split_labels("test"), np.load(places / "many/predictions/A1-seed0-test.npz")["groups"]
    a, b = scores(places / "many", "A1"), scores(places / "many", "C0")
    found = two_level_bootstrap(y, a, b, groups=groups, replicates=record["config"]["replicates"], seed=0)
    assert [comparison["estimate"][k] for k in ("value", "low", "high")] == [found.value, found.low, found.high]
    fixed = two_level_bootstrap(y, a[:1], b[:1], groups=groups, replicates=2_000, seed=0)
    assert found.se != fixed.se


def test_ties_and_marks_are_the_same_in_every_format(places: Path, tmp_path: Path) -> None:
    build_site([places], tmp_path)
    (track,) = build(load([places])).tracks
    standing = {line.names[0]: line.standing for line in track.lines if line.standing}
    assert standing["good"].tie_group == standing["single"].tie_group == 1
    assert standing["equal"].tie_group == standing["real images"].tie_group > 1
    assert (standing["equal"].best, standing["equal"].worst) == (3, 4)
    with (tmp_path / "leaderboard.csv").open() as file:
        rows = {row["generator"]: row for row in csv.DictReader(file) if row["rank"]}
    assert {name: int(row["tie_group"]) for name, row in rows.items()} == {
        name: found.tie_group for name, found in standing.items()
    }
    (page,) = (tmp_path / "tracks").glob("*.html")
    words = Page(page.read_text()).text
    assert "5 seeds" in words
    assert "1 seed" in words
    assert "One seed: how far" not in " ".join(words)
    assert "A claim needs at least 10 paired seeds" in " ".join(words)
    assert "5 seeds" in (tmp_path / "leaderboard.md").read_text()
    for arm in ("A1", "C0"):
        assert f">{arm}<" in (tmp_path / "runs" / "many.html").read_text()
