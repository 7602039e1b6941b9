"""Ranks separate what differs, tie what does not, and know how little they know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.record import PluginRecord
from bench.stats import auc, delong, delong_paired, two_level_bootstrap
from leaderboard.load import Predictions, load
from leaderboard.paired import Difference, Measured, difference, differences, influence, lend
from leaderboard.rank import measure, rank, standings
from leaderboard.rows import Row, gather
from tests.leaderboard.runs import make_run


def simulate(
    skills: list[float], seeds: int, n: int, board: int, positives: float = 0.113, spread: float = 0.0
) -> dict[int, Measured]:
    """Entrants with ``skills`` on one test set: shared case difficulty, lesions of two photographs, own seeds."""
    rng = np.random.default_rng(board)
    y = np.repeat(rng.random(n // 2) < positives, 2).astype(np.int64)
    groups = np.repeat(np.arange(n // 2), 2).astype(str)
    case = np.repeat(rng.normal(size=n // 2), 2) + 0.3 * rng.normal(size=n)

    def predictions(skill: float) -> Predictions:
        own = skill + spread * rng.normal()
        p = 1 / (1 + np.exp(-(own * y + case + 0.7 * rng.normal(size=n))))
        return Predictions(np.arange(n).astype(str), groups, y, np.stack([1 - p, p], 1).astype(np.float32))

    stored = {i: {s: predictions(skill) for s in range(seeds)} for i, skill in enumerate(skills)}
    return measure(stored, y == 1, stored[0][0], 1)


def groups_of(measured: dict[int, Measured]) -> list[int]:
    return [s.tie_group for s in standings(differences([measured[i] for i in sorted(measured)]))]


def test_two_identical_entrants_are_a_tie() -> None:
    boards = [groups_of(simulate([1.7, 1.7], seeds=4, n=300, board=b, spread=0.1)) for b in range(60)]
    separated = sum(board != [1, 1] for board in boards)
    assert separated <= 8  # binomial(60, 0.05): 8 or fewer in 99.6 %


@pytest.mark.slow
def test_at_full_size_equals_tie_and_five_points_are_separated() -> None:
    equal = sum(groups_of(simulate([1.7, 1.7], 10, 1512, b, spread=0.1)) == [1, 1] for b in range(200))
    better = sum(groups_of(simulate([2.1, 1.7], 10, 1512, b, spread=0.1)) == [1, 2] for b in range(200, 300))
    gain = np.mean([m[0].value - m[1].value for m in (simulate([2.1, 1.7], 10, 1512, b) for b in range(200, 210))])
    assert 0.04 < gain < 0.06
    assert equal >= 0.95 * 200  # 97 % over 800 boards
    assert better >= 0.9 * 100


def test_one_much_better_entrant_leads_its_own_group() -> None:
    measured = simulate([1.5, 3.5, 1.5], seeds=3, n=400, board=1)
    found = standings(differences([measured[i] for i in range(3)]))
    assert (found[1].rank, found[1].best, found[1].worst, found[1].tie_group) == (1, 1, 1, 1)
    assert {found[0].best, found[2].best} == {2}
    assert {found[0].worst, found[2].worst} == {3}
    assert found[0].tie_group == found[2].tie_group == 2


def test_a_row_is_measured_as_the_mean_of_its_seeds() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 30])
    ids = np.arange(90).astype(str)
    scores = [rng.random((90, 2)).astype(np.float32) for _ in range(3)]
    stored = {0: {s: Predictions(ids, ids, y, scores[s]) for s in range(3)}}
    found = measure(stored, y == 1, stored[0][0], 1)[0]
    assert found.value == pytest.approx(np.mean([auc(y, s[:, 1]) for s in scores]), abs=1e-12)
    low, high = found.interval()
    assert 0 <= low < found.value < high <= 1


def test_the_error_of_a_difference_agrees_with_the_two_level_bootstrap() -> None:
    rng = np.random.default_rng(3)
    n, seeds = 600, 6
    y = np.repeat([0, 1], [450, 150])
    groups = np.array([f"{c}-{i // 2}" for i, c in enumerate(y)])
    case = rng.normal(size=n)
    a, b = (
        np.stack([1.5 * y + case + rng.normal(size=n) + 0.3 * rng.normal() * y for _ in range(seeds)]).astype(
            np.float32
        )
        for _ in range(2)
    )
    stored = {
        i: {s: Predictions(np.arange(n).astype(str), groups, y, np.stack([-x[s], x[s]], 1)) for s in range(seeds)}
        for i, x in enumerate((a, b))
    }
    measured = measure(stored, y == 1, stored[0][0], 1)
    found = difference(measured[0], measured[1])
    reference = two_level_bootstrap(y, a, b, groups=groups, replicates=2_000)
    assert found.value == pytest.approx(reference.value, abs=1e-12)
    assert found.se == pytest.approx(reference.se, rel=0.1)


def test_swapping_two_rows_flips_the_sign_only() -> None:
    measured = simulate([2.0, 1.5], seeds=3, n=300, board=5)
    there, back = difference(measured[0], measured[1]), difference(measured[1], measured[0])
    assert (back.value, back.se, back.p) == pytest.approx((-there.value, there.se, there.p))


def test_a_row_against_itself_has_p_1_and_unpaired_seeds_are_compared_with_more_error() -> None:
    measured = simulate([1.7, 1.9], seeds=4, n=300, board=2, spread=0.3)
    assert difference(measured[0], measured[0]) == Difference(0.0, 0.0, 1.0)
    paired = difference(measured[0], measured[1])
    shifted = Measured({seed + 10: value for seed, value in measured[1].per_seed.items()}, measured[1].influence)
    unpaired = difference(measured[0], shifted)
    assert unpaired.value == pytest.approx(paired.value)
    expected = measured[0].seed_part[0] + measured[1].seed_part[0]
    by_case = np.sum((measured[0].influence - measured[1].influence) ** 2)
    assert unpaired.se**2 == pytest.approx(by_case + expected)


def test_a_row_with_one_seed_borrows_the_spread_between_trainings_of_others() -> None:
    measured = simulate([1.7, 1.9], seeds=4, n=300, board=2, spread=0.3)
    one = Measured({0: measured[1].per_seed[0]}, measured[1].influence)
    assert lend({0: one})[0].lent == (0.0, 0)
    lent = lend({0: measured[0], 1: one})
    assert lent[0] is measured[0]
    variance, freedom = lent[1].lent
    assert variance == pytest.approx(np.var(list(measured[0].per_seed.values()), ddof=1))
    assert freedom == 3
    assert difference(measured[0], lent[1]).se > difference(measured[0], one).se


def test_a_row_alone_is_first() -> None:
    (only,) = standings(differences([simulate([1.7], seeds=2, n=300, board=0)[0]]))
    assert (only.rank, only.best, only.worst, only.tie_group) == (1, 1, 1, 1)
    assert rank([], positive=1).standings == {}


def test_without_clusters_the_variances_are_delongs() -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([False, True], [220, 80])
    a, b = (y + rng.normal(size=300), np.round(y + rng.normal(size=300), 1))
    rows = []
    for score in (a, b):
        area, part = influence(y, np.arange(300), score)
        assert area == pytest.approx(delong(y, score).auc, abs=1e-12)
        assert part @ part == pytest.approx(delong(y, score).variance, rel=1e-9)
        rows.append(Measured({0: area}, part))
    found, reference = difference(*rows), delong_paired(y, a, b)
    assert (found.value, found.se**2, found.p) == pytest.approx((reference.difference, reference.variance, reference.p))


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    measured = simulate([1.5, 1.7, 2.0], seeds=3, n=300, board=6, spread=0.2)
    one = Measured({0: measured[2].per_seed[0]}, measured[2].influence, (1e-4, 5))
    rows = [*measured.values(), one]
    together = differences(rows)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            expected = difference(a, b) if i != j else Difference(0.0, 0.0, 1.0)
            found = (together.value[i, j], together.se[i, j], together.p[i, j])
            assert found == pytest.approx((expected.value, expected.se, expected.p), rel=1e-9, abs=1e-12)


# ---- rows and tracks ------------------------------------------------------------------------------------------------


def board_rows(*places: Path) -> dict[str, Row]:
    """Rows of the only track by "generator/arm"."""
    (rows,) = gather(load(places).entries).values()
    return {f"{row.identity.generator}/{row.identity.arm}": row for row in rows}


def test_the_same_baseline_beside_several_generators_is_one_row(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "ldm", stream=1, created="2026-01-01")
    make_run(tmp_path / "b", "ddpm", stream=2, created="2026-01-02")
    rows = board_rows(tmp_path)
    assert sorted(rows) == ["ddpm/A1", "ldm/A1", "ldm/C0"]
    assert rows["ldm/C0"].kind == "baseline"
    assert [entry.record.run_id for entry in rows["ldm/C0"].entries] == ["a", "b"]


def test_baselines_with_other_predictions_stay_apart(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "ldm", {"C2": (2.0, 0), "A1": (2.1, 500)}, stream=1)
    make_run(tmp_path / "b", "ddpm", {"C2": (1.9, 0), "A1": (2.1, 500)}, stream=2)
    assert sorted(board_rows(tmp_path)) == ["ddpm/A1", "ddpm/C2", "ldm/A1", "ldm/C2"]


def test_seeds_of_two_runs_join_and_the_newest_of_a_seed_counts(tmp_path: Path) -> None:
    make_run(tmp_path / "old", "ldm", {"A1": (2.0, 500)}, (0, 1), created="2026-01-01")
    make_run(tmp_path / "new", "ldm", {"A1": (2.0, 500)}, (1, 2), stream=3, created="2026-02-01")
    row = board_rows(tmp_path)["ldm/A1"]
    sources = {seed: source.entry.record.run_id for seed, source in row.sources.items()}
    assert sources == {0: "old", 1: "new", 2: "new"}
    assert sorted(f.seed for f in row.fidelity) == [0, 1, 2]


def test_another_configuration_is_another_row(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "ldm", {"A1": (2.0, 500)})
    path = make_run(tmp_path / "b", "ldm", {"A1": (2.0, 500)}, stream=1)
    record = json.loads(path.read_text())
    record["generator"]["config"]["steps"] = 200
    path.write_text(json.dumps(record))
    (rows,) = gather(load([tmp_path]).entries).values()
    assert len(rows) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["data"].update(fingerprint="0" * 64),
        lambda r: r["data"].update(task="malignant"),
        lambda r: r["data"].update(resolution=64),
        lambda r: r["split"].update(checksum="0" * 64),
        lambda r: r.update(metric_versions={"bench.metrics": "another"}),
        lambda r: [f.update(extractor="inception") for f in r["fidelity"]],
        lambda r: [f.update(weights_sha256="1" * 64) for f in r["fidelity"]],
        lambda r: [f.update(resize="clean-fid") for f in r["fidelity"]],
    ],
)
def test_whatever_moves_a_number_by_itself_makes_another_track(run: Path, change) -> None:  # type: ignore[no-untyped-def]
    other = Path(shutil.copytree(run, run.with_name("other")))
    record = json.loads((other / "record.json").read_text())
    change(record)
    (other / "record.json").write_text(json.dumps(record))
    assert len(gather(load([run.parent]).entries)) == 2


def test_a_run_without_synthetic_images_stands_in_every_track_of_its_data(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "ldm")
    make_run(tmp_path / "b", "ddpm", extractor="inception")
    make_run(tmp_path / "c", None, {"C0": (2.0, 0)})
    tracks = gather(load([tmp_path]).entries)
    assert len(tracks) == 2
    for rows in tracks.values():
        (baseline,) = [row for row in rows if row.kind == "baseline"]
        assert "c" in {entry.record.run_id for entry in baseline.entries}


def test_a_classifier_of_many_networks_is_called_by_its_network(tmp_path: Path) -> None:
    for network in ("resnet50", "efficientnet_b2"):
        chosen = {"network": network}
        timm = PluginRecord(name="timm_net", cls="classifiers.timm_net:TimmNet", version="1", config=chosen)
        make_run(tmp_path / network, "ldm", classifier=timm)
    make_run(tmp_path / "small", "ldm")
    (rows,) = gather(load([tmp_path]).entries).values()
    assert {row.identity.classifier for row in rows} == {"timm_net resnet50", "timm_net efficientnet_b2", "small_cnn"}


def test_controls_are_marked_measured_and_not_ranked(tmp_path: Path) -> None:
    for generator, skill in (("oracle", 2.6), ("copy", 1.9), ("noise", 0.5), ("pca-gaussian", 1.0)):
        make_run(tmp_path / generator, generator, {"C0": (2.0, 0), "A1": (skill, 500)}, control=True, copies=0.5)
    make_run(tmp_path / "adv", "ldm", {"C0": (2.0, 0), "C6": (2.4, 0), "guided": (2.1, 500)})
    (rows,) = gather(load([tmp_path]).entries).values()
    kinds = {f"{row.identity.generator}/{row.identity.arm}": row.kind for row in rows}
    assert kinds["oracle/A1"] == kinds["ldm/C6"] == "ceiling"
    assert (kinds["copy/A1"], kinds["noise/A1"], kinds["pca-gaussian/A1"]) == ("sentinel", "floor", "control")
    found = rank(rows, positive=1)
    ranked = {rows[i].kind for i in found.standings}
    assert ranked == {"entrant", "baseline"}
    assert len(found.measured) == len(rows)


def test_a_generator_that_copies_fails_the_gate(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "thief", {"A1": (3.0, 500)}, copies=0.3)
    make_run(tmp_path / "b", "honest", {"A1": (2.0, 500)}, stream=1)
    rows = board_rows(tmp_path)
    assert (rows["thief/A1"].status, rows["honest/A1"].status) == ("gated", "ranked")
    assert "memorization" in rows["thief/A1"].notes[0]


def test_a_partial_run_is_incomplete_and_says_what_is_missing(run: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    record["arms"] = [arm for arm in record["arms"] if (arm["name"], arm["seed"]) != ("A1", 1)]
    record["status"] = "partial"
    record["failures"] = [{"seed": 1, "phase": "train", "error": "StageError", "message": "NaN", "elapsed_seconds": 1}]
    (run / "record.json").write_text(json.dumps(record))
    rows = board_rows(run)
    assert rows["ldm/A1"].status == "incomplete"
    assert "no result yet for seeds 1" in rows["ldm/A1"].notes
    assert "train failed (seed 1): NaN" in rows["ldm/A1"].notes
    assert rows["ldm/C0"].status == "ranked"


def test_a_row_of_other_test_images_is_set_aside_not_compared(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "ldm", {"A1": (2.0, 500)})
    path = make_run(tmp_path / "b", "ddpm", {"A1": (2.0, 500)}, stream=1).parent / "predictions" / "A1-seed0-test.npz"
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["ids"] = np.char.add(arrays["ids"], "x")
    np.savez(path, **arrays)
    rows = list(board_rows(tmp_path).values())
    found = rank(rows, positive=1)
    (aside,) = [row for row in rows if row.status == "incomplete"]
    assert "other test images" in aside.notes[-1]
    assert len(found.standings) == 1


def test_a_row_without_its_predictions_is_set_aside(run: Path) -> None:
    (run / "predictions" / "A1-seed1-test.npz").unlink()
    rows = list(board_rows(run).values())
    found = rank(rows, positive=1)
    (aside,) = [row for row in rows if row.status == "incomplete"]
    assert "is missing" in aside.notes[-1]
    assert len(found.standings) == 1
