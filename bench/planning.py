"""A twin of the laboratory that trains nothing: stored results are read, missing ones are stood in for.

A stage's key follows from how it is made, so most keys are known beforehand and the store tells what is cached. Only
where a result decides what comes next (which cases are hard) does the plan guess, and says so by a key that is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Images, Labels, Probabilities
from bench.extractors import Extractor
from bench.heldout import HeldOut
from bench.lab import Fitted, Lab
from bench.pixels import UInt8
from bench.store import Make, Store, Stored
from bench.workbench import Workbench

PLANNED = "planned"


class NotMade(Exception):
    """A result that is asked for but not stored; ``stored`` says where it will be."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(stored.key)
        self.stored = stored


@dataclass(frozen=True)
class Planned:
    """A stage of the run to come. ``meta``: what describes it; of a cached stage its whole ``stage.json``.

    ``n``: images it works on (0: not known). ``options``: those of the plugin at work, which the key of a stage that
    only uses a fitted plugin does not repeat.
    """

    stage: str
    title: str
    key: str
    cached: bool
    meta: Mapping[str, Any]
    options: Mapping[str, Any]
    n: int = 0


class PlanningStore(Store):
    """A store that makes nothing."""

    def once(self, stage: str, key: str, make: Make, *, together: bool = False, **describe: Any) -> Stored:
        """The finished stage, or a :class:`Stored` of status "planned" whose folder does not exist."""
        meta = {"stage": stage, "key": key, "seconds": 0.0, **describe}
        return self.find(stage, key) or Stored(self.folder(stage, key), meta, PLANNED)


@dataclass
class PlanningBench(Workbench):
    """A workbench that writes down the stages instead of making them."""

    planned: list[Planned] = field(default_factory=list)
    count: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.last: Stored
        self.store: Store = PlanningStore(self.config.store)

    @contextmanager
    def of(self, n: int, fitted: Fitted | None = None) -> Iterator[None]:
        """Within the block, stages work on ``n`` images, with the plugin ``fitted``."""
        before = self.count, self.options
        self.count, self.options = n, {} if fitted is None else fitted.config.model_dump(mode="json")
        try:
            yield
        finally:
            self.count, self.options = before

    def stage(self, stage: str, name: str, *more: Any, **options: Any) -> Stored:
        """The stored stage, or where it will lie; written down either way, once."""
        stored = self.last = super().stage(stage, name, *more, **options)
        if all(p.key != stored.key for p in self.planned):
            cached = stored.status != PLANNED
            given = stored.meta.get("config") or self.options
            self.planned.append(Planned(stage, self._title(name), stored.key, cached, stored.meta, given, self.count))
        return stored

    def json_stage(self, *arguments: Any, **options: Any) -> Any:
        """The stored result. Raises :class:`NotMade` if there is none."""
        try:
            return super().json_stage(*arguments, **options)
        except FileNotFoundError:
            raise NotMade(self.last) from None

    def array_stage(self, *arguments: Any, **options: Any) -> tuple[np.ndarray[Any, Any], Stored]:
        """The stored array. Raises :class:`NotMade` if there is none."""
        try:
            return super().array_stage(*arguments, **options)
        except FileNotFoundError:
            raise NotMade(self.last) from None

    def _account(self, stage: str, name: str, key: str, *rest: Any) -> None:
        return None


class PlanningHeldOut(HeldOut):
    """Held-out images, or blank ones of the right number and labels."""

    def _fresh(self, labels: Labels, seed: int) -> Images:
        assert isinstance(self.bench, PlanningBench)
        try:
            with self.bench.of(len(labels)):
                return super()._fresh(labels, seed)
        except NotMade as missing:
            key = missing.stored.key
            ids = np.array([f"fresh-{key[:12]}-{i:06d}" for i in range(len(labels))], dtype=np.str_)
            return Images(blank(len(labels), self.half.size), labels, ids, ids, self.half.class_names, key=key)


class PlanningLab(Lab):
    """What a protocol works with while its run is planned."""

    bench: PlanningBench

    def predict(self, classifier: Fitted, images: Images, *, title: str = "") -> Probabilities:
        """Stored probabilities [N, K], or those of a fairly good classifier."""
        try:
            with self.bench.of(len(images), classifier):
                return super().predict(classifier, images, title=title)
        except NotMade:
            return fair_probabilities(images)

    def embed(self, classifier: Fitted, images: Images, *, title: str = "") -> NDArray[np.float32]:
        """Stored features, or zeros [N, 1]."""
        try:
            with self.bench.of(len(images), classifier):
                return super().embed(classifier, images, title=title)
        except NotMade:
            return np.zeros((len(images), 1), dtype=np.float32)

    def extract(self, extractor: Extractor, images: Images, *, title: str = "") -> NDArray[np.float32]:
        """Stored features, or zeros [N, 1]."""
        try:
            with self.bench.of(len(images)):
                return super().extract(extractor, images, title=title)
        except NotMade:
            return np.zeros((len(images), 1), dtype=np.float32)

    def reconstruct(self, generator: Fitted, images: Images) -> NDArray[np.uint8] | None:
        """Stored reconstructions or blank images, None without an autoencoder."""
        try:
            with self.bench.of(len(images), generator):
                return super().reconstruct(generator, images)
        except NotMade:
            return blank(len(images), images.size)

    def fit_generator(self, train: Images, **options: Any) -> Fitted:
        """The stored generator, or where it will lie."""
        with self.bench.of(len(train)):
            return super().fit_generator(train, **options)

    def fit_classifier(self, train: Images, **options: Any) -> Fitted:
        """The stored classifier, or where it will lie."""
        with self.bench.of(len(train)):
            return super().fit_classifier(train, **options)

    def _generate(self, stage: str, generator: Fitted, labels: Labels, parents: Any, *rest: Any) -> Images:
        try:
            with self.bench.of(len(labels), generator):
                return super()._generate(stage, generator, labels, parents, *rest)
        except FileNotFoundError:
            pixels = blank(len(labels), self.train.size)
            return self._synthetic(pixels, labels, parents, generator.name, self.bench.last.key)


def blank(n: int, size: tuple[int, int]) -> UInt8:
    """n black images uint8 [n, H, W, 3] that take no memory."""
    return np.broadcast_to(np.uint8(0), (n, *size, 3))


def fair_probabilities(images: Images) -> Probabilities:
    """Stand-in probabilities float32 [N, K]: p(true) from Beta(4, 1), so 6 % wrong and 32 % below .75."""
    n, k = len(images), images.num_classes
    p_true = np.random.default_rng(0).beta(4, 1, n)
    out = np.repeat(((1 - p_true) / max(1, k - 1))[:, None], k, axis=1)
    out[np.arange(n), images.labels] = p_true
    return out.astype(np.float32)
