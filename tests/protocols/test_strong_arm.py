"""Arm C0b: the strong augmentation is really done to what the network sees, and a classifier that has none says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contracts import ClassifierBase, Context, Images, Options
from bench.lab import Outcome
from classifiers import _augment, _training
from protocols.arms import STRONG, WORDS, strong_arm, strong_options
from protocols.augmented import Augmented
from tests.worlds import small_lab

HERE = "tests.protocols.test_strong_arm"
STEPS = 12  # of small_cnn in the preset smoke


class NearestMean(ClassifierBase):
    """Softmax of the distances to the mean images of the classes: nothing to augment, no batch to balance."""

    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        x = np.asarray(train.pixels[:], dtype=np.float32)
        self.means = np.stack([x[train.labels == k].mean(0) for k in range(train.num_classes)])

    def embed(self, pixels: Any, ctx: Context) -> Any:
        x = np.asarray(pixels[:], dtype=np.float32)
        return np.stack([np.sqrt(((x - mean) ** 2).mean((1, 2, 3))) for mean in self.means], axis=1)

    def predict(self, pixels: Any, ctx: Context) -> Any:
        z = np.exp(-self.embed(pixels, ctx) / 10)
        return z / z.sum(1, keepdims=True)


class Flips(Options):
    """``flips``: count every training image with its mirror image; ``balanced``: the means weigh the same anyway."""

    flips: bool = False
    balanced: bool = True


class MirroredMean(NearestMean):
    """The same with the mirror images beside the images: the one augmentation it has."""

    Config = Flips

    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        super().fit(train, val, ctx)
        if self.config.flips:
            self.means = (self.means + self.means[:, :, ::-1]) / 2


def ordinary(folder: Path, classifier: str = "small_cnn", *sets: str) -> Outcome:
    """``augmented`` over discs with copies as synthetic images."""
    lab = small_lab(folder, generator="copy", classifier=classifier, sets=list(sets))
    return Augmented(Augmented.Config(ratios=(0.5,), balance=False)).run(lab)


def test_c0b_trains_on_turned_zoomed_and_recoloured_images_and_no_other_arm_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every batch is compared with itself under the eight symmetries of the square, which all arms see."""
    seen: list[dict[str, bool]] = []
    plain_augment, plain_affine = _training.augment, _augment.random_affine

    def watched(x: torch.Tensor, rng: torch.Generator, **asked: Any) -> torch.Tensor:
        seen.append({"affine": False})
        out = plain_augment(x, rng, **asked)
        turned = [torch.rot90(side, k, (2, 3)) for side in (x, x.flip(3)) for k in range(4)]
        same = torch.stack([(out == t).flatten(1).all(1) for t in turned]).any(0)
        colours = (out.mean((2, 3)) - x.mean((2, 3))).abs().amax(1)
        seen[-1] |= {"as it was": bool(same.any()), "other colours": bool((colours > 0.02).float().mean() > 0.5)}
        return out

    def affine(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        out = plain_affine(x, rng)
        seen[-1]["affine"] = bool(((out - x).abs().amax((1, 2, 3)) > 0.01).all())
        return out

    monkeypatch.setattr(_training, "augment", watched)
    monkeypatch.setattr(_augment, "random_affine", affine)
    lab = small_lab(tmp_path)
    lab.fit_classifier(lab.train, title="C0 real only")
    arm = strong_arm(lab)
    none, all_of_it = ({"affine": on, "as it was": not on, "other colours": on} for on in (False, True))
    assert seen == [none] * STEPS + [all_of_it] * STEPS
    assert arm.classifier.stored.meta["config"]["balanced"]
    assert arm.train is lab.train
    assert arm.description == WORDS["C0b"]
    assert lab.ledger == []


def test_c0b_differs_from_c0_in_these_options_only(tmp_path: Path) -> None:
    outcome = ordinary(tmp_path, "small_cnn", "classifier.balanced=false", "classifier.steps=5")
    first, strong = (outcome.arms[name].classifier.stored.meta["config"] for name in ("C0", "C0b"))
    assert {name: strong[name] for name in STRONG} == {
        "balanced": True, "flips": True, "affine": True, "colour_jitter": 0.2
    }  # fmt: skip
    assert {name for name in first if first[name] != strong[name]} == {"balanced", "affine", "colour_jitter"}
    assert outcome.arms["C0b"].classifier.key != outcome.arms["C0"].classifier.key


def test_a_run_with_more_colour_jitter_keeps_it(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, sets=["classifier.colour_jitter=0.4"])
    assert strong_options(lab)["colour_jitter"] == 0.4


@pytest.mark.parametrize(
    ("classifier", "sets", "caveat", "again"),
    [
        ("NearestMean", (), "has no option balanced, flips, affine, colour_jitter", True),
        ("MirroredMean", (), "has no option affine, colour_jitter", False),
        ("MirroredMean", ("classifier.flips=true",), "has no option affine, colour_jitter", True),
        ("small_cnn", ("classifier.affine=true", "classifier.colour_jitter=0.3"), "C0 is trained the same way", True),
    ],
)
def test_what_c0b_cannot_do_is_said_in_its_description_and_in_the_ledger(
    classifier: str, sets: tuple[str, ...], caveat: str, again: bool, tmp_path: Path
) -> None:
    name = classifier if classifier == "small_cnn" else f"{HERE}:{classifier}"
    outcome = ordinary(tmp_path, name, *sets)
    arm = outcome.arms["C0b"]
    assert (arm.classifier.key == outcome.arms["C0"].classifier.key) is again
    assert caveat in arm.description
    assert ("this is C0 again" in arm.description) is again
    (entry,) = (e for e in outcome.ledger if e.get("arm") == "C0b")
    assert arm.description == f"{WORDS['C0b']}; {entry['caveat']}"
