"""The pictures show the pixels they were given, to the byte the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.contracts import Images
from bench.figures import amounts_plot, canvas, closest_pairs, has_amounts, reliability_plot, roc_plot, sample_grid
from bench.figures.curves import GRID, _band, _sensitivity, calibration_bins
from bench.figures.grids import enlarge
from bench.record import ArmRecord, ComparisonRecord, EstimateRecord, PluginRecord, Record
from tests.bench.records import example

CLASSES = ("nevus", "melanoma")


def lesions(n: int, seed: int, classes: tuple[str, ...] = CLASSES, side: int = 16) -> Images:
    """Dark discs on skin; the last class is darker and larger."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(classes)
    radius = 0.25 + 0.15 * labels / max(1, len(classes) - 1) + rng.uniform(-0.03, 0.03, n)
    down, right = np.mgrid[0:side, 0:side] / side - 0.5
    inside = np.hypot(down, right)[None] < radius[:, None, None]
    tone = np.where(inside, 110 - 40 * labels[:, None, None], 205)[..., None] + rng.normal(0, 6, (n, side, side, 3))
    names = np.array([f"img-{seed}-{i}" for i in range(n)])
    return Images(np.clip(tone, 0, 255).astype(np.uint8), labels.astype(np.int64), names, names, classes)


