"""Arms of a comparison are trained equally: as many steps, and batches of the same class prior, whatever was added.

What is compared is what the training loop really drew, batch by batch, not what the options promise.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import registry
from bench.contracts import Images
from bench.lab import Fitted, Lab, Outcome
from bench.loop import BatchRows
from classifiers import _training
from tests.worlds import small_lab

PROTOCOLS: dict[str, dict[str, Any]] = {
    "synthetic-only": {"sizes": (0.5, 2.0)},
    "mixed": {},
    "augmented": {"ratios": (0.25,), "balance": False, "positives": 9},
    "adversarial": {"strategy": "rejection", "rounds": 1, "folds": 2, "label_check": 0.0, "arms": "full"},
}
SD = 5.0  # how far from its expectation a count of draws may be


class Recorder:
    """The classes of every batch that each fit draws, int64 [steps, batch], by the key of the fitted classifier."""

    def __init__(self) -> None:
        self.drawn: dict[str, np.ndarray] = {}
        self.now: list[np.ndarray] = []

    def draws(self, labels: np.ndarray, batch: int, *, balanced: bool) -> BatchRows:
        """What stands in for ``BatchRows`` in the training loop: the same, written down."""
        recorder = self

        class Recorded(BatchRows):
            def __call__(self, rng: torch.Generator) -> torch.Tensor:
                rows = super().__call__(rng)
                recorder.now.append(labels[rows.numpy()])
                return rows

        return Recorded(labels, batch, balanced=balanced)


class RecordedLab(Lab):
    """Ties what was drawn to the classifier that was fitted with it."""

    def __init__(self, lab: Lab, recorder: Recorder) -> None:
        vars(self).update(vars(lab))
        self.recorder = recorder

    def fit_classifier(self, train: Images, **options: Any) -> Fitted:
        self.recorder.now = []
        fitted = super().fit_classifier(train, **options)
        if self.recorder.now:  # else it came from the store, and was recorded before
            self.recorder.drawn[fitted.key] = np.stack(self.recorder.now)
        return fitted


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(_training, "BatchRows", recorder.draws)
    return recorder


def positives(drawn: np.ndarray) -> list[int]:
    """Melanomas in each batch."""
    return [int(batch.sum()) for batch in drawn]


def is_share(drawn: np.ndarray, share: float) -> bool:
    """Whether as many melanomas were drawn as a prior of ``share`` gives, within chance."""
    return abs(drawn.sum() - share * drawn.size) <= SD * np.sqrt(share * (1 - share) * drawn.size)


@given(data=st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_arm_draws_as_many_batches_of_the_same_class_prior(recorder: Recorder, data: st.DataObject) -> None:
    protocol = data.draw(st.sampled_from(sorted(PROTOCOLS)))
    balanced, seed = data.draw(st.booleans()), data.draw(st.integers(0, 1000))
    steps, batch = data.draw(st.integers(4, 12)), data.draw(st.integers(8, 24))
    sets = [f"classifier.{name}={value}" for name, value in
            {"steps": steps, "batch": batch, "balanced": str(balanced).lower(), "evaluations": 1}.items()]  # fmt: skip
    with TemporaryDirectory() as folder:
        base = small_lab(Path(folder), seed=seed, n=60, generator="copy-noise", sets=sets)
        cls = registry.load("protocol", protocol)
        outcome: Outcome = cls(cls.Config(**PROTOCOLS[protocol])).run(RecordedLab(base, recorder))
    drawn = {name: recorder.drawn[arm.classifier.key] for name, arm in outcome.arms.items()}
    for name, batches in drawn.items():
        assert batches.shape == (steps, batch), name
        if name == "C0b":
            assert is_share(batches, 0.5), "its augmentation draws more random numbers, so single batches differ"
        elif balanced:
            assert positives(batches) == positives(drawn["C0"]), f"{name} draws the classes that C0 draws"
            assert is_share(batches, 0.5)
        else:
            assert is_share(batches, float(np.mean(outcome.arms[name].train.labels == base.task.positive)))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_balanced_batches_have_the_classes_that_chance_gives_whatever_images_there_are(data: st.DataObject) -> None:
    """Of any two sets with the same classes a seed draws the same classes, batch by batch, and each equally often."""
    classes = data.draw(st.integers(2, 4))
    sizes = st.lists(st.integers(1, 60), min_size=classes, max_size=classes)
    sets = [np.random.default_rng(0).permutation(np.repeat(np.arange(classes), data.draw(sizes))) for _ in range(2)]
    batch, seed = data.draw(st.integers(2, 64)), data.draw(st.integers(0, 2**32 - 1))
    drawn = []
    for labels in sets:
        rows_of, rng = BatchRows(labels, batch, balanced=True), torch.Generator().manual_seed(seed)
        drawn.append(np.stack([labels[rows_of(rng).numpy()] for _ in range(20)]))
    assert np.array_equal(*drawn)
    for k in range(classes):
        assert is_share(drawn[0] == k, 1 / classes)


@given(seed=st.integers(0, 1000), most=st.integers(4, 30), balanced=st.booleans())
@settings(max_examples=2, deadline=None)
def test_controls_of_a_round_have_the_class_counts_of_the_guided_arm(seed: int, most: int, balanced: bool) -> None:
    """So that batches drawn image by image have one prior too, before each arm chooses its round."""
    options = {**PROTOCOLS["adversarial"], "max_cases": most, "arms": ("C1", "C2", "C6", "C7")}
    sets = ["classifier.steps=2", f"classifier.balanced={str(balanced).lower()}"]
    with TemporaryDirectory() as folder:
        lab = small_lab(Path(folder), seed=seed, n=60, generator="copy-noise", sets=sets)
        cls = registry.load("protocol", "adversarial")
        outcome = cls(cls.Config(**options)).run(lab)
    guided = outcome.arms["guided"].train.counts().tolist()
    assert sum(guided) > len(lab.train)
    for name in ("C1", "C2", "C6", "C7"):
        assert outcome.arms[name].train.counts().tolist() == guided, name
