"""The self-check itself: fair sets, honest errors, and checks that fail when what they guard is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.data.base import DataConfig, Prepared
from bench.data.prepare import resolve
from bench.errors import ConfigError, DataError, UndefinedMetric
from bench.metrics import nearest
from bench.selfcheck import CHECKS, Finding, Ground, Verdict, make_extractor, prepare_ground, trusted
from bench.selfcheck.ground import PARTS, class_sizes, deal, one_per_group
from bench.selfcheck.harness import mean_square_angle
from bench.selfcheck.memorization import exchange_se
from bench.selfcheck.probe import probe_scores
from bench.testing import tiny_images

NAMES = ("train", "held_out", "oracle", "judge", "spare")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A small phantom in pixels."""
    folder = tmp_path_factory.mktemp("ground")
    config = DataConfig(spec="phantom", resolution=32)
    return prepare_ground(config, lambda sets: make_extractor("pixels", sets, folder), folder, folder / "store", 240)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """1,500 images of 750 groups, two classes of unequal size; every ninth image is of the test part."""
    images = tiny_images((1000, 500), size=8)
    part = np.where(np.arange(1500) % 9 == 8, "test", "train")
    return Prepared(tmp_path, replace(images, key="p"), {"part": part}, {})


@pytest.fixture(autouse=True)
def _no_stored_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.duplicates.stored_duplicates", lambda prepared: np.zeros((0, 2), dtype=np.int64))


def test_sets_are_of_equal_counts_share_no_group_and_leave_the_test_part_alone(prepared: Prepared) -> None:
    sets = deal(prepared, 140, seed=0)
    assert tuple(sets) == PARTS
    used = np.concatenate([part.groups for part in sets.values()])
    assert len(np.unique(used)) == len(used)
    part_of = dict(zip(prepared.images.ids.tolist(), prepared.table["part"].tolist(), strict=True))
    for images in sets.values():
        assert images.counts().tolist() == sets["train"].counts().tolist()
        assert all(part_of[i] == "train" for i in images.ids.tolist())


def test_too_few_groups_are_refused_with_the_number_needed(prepared: Prepared) -> None:
    few = replace(prepared, images=prepared.images.take(np.arange(100)), table={"part": np.full(100, "train")})
    with pytest.raises(DataError, match=r"50 patients or lesions are too few .* each needs 120"):
        deal(few, 600, seed=0)


@pytest.mark.parametrize(
    ("available", "n", "sizes"),
    [
        ([500, 500], 300, [150, 150]),
        ([500, 40], 300, [260, 40]),
        ([100, 40], 300, [100, 40]),
        ([9, 50, 9], 60, [9, 42, 9]),
    ],
)
def test_classes_are_alike_as_far_as_there_are_images(available: list[int], n: int, sizes: list[int]) -> None:
    assert class_sizes(np.array(available), n) == sizes


def test_one_image_stands_for_a_group_and_it_is_of_the_rarest_class() -> None:
    groups, labels = np.array(["a", "a", "b", "c", "c"]), np.array([0, 1, 0, 0, 0])
    chosen = one_per_group(np.arange(5), groups, labels)
    assert labels[chosen].tolist().count(1) == 1
    assert groups[chosen].tolist() == ["a", "b", "c"]


def test_drawn_sets_are_balanced_and_of_patients_of_their_own(ground: Ground) -> None:
    groups = np.concatenate([getattr(ground, name).groups for name in NAMES])
    assert len(np.unique(groups)) == 5 * ground.n == 1200
    assert ground.train.counts().tolist() == [120, 120]


def test_an_image_is_computed_once_and_its_features_do_not_depend_on_the_others(ground: Ground) -> None:
    seen: list[int] = []
    plain = ground.extractor

    class Counting:
        identity = "counting"

        def __call__(self, pixels: Any) -> Any:
            seen.append(len(pixels))
            return plain(pixels)

    counted = replace(ground, extractor=Counting(), _rows={}, _drawn={})
    first = counted.features(ground.train.pixels[:10])
    again = counted.features(ground.train.pixels[5:15])
    assert seen == [10, 5]
    np.testing.assert_array_equal(first[5:], again[:5])


def test_pixels_are_dropped_when_they_grow_too_many_and_drawn_again_alike(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.selfcheck.ground.KEPT_BYTES", 3 * ground.n * 32 * 32 * 3)
    small = replace(ground, _drawn={})
    first = small.draw("copy-noise")
    for sd in (3.0, 4.0, 5.0):
        small.draw("copy-noise", sd=sd)
    assert len(small._drawn) <= 3
    again = small.draw("copy-noise")
    assert again is not first
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_array_equal(again.x, first.x)


def test_a_subset_that_was_not_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no images.npz in .*; it is written by bench selfcheck"):
        resolve(DataConfig(spec=f"bench.selfcheck.subset:Subset:{tmp_path}"))


def test_the_standard_error_of_exchange_is_that_of_random_exchanges() -> None:
    rng = np.random.default_rng(0)
    train, held_out, images = (rng.standard_normal((size, 40)).astype(np.float32) for size in (60, 60, 200))
    pool = np.concatenate([train, held_out])
    rows = nearest(images, pool).rows
    shares = []
    for _ in range(4000):
        side = np.zeros(120, dtype=bool)
        side[rng.permutation(120)[:60]] = True
        shares.append(side[rows].mean())
    assert exchange_se(train, held_out, images) == pytest.approx(np.std(shares), rel=0.05)
    assert exchange_se(train, held_out, images) > 1.2 * np.sqrt(0.25 / 200), "hubs must show"


def test_mean_square_angle_is_that_of_random_directions() -> None:
    rng = np.random.default_rng(0)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 40_000, 5)))
    angles = np.arccos(np.einsum("nd,nd->n", u, v))
    assert mean_square_angle(5) == pytest.approx(np.mean(angles**2), abs=4 * np.std(angles**2) / 200)


