"""The guard against invisible attacks: what only pixels carry, or only one network sees, is no hard case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.context import StageContext
from bench.contracts import ClassifierBase, Context, GeneratorBase, Images, Labels, Options, Threshold
from bench.lab import Fitted, Lab
from bench.pixels import UInt8
from bench.steering import score_of
from protocols.difficulty import cross_entropy, entropy
from protocols.strategies.base import Answer, Guidance
from protocols.strategies.guard import attack_guard
from protocols.strategies.guided import Guided
from tests.worlds import discs, small_lab

HERE = "tests.protocols.test_guard"
SIDE = 16
SKIN = 150.0
v, u = np.mgrid[:SIDE, :SIDE]
GRID = (-1.0) ** (u + v)  # the finest pattern there is: changes sign from pixel to pixel
SLOPE = np.sign(u - (SIDE - 1) / 2)  # left darker than right: as broad as can be


class Weights(Options):
    """Log odds of melanoma for a grey level of darkness below SKIN, and against it for one of GRID and of SLOPE."""

    shade: float = 0.0
    grid: float = 0.0
    slope: float = 0.0


class Linear(ClassifierBase):
    """Logistic regression with weights that are given instead of fitted, so that every loss is known."""

    Config = Weights
    config: Weights

    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        """Nothing is learnt."""
        self.fitted = 1

    def logits(self, x: Any, ctx: Context) -> Any:
        """[0, log odds] of float [B, 3, H, W] in 0..1."""
        darker = SKIN - 255 * x.mean(1)
        patterns = [(self.config.shade, np.ones_like(GRID)), (self.config.grid, GRID), (self.config.slope, SLOPE)]
        weight = torch.as_tensor(sum(w * pattern for w, pattern in patterns), dtype=x.dtype)
        odds = (darker * weight).mean((1, 2))
        return torch.stack([torch.zeros_like(odds), odds], dim=1)

    def predict(self, pixels: Any, ctx: Context) -> Any:
        x = torch.from_numpy(np.asarray(pixels[:]).astype(np.float64) / 255).permute(0, 3, 1, 2)
        return torch.softmax(self.logits(x, ctx), 1).numpy().astype(np.float32)

    def embed(self, pixels: Any, ctx: Context) -> Any:
        return np.asarray(pixels[:], dtype=np.float32).mean((1, 2))


def painted(*, darker: float = 0.0, grid: float = 0.0, slope: float = 0.0) -> UInt8:
    """A grey image uint8 [S, S, 3] that is so much darker than SKIN, with patterns of these amplitudes."""
    grey = SKIN - darker + grid * GRID + slope * SLOPE
    return np.asarray(np.rint(np.repeat(grey[..., None], 3, axis=2)), dtype=np.uint8)


def melanomas(*pixels: UInt8) -> Images:
    """``pixels`` as images that ought to be melanomas."""
    ids = np.array([f"syn-{i}" for i in range(len(pixels))])
    return Images(np.stack(pixels), np.ones(len(pixels), np.int64), ids, ids, ("benign", "melanoma"), "synthetic:test")


def log_loss(odds: float) -> float:
    """-log p(melanoma) at these log odds."""
    return float(np.log1p(np.exp(-odds)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return small_lab(tmp_path_factory.mktemp("guard"), n=40)


def fitted(lab: Lab, **weights: float) -> Fitted:
    return lab.fit_classifier(lab.train, title="linear", name=f"{HERE}:Linear", options=weights)


def failed(lab: Lab, images: Images, classifier: Fitted, judge: Fitted, keep: float = 0.5) -> list[dict[str, int]]:
    """Why each image fails alone; the guard takes them together as it takes them alone."""
    together = attack_guard(lab, images, classifier, judge, keep)
    alone = [attack_guard(lab, images.take([i]), classifier, judge, keep) for i in range(len(images))]
    assert together.passed.tolist() == [bool(one.passed[0]) for one in alone]
    assert together.reasons == {name: sum(one.reasons[name] for one in alone) for name in together.reasons}
    for one in alone:
        assert one.passed[0] == (not any(one.reasons.values()))
    return [{name: n for name, n in one.reasons.items() if n} for one in alone]


def test_an_attack_of_single_grey_levels_is_lost_by_blur_and_jpeg(lab: Lab) -> None:
    """One of 255 from pixel to pixel turns a sure melanoma (log odds 2) into a sure benign one (-6)."""
    classifier, judge = fitted(lab, shade=0.1, grid=8.0), fitted(lab, shade=0.1)
    attack = melanomas(painted(darker=20, grid=1))
    assert np.asarray(lab.predict(classifier, attack))[0, 1] == pytest.approx(np.exp(-log_loss(2 - 8)), rel=1e-4)
    assert failed(lab, attack, classifier, judge) == [{"lost_by_blur": 1, "lost_by_jpeg": 1, "not_transferred": 1}]
    assert failed(lab, attack, classifier, classifier) == [{"lost_by_blur": 1, "lost_by_jpeg": 1}]


def test_a_coarse_grid_survives_jpeg_and_not_the_blur(lab: Lab) -> None:
    classifier = fitted(lab, shade=0.1, grid=0.25)
    assert failed(lab, melanomas(painted(darker=20, grid=40)), classifier, classifier) == [{"lost_by_blur": 1}]


def test_what_the_independent_judge_does_not_see_is_not_transferred(lab: Lab) -> None:
    """Left darker than right means benign to the one and nothing to the other; blur and JPEG leave it as it is."""
    classifier, judge = fitted(lab, shade=0.1, slope=0.2), fitted(lab, shade=0.1)
    one_sided = melanomas(painted(darker=20, slope=30))
    assert failed(lab, one_sided, classifier, judge) == [{"not_transferred": 1}]
    assert failed(lab, one_sided, classifier, fitted(lab, slope=0.1)) == [{}]


def test_a_robust_hard_image_passes_and_so_does_an_easy_one_whatever_becomes_of_it(lab: Lab) -> None:
    classifier, judge = fitted(lab, shade=0.1, grid=1.0), fitted(lab, shade=0.08)
    pale, easy = painted(darker=-30), painted(darker=25, grid=1)
    assert failed(lab, melanomas(pale, easy), classifier, judge) == [{}, {}]
    assert cross_entropy(lab.predict(classifier, melanomas(pale, easy)), np.ones(2, np.int64)) == pytest.approx(
        [log_loss(-3), log_loss(2.5 - 1)], rel=1e-4
    )


@given(hard=st.floats(-60, 60), seen=st.floats(0.0, 0.2), keep=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_an_image_passes_if_the_judge_sees_its_share_of_the_loss_and_only_if(
    lab: Lab, hard: float, seen: float, keep: float
) -> None:
    """A plain image, which blur and JPEG leave as it is: all depends on the two losses, and they are known."""
    seen, paler = round(seen, 2), round(hard)
    loss, judged = log_loss(-0.1 * paler), log_loss(-seen * paler)
    lost = loss >= np.log(2) and judged < keep * loss
    if abs(judged - keep * loss) < 1e-4 or abs(loss - np.log(2)) < 1e-4:
        return
    images = melanomas(painted(darker=-paler))
    guarded = attack_guard(lab, images, fitted(lab, shade=0.1), fitted(lab, shade=seen), keep)
    assert guarded.passed.tolist() == [not lost]
    assert guarded.reasons == {"lost_by_blur": 0, "lost_by_jpeg": 0, "not_transferred": int(lost)}


# ---- the score that steers ----------------------------------------------------------------------------------------


def nchw(images: Images) -> torch.Tensor:
    return torch.from_numpy(np.asarray(images.pixels[:])).permute(0, 3, 1, 2).float() / 255


def test_scores_are_loss_and_entropy_of_what_the_classifier_predicts(lab: Lab, tmp_path: Path) -> None:
    """With a trained network: the signs are those of the measures of difficulty."""
    images, ctx = discs(24, 5), StageContext(0, tmp_path)
    network = lab.fit_classifier(lab.train, title="network", options={"steps": 40})
    p, model = np.asarray(lab.predict(network, images)), lab.loaded(network)
    y = torch.from_numpy(images.labels)
    with torch.no_grad():
        loss, spread = (score_of(model, ctx, objective)(nchw(images), y) for objective in ("loss", "entropy"))
    assert loss.numpy() == pytest.approx(cross_entropy(p, images.labels), rel=1e-3, abs=1e-5)
    assert spread.numpy() == pytest.approx(entropy(p), rel=1e-3, abs=1e-5)
    assert np.ptp(loss.numpy()) > 0.05


@pytest.mark.parametrize("objective", ["loss", "entropy"])
def test_a_step_along_the_gradient_raises_what_was_asked_for(objective: Any, lab: Lab, tmp_path: Path) -> None:
    images, ctx = discs(24, 5), StageContext(0, tmp_path)
    network = lab.fit_classifier(lab.train, title="network", options={"steps": 40})
    y = torch.from_numpy(images.labels)
    score, x = score_of(lab.loaded(network), ctx, objective), nchw(images).requires_grad_()
    before = score(x, y)
    (slope,) = torch.autograd.grad(before.sum(), x)
    with torch.no_grad():
        after = score(x + 1e-3 * slope / slope.flatten(1).norm(dim=1)[:, None, None, None], y)
    assert bool((after > before).all())


# ---- the strategy -------------------------------------------------------------------------------------------------


KINDS = {
    "plain": (20, False),
    "attack": (20, True),
    "mistaken": (-20, True),
    "pale": (-12, False),
    "paler": (-40, False),
}
"""Kind of image -> (how much darker than SKIN it is, whether the gradient changes it)."""


class Kinds(Options):
    """``kinds`` of images, made in turn."""

    kinds: tuple[str, ...] = ("plain",)


class Steered(GeneratorBase):
    """Plain images, some of them changed by ``scale`` grey levels a pixel along the sign of the score's gradient.

    The fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572), which no guidance of a diffusion model is
    but may come to.
    """

    Config = Kinds
    config: Kinds

    def fit(self, train: Images, ctx: Context) -> None:
        """Nothing is learnt."""
        self.fitted = 1

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Images of the kinds in turn, none of them changed."""
        kinds = np.resize(np.array(self.config.kinds), len(labels))
        return np.stack([painted(darker=KINDS[str(kind)][0]) for kind in kinds])

    def guide(self, labels: Labels, ctx: Context, score: Any, scale: float) -> UInt8:
        """The same, the kinds that are to be changed by ``scale`` grey levels."""
        made = self.sample(labels, ctx).astype(np.float32)
        attacked = np.resize([KINDS[kind][1] for kind in self.config.kinds], len(labels))
        x = torch.from_numpy(made / 255).permute(0, 3, 1, 2).requires_grad_()
        (slope,) = torch.autograd.grad(score(x, torch.from_numpy(labels)).sum(), x)
        made[attacked] += scale * slope.sign().permute(0, 2, 3, 1).numpy()[attacked]
        return np.asarray(np.rint(made), dtype=np.uint8)