def scores(n: int, seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    return y, 1 / (1 + np.exp(-(rng.normal(size=n) + shift * y - 1)))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def holds(page: np.ndarray, tile: np.ndarray) -> list[tuple[int, int]]:
    """Every (row, column) at which ``tile`` lies on ``page``, pixel for pixel."""
    height, width = tile.shape[:2]
    corners = np.argwhere((page[: 1 - height, : 1 - width] == tile[0, 0]).all(-1))
    return [(r, c) for r, c in corners if np.array_equal(page[r : r + height, c : c + width], tile)]


def test_sample_grid_puts_the_nearest_training_image_beside_its_synthetic_one(tmp_path: Path) -> None:
    real, synthetic, train = lesions(6, 1), lesions(6, 2), lesions(10, 3)
    nearest = np.array([7, 3, 0, 9, 4, 5])
    sample_grid(tmp_path / "grid.png", real, synthetic, nearest, train, seed=0, per_class=3)
    page = read(tmp_path / "grid.png")
    for m in range(6):
        (here,) = holds(page, enlarge(synthetic.pixels[m]))
        (beside,) = holds(page, enlarge(train.pixels[nearest[m]]))
        assert beside[0] == here[0]
        assert 0 < beside[1] - here[1] < 110
    assert all(len(holds(page, enlarge(image))) == 1 for image in real.pixels)


def test_sample_grid_with_seven_classes_one_of_them_not_made(tmp_path: Path) -> None:
    classes = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    real, made, train = lesions(14, 1, classes), lesions(14, 2, classes), lesions(14, 3, classes)
    synthetic = made.take(made.labels != 3)
    sample_grid(tmp_path / "grid.png", real, synthetic, np.arange(len(synthetic)), train, seed=0, per_class=2)
    page = read(tmp_path / "grid.png")
    assert all(holds(page, enlarge(image)) for image in real.take(real.labels == 3).pixels)


@pytest.mark.parametrize("nearest", [np.arange(5), np.array([0, 1, 2, 3, 4, 10]), np.array([-1, 0, 0, 0, 0, 0])])
def test_sample_grid_refuses_neighbours_that_do_not_fit(tmp_path: Path, nearest: np.ndarray) -> None:
    with pytest.raises(ValueError, match="nearest"):
        sample_grid(tmp_path / "grid.png", lesions(4, 1), lesions(6, 2), nearest, lesions(10, 3), seed=0)
    assert not list(tmp_path.iterdir())


def test_closest_pairs_are_sorted_and_cut(tmp_path: Path) -> None:
    synthetic, train = lesions(8, 2), lesions(8, 3)
    pairs = np.stack([np.arange(8), np.arange(8)[::-1]], axis=1)
    closest_pairs(tmp_path / "pairs.png", synthetic, train, pairs, np.arange(8.0)[::-1], show=3)
    page = read(tmp_path / "pairs.png")
    columns = [holds(page, enlarge(synthetic.pixels[m]))[0][1] for m in (7, 6, 5)]
    assert columns == sorted(columns)
    assert not holds(page, enlarge(synthetic.pixels[4]))
    with pytest.raises(ValueError, match="distances"):
        closest_pairs(tmp_path / "pairs.png", synthetic, train, pairs, np.arange(7.0))


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    image = lesions(1, 0, side=32).pixels[0]
    large = enlarge(image)
    assert large.shape == (96, 96, 3)
    assert np.array_equal(large[::3, ::3], image)
    assert enlarge(np.zeros((256, 256, 3), np.uint8)).shape == (256, 256, 3)


def test_the_drawn_curve_is_the_highest_sensitivity_at_each_false_positive_rate() -> None:
    y, score = scores(400, 0, 1.0)
    drawn = _sensitivity(y, score)
    for rate, height in zip(GRID[::20], drawn[::20], strict=True):
        cuts = [c for c in np.unique(score) if np.mean(score[y == 0] >= c) <= rate]
        reached = max((np.mean(score[y == 1] >= c) for c in cuts), default=0.0)
        assert reached - 1e-12 <= height <= reached + 1 / (y == 1).sum() + 1e-12
    assert drawn[-1] == 1
    assert np.all(np.diff(drawn) >= 0)


def test_the_band_of_one_seed_holds_the_curve_and_narrows_with_more_images() -> None:
    widths = []
    for n in (200, 2000):
        y, score = scores(n, 3, 1.5)
        low, high = _band(y, score, np.random.default_rng(0), replicates=200)
        assert np.mean((low <= _sensitivity(y, score)) & (_sensitivity(y, score) <= high)) > 0.95
        widths.append(np.mean(high - low))
    assert widths[1] < 0.5 * widths[0]


def test_calibration_bins_keep_every_image_and_ties_together() -> None:
    y, p = scores(500, 1, 1.0)
    mean_p, share, n = calibration_bins(y.astype(float), p, 10)
    assert n.sum() == 500
    assert np.allclose(n, 50)
    assert np.sum(n * share) == pytest.approx(y.sum())
    assert np.all(np.diff(mean_p) > 0)
    assert len(calibration_bins(y.astype(float), np.full(500, 0.5), 10)[2]) == 1


def swept(seeds: int) -> Record:
    """Ratios 0.5 and 2 beside C0; each arm 0.01 above that before it, each seed 0.002 above that before it."""
    record = example()
    record.protocol = PluginRecord(name="augmented", cls="protocols.augmented:Augmented", version="1", config={})

    def estimate(value: float, half: float) -> EstimateRecord:
        return EstimateRecord(value=value, low=value - half, high=value + 2 * half)

    aucs = {"C0": 0.80, "A0.5": 0.81, "A2": 0.82, "Abal": 0.9}
    record.arms = [
        ArmRecord(name=name, seed=seed, metrics={"auc": estimate(auc + 0.002 * seed, 0.03)})
        for name, auc in aucs.items() for seed in range(seeds)
    ]  # fmt: skip
    record.comparisons = [
        ComparisonRecord(endpoint="auc", arm=name, versus="C0", estimate=estimate(auc - 0.8, 0.004))
        for name, auc in aucs.items() if name != "C0"
    ]  # fmt: skip
    return record


def bars(axes: Any) -> list[list[tuple[float, ...]]]:
    """(amount, value, lower, upper limit) of each curve with bars."""
    found = []
    for container in axes.containers:
        line, _, (limits,) = container.lines
        segments = [tuple(segment[:, 1]) for segment in limits.get_segments()]
        found.append([(*place, *ends) for place, ends in zip(line.get_xydata().tolist(), segments, strict=True)])
    return found


@pytest.mark.parametrize("seeds", [1, 3])
def test_amounts_are_drawn_with_the_intervals_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(canvas, "_write", lambda fig, path: drawn.append(fig))
    amounts_plot(tmp_path / "a.png", swept(seeds))
    top, below = drawn[0].axes
    middle = 0.002 * (seeds - 1) / 2
    (aucs,), (gains,) = bars(top), bars(below)
    expected = [(x, v + middle, v + middle - 0.03, v + middle + 0.06) for x, v in ((0, 0.8), (0.5, 0.81), (2, 0.82))]
    assert aucs == [pytest.approx(row) for row in expected]
    assert gains == [pytest.approx((x, v, v - 0.004, v + 0.008)) for x, v in ((0.5, 0.01), (2, 0.02))]
    dots = [tuple(line.get_xydata()[0]) for line in top.lines if line.get_marker() == "."]
    each = [(x, v + 0.002 * seed) for x, v in ((0, 0.8), (0.5, 0.81), (2, 0.82)) for seed in range(seeds)]
    assert dots == ([] if seeds == 1 else [pytest.approx(dot) for dot in each])
    (rule,) = [line for line in top.lines if line.get_label().startswith("C0")]
    assert rule.get_ydata()[0] == pytest.approx(0.8 + middle)
    (low, high) = top.get_ylim()
    assert low < 0.77 + middle
    assert high > 0.88 + middle
    assert [label.get_text() for label in below.get_xticklabels()] == ["0", "0.5", "2"]


def test_saturation_is_written_below_the_amounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = swept(1)
    told = {"0": 0.02, "0.5": 0.01, "2": 0.0}
    record.ledger = [{"event": "saturation", "seed": 0, "split": "val_select", "n": 75, "best": 2, "saturated_at": 0.5,
                      "auc": told, "minimum_detectable_difference": told}]  # fmt: skip
    drawn: list[Any] = []
    monkeypatch.setattr(canvas, "_write", lambda fig, path: drawn.append(fig))
    amounts_plot(tmp_path / "a.png", record)
    words = " ".join(text.get_text() for part in drawn[0].subfigs for text in part.texts).replace("\n", " ")
    assert "Saturation: from ratio 0.5 on not told apart from the best, ratio 2." in words
    assert "Judged on val_select (75 images)" in words


def test_a_record_without_amounts_has_no_such_picture(tmp_path: Path) -> None:
    assert has_amounts(swept(1))
    assert not has_amounts(example())
    with pytest.raises(ValueError, match="no amounts"):
        amounts_plot(tmp_path / "a.png", example())
    assert not list(tmp_path.iterdir())


def draw_all(folder: Path) -> None:
    folder.mkdir()
    one_class = (np.zeros(50, np.int64), np.linspace(0, 1, 50))
    curves = {"real $x_y$": [scores(200, s, 1.5) for s in (1, 2)], "one seed": [scores(200, 3, 1.0)], "no": [one_class]}
    roc_plot(folder / "roc.png", curves, "melanoma")
    reliability_plot(folder / "reliability.png", curves, "melanoma")
    real, synthetic, train = lesions(6, 1), lesions(6, 2), lesions(10, 3)
    sample_grid(folder / "grid.png", real, synthetic, np.arange(6), train, seed=4)
    closest_pairs(folder / "pairs.png", synthetic, train, np.zeros((6, 2), np.int64), np.ones(6))
    amounts_plot(folder / "amounts.png", swept(2))


def test_equal_input_gives_equal_bytes_without_dates(tmp_path: Path) -> None:
    draw_all(tmp_path / "a")
    draw_all(tmp_path / "b")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        with Image.open(path) as picture:
            assert set(picture.info) <= {"dpi"}
    assert len(list((tmp_path / "a").iterdir())) == 5


def test_user_style_is_neither_used_nor_changed(tmp_path: Path) -> None:
    import matplotlib

    curves = {"a": [scores(100, 1, 1.0)]}
    roc_plot(tmp_path / "a.png", curves)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        roc_plot(tmp_path / "b.png", curves)
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_arm_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    for draw in (roc_plot, reliability_plot):
        with pytest.raises(ValueError, match="no curves"):
            draw(tmp_path / "x.png", {})
    assert not list(tmp_path.iterdir())


def test_importing_the_figures_imports_neither_matplotlib_nor_torch() -> None:
    code = "import sys, bench.figures; print(sorted({'matplotlib', 'torch', 'PIL'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