def test_the_probe_finds_a_planted_direction_and_repeating_images_changes_nothing() -> None:
    from bench.stats import auc

    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    x = rng.standard_normal((400, 30)) @ np.diag(np.linspace(0.5, 2, 30))
    x[labels == 1, 0] += 1
    scores = probe_scores(x, labels, 1, x)
    assert auc(labels, scores) > 0.9
    np.testing.assert_allclose(probe_scores(np.tile(x, (2, 1)), np.tile(labels, 2), 1, x), scores, rtol=1e-9)
    with pytest.raises(UndefinedMetric, match="no positives among the 400"):
        probe_scores(x, np.zeros(400, dtype=np.int64), 1, x)


def test_trust_names_the_claims_that_speak_against_a_metric() -> None:
    def finding(number: int, passed: bool | None, of: tuple[str, ...], blamed: tuple[str, ...] = ()) -> Finding:
        return Finding(number, "", of, Verdict(passed, "", "", blamed=blamed), 0.0)

    findings = [
        finding(1, True, ("fid",)),
        finding(6, False, ("recall", "coverage"), ("recall",)),
        finding(8, False, ("recall",)),
        finding(13, None, ("kid",)),
    ]
    assert trusted(findings) == {"fid": [], "recall": [6, 8], "coverage": [], "kid": []}


def test_a_leak_between_train_and_held_out_shows(ground: Ground) -> None:
    """If the null of memorization was trained on, copies can no longer be told: numbers 4 and 5 must fail."""
    leaking = replace(ground, held_out=ground.train, _drawn={})
    assert CHECKS[5](leaking).passed is False
    assert CHECKS[4](leaking).passed is False


def test_train_images_among_the_oracle_show(ground: Ground) -> None:
    rows = np.arange(0, ground.n, 2)
    mixed = ground.oracle.take(np.arange(1, ground.n, 2)) + ground.train.take(rows)
    relabelled = replace(mixed, ids=np.char.add("x", mixed.ids), key="mixed")
    tainted = replace(ground, oracle=relabelled, _drawn={})
    assert CHECKS[5](tainted).passed is False
    assert CHECKS[4](tainted).passed is False
    assert CHECKS[3](tainted).blamed == ("authenticity",)


def test_an_extractor_that_sees_nothing_is_found_out(ground: Ground) -> None:
    class Blind:
        identity = "blind"

        def __call__(self, pixels: Any) -> Any:
            return np.ones((len(pixels), 4), dtype=np.float32)

    blind = replace(ground, extractor=Blind(), _rows={}, _drawn={})
    for number in (1, 5, 10):
        assert CHECKS[number](blind).passed is False, number


def test_without_the_leak_guard_the_peeker_is_not_stopped_and_number_17_says_so(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.data.invariants.check_generator_output", lambda *_: None)
    found = CHECKS[17](replace(ground, workdir=tmp_path, _drawn={}))
    assert found.passed is False
    assert "no leak found" in found.verdict.observed


def test_a_clock_that_counts_warm_up_is_found_out(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_warm_up(work: Callable[[], Any], warm_up: Callable[[], Any], images: int, ctx: Any) -> Any:
        import time

        start = time.perf_counter()
        warm_up()
        result = work()
        return result, {"images_per_second": images / (time.perf_counter() - start)}

    monkeypatch.setattr("bench.throughput.timed_call", with_warm_up)
    assert CHECKS[19](ground).passed is False


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["selfcheck", *arguments])


def test_the_command_prints_findings_and_exits_0_when_all_hold(tmp_path: Path) -> None:
    done = run("--only", "1,13,18", "-n", "150", "--resolution", "16", "--store", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [f["number"] for f in found["findings"]] == [1, 13, 18]
    assert found["counts"] == {"benign": 75, "melanoma": 75}
    assert found["against"] == {"fid": [], "kid": [], "ppl": []}


def test_the_command_exits_1_when_a_claim_fails_and_names_the_metric(tmp_path: Path) -> None:
    done = run("--only", "8,1", "-n", "200", "--store", str(tmp_path), "--plain")
    assert done.exit_code == 1, done.output
    assert "FAILS" in done.stdout
    assert "not by itself: recall (8)" in done.stdout
    assert "can be trusted here: fid, precision, coverage" in done.stdout
    assert "TSTR: trained on synthetic images, tested on real ones" in done.stdout
    assert "with 200 images a set a claim may fail for want of images alone" in done.stderr


@pytest.mark.parametrize(("only", "message"), [("14", "no claim 14"), ("one", "give numbers of the list")])
def test_wrong_numbers_are_refused(only: str, message: str) -> None:
    from bench.cli.selfcheck import parse_numbers

    with pytest.raises(ConfigError, match=message):
        parse_numbers(only)


def test_an_unknown_extractor_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    done = run("--extractor", "no_such_extractor", "-n", "150", "--store", str(tmp_path))
    assert done.exit_code == 2
