"""Arms whose images were made for given cases: their copies count, and fidelity of other images is told to be that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.record import EstimateRecord, Record, RoundRecord
from leaderboard.board import FREE, TrackBoard, build
from leaderboard.load import load
from leaderboard.pages import track_page
from leaderboard.rows import Row
from leaderboard.steered import BY_DESIGN
from leaderboard.words import cautions
from tests.leaderboard.runs import make_run


def guided_run(
    folder: Path, counts: Sequence[int], *, varied: bool = False, flagged: bool = False, chosen: int | None = None
) -> None:
    """A guided run whose rounds accepted 100 images each, ``counts`` of them nearer to train than held-out ones."""
    arms = {"C0": (2.0, 0), "guided": (2.2, 500), "C1": (2.1, 500), "C3": (2.1, 500)}
    path = make_run(folder, "ldm", arms, (0,), shift=0.8)  # free draws are too far from real images to seem copied
    record = Record.read(path)
    record.rounds = [
        RoundRecord(seed=0, round=r, n_synthetic=100, n_reference=400, extractor=record.fidelity[0].extractor,
                    varied=varied, flagged=["copy_rate[pixels]"] * flagged,
                    metrics={"copy_rate": EstimateRecord(value=k / 100, n=100)})
        for r, k in enumerate(counts, start=1)
    ]  # fmt: skip
    if chosen:
        shared = {"seed": 0, "made": 100, "accepted": 100, "rejected": {}, "val_select_auc": 0.8}
        record.ledger = [{"event": "round", "round": r, "mined": 100, **shared} for r in range(1, len(counts) + 1)]
        record.ledger.append({"event": "chosen round", "arm": "guided", "seed": 0, "round": chosen})
    record.write(path)


def board_of(folder: Path) -> TrackBoard:
    (track,) = build(load([folder])).tracks
    return track


def rows_by_arm(track: TrackBoard) -> dict[str, Row]:
    return {line.row.identity.arm: line.row for line in track.lines if line.row.sources}


def test_copies_among_the_images_of_the_rounds_fail_the_gate_though_free_draws_pass(tmp_path: Path) -> None:
    guided_run(tmp_path / "a", [1, 30])
    rows = rows_by_arm(board_of(tmp_path))
    assert rows["guided"].status == "gated"
    assert "of its rounds than chance" in rows["guided"].notes[0]
    assert {rows[arm].status for arm in ("C0", "C1", "C3")} == {"ranked"}


@pytest.mark.parametrize(
    ("counts", "options"),
    [([1, 1], {}), ([1, 30], {"chosen": 1}), ([30, 30], {"varied": True, "flagged": True}), ([1, 1], {"varied": True})],
    ids=["no copies", "copies in a round that is not reported", "near by design", "varied and yet not near"],
)
def test_what_passes_the_gate(counts: list[int], options: dict[str, Any], tmp_path: Path) -> None:
    guided_run(tmp_path / "a", counts, **options)
    row = rows_by_arm(board_of(tmp_path))["guided"]
    assert row.status == "ranked"
    assert row.notes == ([BY_DESIGN] if "flagged" in options else [])


def test_the_round_that_is_reported_counts(tmp_path: Path) -> None:
    guided_run(tmp_path / "a", [1, 30], chosen=2)
    assert rows_by_arm(board_of(tmp_path))["guided"].status == "gated"


def test_fidelity_of_other_images_is_told_to_be_that(tmp_path: Path) -> None:
    guided_run(tmp_path / "a", [1])
    make_run(tmp_path / "b", "ddpm", {"A1": (2.0, 500)}, (0,), shift=0.8, stream=1)
    track = board_of(tmp_path)
    told = {line.row.identity.arm: FREE in line.cells["kid"].how for line in track.lines if line.row.sources}
    assert told == {"C0": False, "guided": True, "C1": False, "C3": True, "A1": False}
    (said,) = [text for text in cautions(track) if "draws freely" in text]
    assert said.startswith(("KID to Copies of guided, C3:", "KID to Copies of C3, guided:"))
    assert said in track_page(track, {})


def test_fidelity_of_the_arm_s_own_images_is_not(tmp_path: Path) -> None:
    guided_run(tmp_path / "a", [1])
    path = tmp_path / "a" / "record.json"
    record = Record.read(path)
    record.fidelity.append(record.fidelity[0].model_copy(update={"name": "guided"}))
    record.write(path)
    (line,) = [line for line in board_of(tmp_path).lines if line.row.identity.arm == "guided"]
    assert line.cells["kid"].value is not None
    assert FREE not in line.cells["kid"].how