def answer(lab: Lab, kinds: tuple[str, ...], n: int, **options: Any) -> tuple[Answer, Fitted, Fitted]:
    """What the strategy makes of ``n`` melanomas, the classifier that steered it and the judge."""
    generator = lab.fit_generator(lab.train, name=f"{HERE}:Steered", options={"kinds": kinds})
    classifier, judge = fitted(lab, shade=0.1, grid=8.0), fitted(lab, shade=0.1)
    hard = lab.train.take(np.resize(np.flatnonzero(lab.train.labels == 1), n))
    cut = Threshold("0.5", 0.5, "val_thresh", lab.split_checksum)
    probabilities = np.full((len(lab.train), 2), 0.5, dtype=np.float32)

    def check(images: Images) -> Any:
        return np.asarray(lab.predict(judge, images))[np.arange(len(images)), images.labels] >= 0.2

    guidance = Guidance(generator, classifier, judge, hard, hard, probabilities, cut, 1, check, f"guided/{n}/{kinds}")
    return Guided(Guided.Config(**options)).answer(lab, guidance), classifier, judge


def test_the_strategy_accepts_what_keeps_its_label_and_is_no_attack(lab: Lab) -> None:
    """The gradient's attack fools one classifier, not the judge; a pale image is hard for both; a paler one is lost."""
    found, classifier, judge = answer(lab, ("attack", "pale", "paler", "plain"), 12)
    assert found.made.labels.tolist() == [1] * 12
    p, judged = (np.asarray(lab.predict(fit, found.made))[:, 1] for fit in (classifier, judge))
    assert (p[0::4] < 0.01).all(), "each attack works"
    assert (judged[0::4] > 0.8).all(), "and is invisible to another classifier"
    assert (judged[2::4] < 0.2).all()
    assert found.accepted.tolist() == [False, True, False, True] * 3
    assert found.reasons == {"label_check": 3, "lost_by_blur": 3, "lost_by_jpeg": 3, "not_transferred": 3}


def test_without_a_scale_nothing_is_attacked_and_a_lax_guard_lets_attacks_pass(lab: Lab) -> None:
    still, _, _ = answer(lab, ("attack",), 4, scale=0.0)
    assert still.accepted.all()
    lax, _, _ = answer(lab, ("attack",), 5, keep=0.0)
    assert lax.accepted.all(), "keep = 0 asks for nothing"


def test_the_objective_is_the_one_that_was_asked_for(lab: Lab) -> None:
    """Of an image that passes for benign (log odds -2), a higher loss is further off and a higher entropy back at 0."""
    odds = {}
    for objective in ("loss", "entropy"):
        found, classifier, _ = answer(lab, ("mistaken",), 6, objective=objective, scale=1)
        p = np.asarray(lab.predict(classifier, found.made), dtype=np.float64)
        odds[objective] = np.log(p[:, 1] / p[:, 0])
    assert odds["loss"] == pytest.approx([-2.0 - 8.0] * 6, rel=1e-3)
    assert odds["entropy"] == pytest.approx([-2.0 + 8.0] * 6, rel=1e-3)
