"""The laboratory: stages are shared, seeds are paired, and nothing outside train reaches a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts import GeneratorBase, Images
from bench.errors import CapabilityError, LeakError, StageError
from tests.worlds import discs, small_lab


def statuses(lab) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    return [(s.stage, s.status) for s in lab.bench.stages]


def test_the_lab_has_no_test_split(tmp_path: Path) -> None:
    lab = small_lab(tmp_path)
    assert not [name for name in dir(lab) if "test" in name]


def test_stages_are_made_once_and_found_again(tmp_path: Path) -> None:
    labels = np.array([0, 1, 1], dtype=np.int64)
    first = small_lab(tmp_path, generator="copy")
    images = first.sample(first.fit_generator(first.train), labels, stream="a")
    second = small_lab(tmp_path, generator="copy")
    again = second.sample(second.fit_generator(second.train), labels, stream="a")
    assert statuses(first) == [("fit", "executed"), ("sample", "executed")]
    assert statuses(second) == [("fit", "cached"), ("sample", "cached")]
    assert np.array_equal(images.pixels[:], again.pixels[:])
    assert images.key == again.key
    assert images.source == "synthetic:copy"
    assert all(i.startswith("syn-") for i in images.ids)


def test_streams_and_seeds_give_different_images(tmp_path: Path) -> None:
    labels = np.zeros(8, dtype=np.int64)
    a, b = small_lab(tmp_path, generator="noise"), small_lab(tmp_path, generator="noise", seed=1)
    one = a.sample(a.fit_generator(a.train), labels, stream="a")
    other = a.sample(a.fit_generator(a.train), labels, stream="b")
    seeded = b.sample(b.fit_generator(b.train), labels, stream="a")
    assert not np.array_equal(one.pixels[:], other.pixels[:])
    assert not np.array_equal(one.pixels[:], seeded.pixels[:])


def test_copies_name_their_parents(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="copy")
    images = lab.sample(lab.fit_generator(lab.train), lab.train.labels[:10], stream="a")
    assert images.parents is not None
    row = {str(i): n for n, i in enumerate(lab.train.ids)}
    parents = lab.train.take([row[str(p)] for p in images.parents])
    assert np.array_equal(parents.pixels[:], images.pixels[:])
    assert np.array_equal(parents.labels, images.labels)


def test_images_from_outside_train_are_refused_by_name(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="copy")
    with pytest.raises(LeakError, match=r"not of the train split, e\.g\. vs2-"):
        lab.fit_generator(lab.train + lab.val_select)
    with pytest.raises(LeakError, match="C9: 1 real images"):
        lab.fit_classifier(lab.train + lab.val_thresh.take([0]), title="C9")


def test_held_out_images_may_train_a_classifier_but_no_generator(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="copy")
    held_out = lab.held_out(np.array([0, 1], dtype=np.int64), stream="C6")
    lab.fit_classifier(lab.train + held_out, title="C6")
    with pytest.raises(LeakError):
        lab.fit_generator(lab.train + held_out)


def test_the_leak_guard_stops_a_stage_before_it_is_stored(tmp_path: Path) -> None:
    def guard(images: Images, name: str) -> None:
        raise LeakError(f"{name} peeked")

    lab = small_lab(tmp_path, generator="copy", guard=guard)
    generator = lab.fit_generator(lab.train)
    with pytest.raises(LeakError, match="copy peeked"):
        lab.sample(generator, lab.train.labels, stream="a")
    assert statuses(lab)[-1] == ("sample", "failed")
    assert not list(lab.bench.store.root.glob("sample/*/*"))


class WrongShape(GeneratorBase):
    """Returns floats."""

    def fit(self, train, ctx) -> None:  # type: ignore[no-untyped-def]
        self.size = train.size[0]

    def sample(self, labels, ctx, hints=None):  # type: ignore[no-untyped-def]
        return np.zeros((len(labels), self.size, self.size, 3))


def test_a_generator_that_returns_the_wrong_thing_is_told(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="tests.bench.test_lab:WrongShape")
    generator = lab.fit_generator(lab.train)
    with pytest.raises(StageError, match=r"must return uint8 \(3, 16, 16, 3\), got float64"):
        lab.sample(generator, np.zeros(3, dtype=np.int64), stream="a")


def test_varying_needs_the_capability(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, generator="noise")
    with pytest.raises(CapabilityError, match="rejection"):
        lab.vary(lab.fit_generator(lab.train), lab.train, strength=0.5, stream="a")


def test_out_of_fold_judges_never_saw_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = small_lab(tmp_path)
    seen: list[tuple[Images, Images]] = []
    fit, predict = lab.fit_classifier, lab.predict

    def spy_fit(train: Images, **words):  # type: ignore[no-untyped-def]
        fitted = fit(train, **words)
        lab.last_train = train  # type: ignore[attr-defined]
        return fitted

    def spy_predict(classifier, images, **words):  # type: ignore[no-untyped-def]
        seen.append((lab.last_train, images))  # type: ignore[attr-defined]
        return predict(classifier, images, **words)

    monkeypatch.setattr(lab, "fit_classifier", spy_fit)
    monkeypatch.setattr(lab, "predict", spy_predict)
    probabilities = lab.crossfit(lab.train, folds=4)
    assert probabilities.shape == (80, 2)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-3)
    assert sum(len(part) for _, part in seen) == len(lab.train)
    for train, part in seen:
        assert not set(train.groups) & set(part.groups)


def test_children_of_a_fold_stay_out_of_its_training(tmp_path: Path) -> None:
    from bench.folds import grouped_folds
    from bench.lab import _not_from_fold

    lab = small_lab(tmp_path, generator="copy")
    children = lab.sample(lab.fit_generator(lab.train), lab.train.labels[:30], stream="a")
    fold = grouped_folds(lab.train, 4, lab.seed)
    fold_of = dict(zip(map(str, lab.train.ids), fold.tolist(), strict=True))
    kept = children.take(_not_from_fold(children, fold_of, 2))
    assert kept.parents is not None
    assert 0 < len(kept) < len(children)
    assert all(fold_of[str(p)] != 2 for p in kept.parents)


def test_thresholds_ignore_test_and_carry_their_split(tmp_path: Path) -> None:
    lab = small_lab(tmp_path)
    fitted = lab.fit_classifier(lab.train, title="C0")
    cut = lab.threshold(fitted, "youden")
    assert (cut.split, cut.split_checksum, cut.rule) == ("val_thresh", "c" * 64, "youden")
    scores = lab.predict(fitted, lab.val_thresh)[:, 1]
    y = lab.val_thresh.labels == 1
    best = max((scores[y] >= c).mean() - (scores[~y] >= c).mean() for c in scores)
    assert (scores[y] >= cut.value).mean() - (scores[~y] >= cut.value).mean() == pytest.approx(best)


def test_what_a_classifier_noticed_is_kept_with_its_stage(tmp_path: Path) -> None:
    lab = small_lab(tmp_path)
    one_class = lab.train.take(lab.train.labels == 0)
    for _ in range(2):  # executed, then found in the store
        meta = lab.fit_classifier(one_class, title="one class").stored.meta
        assert any("no train image of" in note for note in meta["notes"])
        assert meta["selected_step"] >= 1


def test_discs_differ_between_seeds() -> None:
    assert not np.array_equal(discs(4, 1).pixels, discs(4, 2).pixels)


def test_options_that_only_sampling_reads_share_one_fit(tmp_path: Path) -> None:
    """Guidance may be tried without training again; the images, and what is measured on the model, are others."""
    small = {"steps": 4, "sampling_steps": 2}
    one, other = ({**small, "guidance": scale} for scale in (1.0, 3.0))
    labels = np.array([0, 1, 1])
    images = []
    for options in (one, other):
        lab = small_lab(tmp_path, generator={"name": "ddpm", **options})
        fitted = lab.fit_generator(lab.train)
        images.append(lab.sample(fitted, labels, stream="x"))
        assert lab.loaded(fitted).config.guidance == options["guidance"]
    assert len(list(tmp_path.glob("store/fit/*/*/stage.json"))) == 1
    assert (np.asarray(images[0].pixels) != np.asarray(images[1].pixels)).any()
    lab = small_lab(tmp_path, generator={"name": "ddpm", **small, "steps": 5})
    lab.fit_generator(lab.train)
    assert len(list(tmp_path.glob("store/fit/*/*/stage.json"))) == 2
