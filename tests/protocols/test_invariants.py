"""What no protocol may break, over random data and options: where images come from; arms differ in them only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import registry
from bench.contracts import Images
from bench.data.invariants import check_disjoint, check_no_synthetic, check_subset
from bench.errors import LeakError, StageError
from bench.evaluate import judge
from bench.lab import Fitted, Lab, Outcome
from bench.plan import plan
from protocols.adversarial import Adversarial
from protocols.difficulty import hard_cases
from tests.worlds import discs, small_config, small_lab

STRATEGIES = ("vary", "difficulty", "guided", "finetune", "token", "neighbours")  # rejection is among the protocols
PROTOCOLS: dict[str, dict[str, Any]] = {
    "real-only": {"fractions": (0.3, 0.6)},
    "synthetic-only": {"sizes": (0.5,)},
    "mixed": {},
    "augmented": {"ratios": (0.25, 0.5), "positives": 5},
    "adversarial": {"strategy": "rejection", "rounds": 2, "folds": 2, "label_check": 0.0, "arms": "full"},
    "adversarial-leaky": {"hold_out": 0.5, "repeats": 1, "folds": 2, "p_true_below": 0.95},
}
GUIDED = {"rounds": 1, "folds": 2, "label_check": 0.0, "max_cases": 8, "arms": ("C3",)}
BRIEF = [
    f"generator.{name}=3" for name in ("steps", "sampling_steps", "finetune_steps", "token_steps", "inversion_steps")
]
MINING_SPLIT = "mining split"
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class WatchedLab(Lab):
    """Remembers what generators are fitted on, changed by or started from, and what classifiers are fitted on."""

    def __init__(self, lab: Lab) -> None:
        vars(self).update(vars(lab))
        self.to_generators: list[Images] = []
        self.to_classifiers: list[tuple[Images, Fitted]] = []
        self.ways: set[str] = set()
        self.asked = ""

    def shown(self, way: str, *images: Images) -> None:
        """A generator was shown ``images`` in the way that is called ``way``."""
        self.ways.add(way)
        self.to_generators += images

    def fit_generator(self, train: Images, **options: Any) -> Fitted:
        self.shown("fit", train)
        return super().fit_generator(train, **options)

    def _changed(self, stage: str, generator: Fitted, given: Any, *more: Any) -> Fitted:
        self.shown(stage, *given.values())
        return super()._changed(stage, generator, given, *more)

    def vary(self, generator: Fitted, images: Images, **options: Any) -> Images:
        self.shown("vary", images)
        return super().vary(generator, images, **options)

    def neighbours(self, generator: Fitted, images: Images, **options: Any) -> Images:
        self.shown("neighbours", images)
        return super().neighbours(generator, images, **options)

    def fit_classifier(self, train: Images, **options: Any) -> Fitted:
        fitted = super().fit_classifier(train, **options)
        self.to_classifiers.append((train, fitted))
        return fitted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("invariants")


@pytest.fixture(scope="module", params=[*PROTOCOLS, *STRATEGIES, MINING_SPLIT])
def watched(request: pytest.FixtureRequest, folder: Path) -> tuple[WatchedLab, Outcome]:
    """Every protocol, and the adversarial one with every strategy, which needs a generator that can do it."""
    if request.param in PROTOCOLS:
        lab = WatchedLab(small_lab(folder, n=100, generator="copy-noise"))
        cls, options = registry.load("protocol", request.param), PROTOCOLS[request.param]
    else:
        lab = WatchedLab(small_lab(folder, n=100, generator="ddpm", sets=BRIEF))
        how = {"mining": "split"} if request.param == MINING_SPLIT else {"strategy": request.param}
        cls, options = Adversarial, {"strategy": "rejection", **GUIDED, **how}
    lab.asked = request.param
    return lab, cls(cls.Config(**options)).run(lab)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return small_lab(tmp_path_factory.mktemp("lab"), generator="copy")


def test_every_protocol_of_this_package_is_among_them() -> None:
    own = {name for name in registry.names("protocol") if registry.load("protocol", name).__module__ in _modules()}
    assert own == set(PROTOCOLS)
    assert set(registry.names("strategy")) == {*STRATEGIES, PROTOCOLS["adversarial"]["strategy"]}


def _modules() -> set[str]:
    return {f"protocols.{path.stem}" for path in (Path(__file__).parents[2] / "protocols").glob("*.py")}


def test_generators_are_fitted_on_real_train_images_alone(watched: tuple[WatchedLab, Outcome]) -> None:
    lab, outcome = watched
    fitted, told = {"fit"} if outcome.generator else set(), {lab.asked} & {"vary", "finetune", "token", "neighbours"}
    assert lab.ways == fitted | told, "nothing that a generator was shown went unseen"
    for images in lab.to_generators:
        check_subset(images.ids, lab.train, "generator")
        for name in ("val_select", "val_thresh"):
            check_disjoint(images, getattr(lab, name), name)


def test_mined_cases_are_of_train(watched: tuple[WatchedLab, Outcome]) -> None:
    lab, outcome = watched
    for entry in outcome.ledger:
        check_subset(np.array(entry.get("mined_ids", []), dtype=np.str_), lab.train, "mined")


def test_no_classifier_is_fitted_on_validation_images(watched: tuple[WatchedLab, Outcome]) -> None:
    lab, _ = watched
    for images, _ in lab.to_classifiers:
        assert not set(images.ids) & (set(lab.val_select.ids) | set(lab.val_thresh.ids))
        assert not set(images.groups) & (set(lab.val_select.groups) | set(lab.val_thresh.groups))


def test_no_synthetic_image_is_in_an_evaluation_set(watched: tuple[WatchedLab, Outcome]) -> None:
    lab, outcome = watched
    for name in ("val_select", "val_thresh"):
        check_no_synthetic(getattr(lab, name), name)
    assert all(str(i).startswith("syn-") for images in outcome.synthetic.values() for i in images.ids)


def test_arms_differ_in_their_images_only(watched: tuple[WatchedLab, Outcome]) -> None:
    """Equal options (steps, batch, class prior per batch, augmentation, selection), equal seed, equal val_select."""
    lab, outcome = watched
    metas = {name: arm.classifier.stored.meta for name, arm in outcome.arms.items()}
    fitted_on = {fitted.key: images.key for images, fitted in lab.to_classifiers}
    for name, arm in outcome.arms.items():
        assert fitted_on[arm.classifier.key] == arm.train.key, "the table says what it was trained on"
        assert metas[name]["seed"] == metas["C0"]["seed"]
        assert metas[name]["inputs"]["val"] == lab.val_select.key
        assert metas[name]["config"]["steps"] == metas["C0"]["config"]["steps"]
        assert metas[name]["config"]["balanced"] == metas["C0"]["config"]["balanced"]
        if name != "C0b":
            assert metas[name]["config"] == metas["C0"]["config"]


def test_added_classes_are_those_of_the_control(watched: tuple[WatchedLab, Outcome]) -> None:
    _, outcome = watched
    for name in [name for name in outcome.arms if name.endswith("-real")]:
        arm, control = outcome.arms[name.removesuffix("-real")].train, outcome.arms[name].train
        assert arm.counts().tolist() == control.counts().tolist()


@given(data=st.data())
@quick
def test_mining_takes_cases_of_train_whatever_the_predictions(lab: Lab, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    p = np.random.default_rng(seed).beta(*data.draw(st.tuples(*[st.floats(0.1, 9)] * 2)), size=len(lab.train))
    probabilities = np.stack([1 - p, p], axis=1).astype(np.float32)
    cut = replace(_cut(lab), value=data.draw(st.floats(0, 1)))
    most = data.draw(st.integers(0, 30))
    below = data.draw(st.floats(0, 1))
    protocol = Adversarial(Adversarial.Config(max_cases=most, p_true_below=below))
    try:
        hard = protocol._mine(lab, lab.train, probabilities, cut, 1)
    except StageError:  # all are right and sure
        return
    of_label = probabilities[np.arange(len(p)), lab.train.labels]
    wrong = (p >= cut.value).astype(np.int64) != lab.train.labels
    assert set(hard.ids) <= set(lab.train.ids[wrong | (of_label < below)]), "every mined case is a hard one"
    assert len(set(hard.ids)) == len(hard)
    every = hard_cases(lab.train, probabilities, lab.task.positive, cut, p_true_below=below)
    assert set(hard.ids) <= set(lab.train.ids[every])
    assert len(hard) == (min(most, len(every)) if most else len(every))


def _cut(lab: Lab) -> Any:
    return lab.threshold(lab.fit_classifier(lab.train, title="C0"))


@given(data=st.data())
@quick
def test_a_generator_gets_any_part_of_train_and_nothing_else(lab: Lab, data: st.DataObject) -> None:
    known = [lab.train, lab.val_select, lab.val_thresh, lab.held_out(np.array([0, 1, 1]), stream="C6")]
    rows = [data.draw(st.sets(st.integers(0, len(part) - 1), max_size=3)) for part in known]
    rows[0] = rows[0] or {0}
    mixture = known[0].take(sorted(rows[0]))
    for part, chosen in zip(known[1:], rows[1:], strict=True):
        mixture = mixture + part.take(sorted(chosen)) if chosen else mixture
    if any(rows[1:]):
        with pytest.raises(LeakError, match=f"{sum(map(len, rows[1:]))} real images are not of the train split"):
            lab.fit_generator(mixture)
    else:
        assert lab.fit_generator(mixture).kind == "generator"


@pytest.fixture(scope="module")
def able(folder: Path) -> tuple[Lab, Fitted]:
    """A laboratory with a generator that can be shown images in every way there is."""
    lab = small_lab(folder, n=100, generator="ddpm", sets=BRIEF)
    return lab, lab.fit_generator(lab.train)


@given(data=st.data())
@quick
def test_a_fitted_generator_is_shown_no_image_of_validation_or_reserve(
    able: tuple[Lab, Fitted], data: st.DataObject
) -> None:
    """Neither to learn from, nor to replay, nor to start from; the image and its split are named."""
    lab, generator = able
    parts = {"val_select": lab.val_select, "val_thresh": lab.val_thresh}
    parts["the reserve"] = lab.held_out(np.array([0, 1, 1, 0]), stream="C6")
    name = data.draw(st.sampled_from(sorted(parts)))
    stolen = parts[name].take([data.draw(st.integers(0, len(parts[name]) - 1))])
    honest = lab.train.take(sorted(data.draw(st.sets(st.integers(0, 99), max_size=3))))
    mixture = honest + stolen if data.draw(st.booleans()) else stolen + honest
    ways: dict[str, Callable[[], object]] = {
        "finetune": lambda: lab.finetune(generator, mixture, lab.train, stream="a"),
        "replay": lambda: lab.finetune(generator, lab.train, mixture, stream="a"),
        "token": lambda: lab.learn_token(generator, mixture, stream="a"),
        "vary": lambda: lab.vary(generator, mixture, strength=0.3, stream="a"),
        "neighbours": lambda: lab.neighbours(generator, mixture, step=0.1, stream="a"),
    }
    show = ways[data.draw(st.sampled_from(sorted(ways)))]
    with pytest.raises(LeakError, match=f"1 real images are not of the train split, e.g. {stolen.ids[0]} of {name}"):
        show()


@given(row=st.integers(0, 39), shift=st.integers(-2, 2), name=st.sampled_from(["id", "group", "pixels"]))
@quick
def test_train_that_shares_anything_with_an_evaluation_set_is_refused(row: int, shift: int, name: str) -> None:
    train, other = discs(40, 1, size=32), discs(40, 2, prefix="vs", size=32)
    check_disjoint(train, other, "train and val")
    stolen = {"id": "ids", "group": "groups"}.get(name)
    if stolen is not None:
        names = [str(getattr(other, stolen)[row]), *map(str, getattr(train, stolen)[1:])]
        train = replace(train, **{stolen: np.array(names)}, key="")
    else:
        pixels = np.asarray(train.pixels).copy()
        pixels[0] = np.clip(np.asarray(other.pixels)[row].astype(np.int64) + shift, 0, 255)
        train = replace(train, pixels=pixels, key="")
    with pytest.raises(LeakError, match=r"train and val: 1 (shared|near-duplicate)"):
        check_disjoint(train, other, "train and val")


@given(rows=st.sets(st.integers(0, 9)))
@quick
def test_an_evaluation_set_with_any_synthetic_image_is_refused(rows: set[int]) -> None:
    images = discs(10, 1)
    ids = np.array([f"syn-{i}" if n in rows else i for n, i in enumerate(images.ids)])
    images = replace(images, ids=ids, key="")
    if not rows:
        check_no_synthetic(images, "test")
        return
    with pytest.raises(LeakError, match=f"{len(rows)} synthetic images in an evaluation set"):
        check_no_synthetic(images, "test")


@given(seed=st.integers(0, 2**32 - 1))
@settings(quick, max_examples=15)
def test_thresholds_do_not_move_when_test_labels_are_permuted(lab: Lab, seed: int) -> None:
    test = discs(40, 4, prefix="t")
    shuffled = replace(test, labels=np.random.default_rng(seed).permutation(test.labels), key="")
    classifier = lab.fit_classifier(lab.train, title="C0")
    first, second = (judge(lab.bench, lab, classifier, images) for images in (test, shuffled))
    assert first.thresholds == second.thresholds
    assert {t.split for t in first.thresholds.values()} == {"val_thresh"}


@pytest.fixture(autouse=True)
def _few_replicates(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.bench, "config", lab.bench.config.model_copy(update={"replicates": 20}))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planned")


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_protocol_can_be_planned_without_results(name: str, planned: Path) -> None:
    sets = ["data.options.n_train=300", "data.options.n_test=100", "data.resolution=16"]
    protocol = {"name": name, **PROTOCOLS[name]}
    made = plan(small_config(planned, protocol=protocol, generator="copy-noise", sets=sets))
    assert made.notes == []
    assert sum(s.stage == "train" for s in made.to_do) >= 2
