"""The real images: counts, near-duplicates, and false positives of the leak checks, as published or measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.data.base import DataConfig, Prepared
from bench.data.duplicates import near_duplicates
from bench.data.invariants import check_disjoint, check_generator_output, near_copies
from bench.data.splits import NAMES, make_splits
from bench.errors import LeakError

pytestmark = pytest.mark.realdata
CLASSES = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
MISSING = {"ISIC_0034524", "ISIC_0035068"}


def test_counts_of_images_lesions_and_classes(ham: Prepared) -> None:
    train = ham.table["part"] == "train"
    names, counts = np.unique(ham.table["dx"][train], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == CLASSES
    assert len(np.unique(ham.images.groups[train])) == 7470
    assert ham.images.labels[train].sum() == 1113
    assert (~train).sum() == 1510
    assert ham.images.labels[~train].sum() == 171
    histology = (ham.table["dx_type"][train] == "histo").mean()
    assert round(float(histology), 2) == 0.53


def test_the_two_absent_test_images_are_named_and_nothing_else_is_lost(ham: Prepared) -> None:
    assert {bad["file"] for bad in ham.meta["bad"]} == MISSING
    assert sum("ISIC_0034524" in note for note in ham.meta["notes"]) == 1
    assert ham.meta["converted"] == {}


def test_masks_lie_on_dark_lesions(ham: Prepared) -> None:
    assert ham.images.masks is not None
    rows = np.arange(0, 10015, 20)
    luma, inside = ham.images.pixels[rows].mean(axis=3), ham.images.masks[rows][..., 0] > 0
    assert ham.table["has_mask"][:10015].all()
    darker = [x[m].mean() < x[~m].mean() for x, m in zip(luma, inside, strict=True) if m.any() and not m.all()]
    assert np.mean(darker) > 0.95


def test_near_duplicates_are_of_one_lesion_except_one_photograph_in_two_colour_balances(ham: Prepared) -> None:
    found = near_duplicates(ham.images.pixels, ham.table["hash"])
    train = (found.pairs < 10015).all(axis=1)
    groups, ids = ham.images.groups[found.pairs], ham.images.ids[found.pairs]
    across = train & (groups[:, 0] != groups[:, 1])
    assert (train & ~across).sum() >= 58
    assert ids[across].tolist() == [["ISIC_0025226", "ISIC_0030074"]]
    assert (found.rms[train] == 0).sum() == 2
    assert ((found.pairs < 10015).sum(axis=1) != 1).all()  # none between HAM10000 and the test set


def test_splits_of_the_main_job(ham: Prepared) -> None:
    splits = make_splits(ham, DataConfig())
    counts = {name: list(by_class.values()) for name, by_class in splits.counts().items()}
    assert counts["test"] == [1339, 171]
    assert sum(map(sum, counts.values())) == 11525
    for name, share in {"train": 0.7, "val_select": 0.1, "val_thresh": 0.1, "reserve": 0.1}.items():
        np.testing.assert_allclose(counts[name], [8902 * share, 1113 * share], atol=3)
    parts = {name: splits.images(ham, name) for name in NAMES}
    parts["reference"], parts["oracle"] = splits.reserve_halves(ham)
    del parts["reserve"]
    for a, b in [(a, b) for a in parts for b in parts if a < b]:
        check_disjoint(parts[a], parts[b], f"{a} and {b}")


def test_leak_check_accepts_reals_and_blurs_and_finds_noisy_copies(ham: Prepared) -> None:
    splits = make_splits(ham, DataConfig())
    train, test = splits.images(ham, "train"), splits.images(ham, "test")
    rng = np.random.default_rng(0)
    some = train.take(rng.permutation(len(train))[:2000])
    pixels = some.pixels[:].astype(np.float32)
    blurred = sum(np.roll(pixels, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    flat = pixels.reshape(2000, -1)
    _, s, axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    gaussian = flat.mean(0) + (rng.standard_normal((2000, 100)) * s[:100] / np.sqrt(2000)) @ axes[:100]
    for values in (pixels, blurred, (pixels + pixels[::-1]) / 2, gaussian.reshape(pixels.shape)):
        fake = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        check_generator_output(replace(some, pixels=fake, source="synthetic:honest"), test)
    noisy = np.clip(np.rint(test.pixels[:] + rng.normal(0, 2, (len(test), 32, 32, 3))), 0, 255).astype(np.uint8)
    peeker = replace(test, pixels=noisy, source="synthetic:peeker")
    found = near_copies(peeker, test)
    assert set(found.pairs[:, 0].tolist()) == set(range(len(test)))
    with pytest.raises(LeakError, match=r"synthetic:peeker: 100\.0%"):
        check_generator_output(peeker, test)
