"""What a protocol works with: train and validation images, stages to call, and no way to the test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from bench import registry
from bench.context import StageContext
from bench.contracts import Estimate, Images, Labels, Probabilities, Strings, Task, Threshold
from bench.data.invariants import check_subset
from bench.errors import CapabilityError, LeakError, StageError
from bench.extractors import Extractor
from bench.folds import grouped_folds
from bench.heldout import HeldOut
from bench.keys import digest, stage_seed
from bench.ledger import Lineage
from bench.pixels import PixelArray, UInt8, take_rows
from bench.steering import Steering
from bench.store import Stored
from bench.throughput import timed_call
from bench.workbench import Workbench

SYNTHETIC_PREFIX = "syn-"


@dataclass(frozen=True)
class Fitted:
    """A fitted generator or classifier in the store."""

    kind: str
    name: str
    cls: Any
    config: BaseModel
    stored: Stored

    @property
    def key(self) -> str:
        return self.stored.key


@dataclass(frozen=True)
class Arm:
    """One way to train: its classifier and what that was trained on. ``description`` goes into tables."""

    classifier: Fitted
    train: Images
    description: str


@dataclass
class Outcome:
    """What a protocol hands over; the runner predicts on test and measures.

    arms        name -> arm, in the order of the tables
    generator   the generator whose images are judged for fidelity and memorization, or None
    synthetic   name -> synthetic images that arms were trained on (for sample grids)
    ledger      what was decided and why, one JSON object a decision
    primary     (arm, versus) pairs of the primary comparison, Holm-corrected together
    findings    numbers that the protocol itself found without the test split, by name
    lineage     round by round the hard cases and the images made for them
    judges      classifiers that are no arm, by which the runner tells which test images are hard
    reseeded    C0 once more with another random stream: what a new training alone changes; the runner's arm C0r
    """

    arms: dict[str, Arm]
    generator: Fitted | None = None
    synthetic: dict[str, Images] = field(default_factory=dict)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    primary: list[tuple[str, str]] = field(default_factory=list)
    findings: dict[str, Estimate] = field(default_factory=dict)
    lineage: list[Lineage] = field(default_factory=list)
    judges: tuple[Fitted, ...] = ()
    reseeded: Fitted | None = None


class Lab(Steering):
    """A protocol's laboratory for one seed.

    train, val_select, val_thresh: real images (see the splits); ``task``; ``seed``. Every method is a stage: called
    again with the same inputs, in this run or another, it returns the stored result. Images made by generators carry
    ids that begin with "syn-"; real images that reach a generator or classifier must come from ``train``.
    """

    def __init__(
        self,
        bench: Workbench,
        task: Task,
        splits: Mapping[str, Images],
        split_checksum: str,
        held_out: HeldOut,
        leak_guard: Callable[[Images, str], None],
    ) -> None:
        self.bench, self.task, self.seed = bench, task, int(bench.seed or 0)
        self.train, self.val_select, self.val_thresh = (splits[k] for k in ("train", "val_select", "val_thresh"))
        self.split_checksum = split_checksum
        self._held_out, self._leak_guard = held_out, leak_guard
        self._train_ids = frozenset(map(str, self.train.ids))
        self._held_out_ids: set[str] = set()
        self._objects: dict[str, Any] = {}
        self.ledger: list[dict[str, Any]] = []
        self.lineage: list[Lineage] = []

    # ---- generators -------------------------------------------------------------------------------------------

    def fit_generator(
        self, train: Images, *, name: str | None = None, options: Mapping[str, Any] | None = None
    ) -> Fitted:
        """Fit the run's generator (or another by ``name``) on ``train``; raises LeakError for images not in train."""
        cls, config, name = self._plugin("generator", name, options)
        self._check_origin(train, f"generator {name!r}", allow_held_out=False)
        pool = self._held_out.pool(self.train) if hasattr(cls, "fit_held_out") else None
        inputs: dict[str, Any] = {"train": train.key, "precision": self.bench.precision}
        if pool is not None:
            inputs["held_out"] = pool.key
        if callable(read := getattr(cls, "inputs", None)):
            inputs["read"] = dict(read(config))

        def make(out: Path, ctx: StageContext) -> Mapping[str, Any]:
            generator = cls(config)
            if pool is not None:
                generator.fit_held_out(train, pool, ctx)
            else:
                generator.fit(train, ctx)
            generator.save(_new_folder(out / "model"))
            return ctx.speed(config)

        stored = self.bench.stage(
            "fit", f"fit {name}", cls, fit_options(cls, config), inputs, make, seed_path="generator"
        )
        return Fitted("generator", name, cls, config, stored)

    def can(self, fitted: Fitted, capability: type) -> bool:
        """Whether a fitted plugin has a capability (a ``runtime_checkable`` protocol of :mod:`bench.contracts`)."""
        return _has(fitted.cls, capability)

    def can_generate(self, capability: type) -> bool:
        """Whether the run's generator has a capability: known before it is fitted."""
        return _has(self.bench.config.plugin("generator")[0], capability)

    def within(self, part: Images) -> Lab:
        """The same laboratory, ledger and all, whose ``train`` is ``part`` of this one's; other real images of it stay
        allowed. Raises :class:`LeakError` for images that are not of ``train``.
        """
        check_subset(part.ids, self.train, "part of train")
        out = copy(self)
        out.train = part
        return out

    def sample(self, generator: Fitted, labels: Labels, *, stream: str, codes: Labels | None = None) -> Images:
        """One synthetic image for each of ``labels`` int64 [M]; ``stream`` names the random stream.

        ``codes`` int64 [M]: what the generator is asked for instead, where it was fitted on finer classes.
        """
        asked = labels if codes is None else codes

        def draw(model: Any, ctx: StageContext, rows: slice) -> UInt8:
            return model.sample(asked[rows], ctx)  # type: ignore[no-any-return]

        inputs = {"labels": digest(labels.tolist())}
        if codes is not None:
            inputs["codes"] = digest(codes.tolist())
        return self._generate("sample", generator, labels, None, inputs, stream, draw)

    def vary(self, generator: Fitted, images: Images, *, strength: float, stream: str) -> Images:
        """A variation of each of ``images`` (real ones must be of train); parents are recorded."""
        from bench.capabilities import CanVary

        if not self.can(generator, CanVary):
            raise CapabilityError(f"generator {generator.name!r} cannot vary images; choose strategy 'rejection'")
        self._check_origin(images, f"variations by {generator.name!r}", allow_held_out=False)

        def draw(model: Any, ctx: StageContext, rows: slice) -> UInt8:
            part = images if rows == slice(None) else images.take(np.arange(len(images))[rows])
            return model.vary(part, ctx, strength)  # type: ignore[no-any-return]

        inputs = {"images": images.key, "strength": strength}
        return self._generate("vary", generator, images.labels, images.ids, inputs, stream, draw)

    def reconstruct(self, generator: Fitted, images: Images) -> NDArray[np.uint8] | None:
        """An autoencoder's own reconstructions of ``images`` uint8 [N, H, W, 3], or None if it has no autoencoder."""
        if not callable(getattr(generator.cls, "reconstruct", None)):
            return None

        def make(ctx: StageContext) -> tuple[UInt8, Mapping[str, Any]]:
            return self.loaded(generator).reconstruct(images, ctx), {}

        inputs = {"generator": generator.key, "images": images.key, "precision": self.bench.precision}
        name = f"reconstruct {len(images)} images"
        return self.bench.array_stage("reconstruct", name, generator.cls, {}, inputs, make)[0]

    def held_out(self, labels: Labels, *, stream: str) -> Images:
        """Real images no generator saw, for the oracle arm: the oracle half of the reserve, or fresh draws."""
        images = self._held_out.draw(labels, stage_seed(self.seed, f"held-out/{stream}"))
        self._held_out_ids.update(map(str, images.ids))
        return images

    # ---- classifiers ------------------------------------------------------------------------------------------

    def fit_classifier(
        self,
        train: Images,
        *,
        title: str,
        stream: str = "classifier",
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Fitted:
        """Fit the run's classifier on ``train``, with ``val_select`` for model selection.

        Arms share the random ``stream``: paired seeds give equal initial weights and batch draws.
        """
        cls, config, name = self._plugin("classifier", name, options)
        self._check_origin(train, title, allow_held_out=True)
        inputs = {"train": train.key, "val": self.val_select.key, "precision": self.bench.precision}

        def make(out: Path, ctx: StageContext) -> Mapping[str, Any]:
            classifier = cls(config)
            classifier.fit(train, self.val_select, ctx)
            classifier.save(_new_folder(out / "model"))
            return {**ctx.speed(config), **_noticed(classifier)}

        stored = self.bench.stage(
            "train", f"train {name}: {title}", cls, config.model_dump(mode="json"), inputs, make, seed_path=stream
        )
        return Fitted("classifier", name, cls, config, stored)

    def predict(self, classifier: Fitted, images: Images, *, title: str = "") -> Probabilities:
        """Class probabilities float32 [N, K] on ``images``."""
        return predict_stage(self.bench, classifier, images, title or f"{len(images)} images", self.loaded)

    def embed(self, classifier: Fitted, images: Images, *, title: str = "") -> NDArray[np.float32]:
        """Penultimate features float32 [N, D] of ``images``."""

        def make(ctx: StageContext) -> tuple[NDArray[np.float32], Mapping[str, Any]]:
            features = np.asarray(self.loaded(classifier).embed(images.pixels, ctx), dtype=np.float32)
            return features, {"n": len(images)}

        inputs = {"classifier": classifier.key, "images": images.key, "precision": self.bench.precision}
        name = f"features: {title or len(images)}"
        return self.bench.array_stage("features", name, classifier.cls, {}, inputs, make)[0]

    def extract(self, extractor: Extractor, images: Images, *, title: str = "") -> NDArray[np.float32]:
        """Features float32 [N, D] of ``images`` under an extractor that no run has to fit."""
        from bench.extractors.stage import features_stage

        return features_stage(self.bench, extractor, images, title)

    def embed_pixels(self, classifier: Fitted, pixels: PixelArray) -> NDArray[np.float32]:
        """Penultimate features float32 [N, D] of bare pixels, computed here and now."""
        ctx = StageContext(0, self.bench.store.root / "work", self.bench.device, self.bench.precision)
        return np.asarray(self.loaded(classifier).embed(pixels, ctx), dtype=np.float32)

    def crossfit(self, images: Images, *, folds: int, extra: Images | None = None) -> Probabilities:
        """Out-of-fold class probabilities float32 [N, K]: the judge of an image never saw its group.

        ``extra``: synthetic images to train on as well; in each fold those whose parent is of the fold are left out.
        """
        out = np.zeros((len(images), self.task.num_classes), dtype=np.float32)
        for k, (inside, classifier) in enumerate(self.fold_classifiers(images, folds=folds, extra=extra), start=1):
            out[inside] = self.predict(classifier, images.take(inside), title=f"out of fold {k}")
        return out

    def fold_classifiers(
        self, images: Images, *, folds: int, extra: Images | None = None
    ) -> Iterator[tuple[NDArray[np.bool_], Fitted]]:
        """The classifiers of :meth:`crossfit`, each with the images bool [N] that it never saw, nor their groups."""
        fold = grouped_folds(images, folds, self.seed)
        fold_of = dict(zip(map(str, images.ids), fold.tolist(), strict=True))
        for k in range(folds):
            rest = images.take(fold != k)
            if extra is not None:
                rest = rest + extra.take(_not_from_fold(extra, fold_of, k))
            yield fold == k, self.fit_classifier(rest, title=f"fold {k + 1} of {folds}", stream=f"crossfit/{k}")

    def threshold(self, classifier: Fitted, rule: str = "youden") -> Threshold:
        """Cut on the positive class score, fitted on ``val_thresh`` and carrying the split's checksum."""
        scores = self.predict(classifier, self.val_thresh, title="val_thresh")
        return fit_threshold(rule, self.val_thresh, scores, self.task, self.split_checksum)

    def selection_score(self, classifier: Fitted) -> float:
        """AUC of the positive class on ``val_select``: the only number that may choose a round."""
        from bench.stats import auc

        scores = self.predict(classifier, self.val_select, title="val_select")
        return float(auc(self.val_select.labels == self.task.positive, scores[:, self.task.positive]))

    def making(self, *arms: str) -> AbstractContextManager[None]:
        """A block whose stages ``arms`` need, beside those that their classifiers and images tell of: their cost."""
        return self.bench.charging(*arms)

    def note(self, **entry: Any) -> None:
        """Add an entry to the ledger."""
        self.ledger.append({"seed": self.seed, **entry})

    def loaded(self, fitted: Fitted) -> Any:
        """The fitted plugin itself, loaded from the store; the last few stay in memory."""
        key = f"{fitted.key}/{digest(fitted.config.model_dump(mode='json'))}"  # one fit, several ways to sample from it
        if key not in self._objects:
            if len(self._objects) >= 4:
                self._objects.pop(next(iter(self._objects)))
            self._objects[key] = fitted.cls.load(fitted.stored.folder / "model", fitted.config)
        return self._objects[key]

    # ---- inside -----------------------------------------------------------------------------------------------

    def _plugin(self, kind: str, name: str | None, options: Mapping[str, Any] | None) -> tuple[Any, BaseModel, str]:
        section = getattr(self.bench.config, kind)
        if name is None or (name == section.name and not options):
            cls, config = self.bench.config.plugin(kind)
            return cls, config, section.name
        cls = registry.load(kind, name)
        return cls, registry.effective_config(kind, name, cls, self.bench.config.preset, dict(options or {})), name

    def _generate(
        self,
        stage: str,
        generator: Fitted,
        labels: Labels,
        parents: Strings | None,
        inputs: Mapping[str, Any],
        stream: str,
        draw: Callable[[Any, StageContext, slice], UInt8],
    ) -> Images:
        size = self.train.size

        def make(out: Path, ctx: StageContext) -> Mapping[str, Any]:
            model = self.loaded(generator)
            warm = slice(0, min(4, len(labels)))
            pixels, speed = timed_call(
                lambda: draw(model, ctx, slice(None)), lambda: draw(model, ctx, warm), len(labels), ctx
            )
            _check_pixels(pixels, (len(labels), *size, 3), generator.name)
            told = getattr(model, "last_parents", None)
            np.save(out / "pixels.npy", np.ascontiguousarray(pixels), allow_pickle=False)
            if told is not None and parents is None:
                np.save(out / "parents.npy", np.asarray(told, dtype=np.str_), allow_pickle=False)
            self._leak_guard(self._synthetic(pixels, labels, parents, generator.name, "check"), generator.name)
            return {"throughput": speed, "n": len(labels)}

        all_inputs = {"generator": generator.key, "precision": self.bench.precision, **inputs}
        config = generator.config.model_dump(mode="json")
        name = f"{stage} {len(labels)} images ({stream})"
        stored = self.bench.stage(stage, name, generator.cls, config, all_inputs, make, seed_path=f"{stage}/{stream}")
        pixels = np.load(stored.folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        told = stored.folder / "parents.npy"
        if parents is None and told.exists():
            parents = np.load(told, allow_pickle=False)
        return self._synthetic(pixels, labels, parents, generator.name, stored.key)

    def _synthetic(self, pixels: UInt8, labels: Labels, parents: Strings | None, name: str, key: str) -> Images:
        ids = np.array([f"{SYNTHETIC_PREFIX}{key[:12]}-{i:06d}" for i in range(len(labels))], dtype=np.str_)
        names = self.task.class_names
        return Images(pixels, labels, ids, ids, names, f"synthetic:{name}", None, parents, key=key)

    def _check_origin(self, images: Images, where: str, *, allow_held_out: bool) -> None:
        real = (i for i in map(str, images.ids) if not i.startswith(SYNTHETIC_PREFIX))
        allowed_extra = self._held_out_ids if allow_held_out else frozenset[str]()
        stray = [i for i in real if i not in self._train_ids and i not in allowed_extra]
        if stray:
            example = self._named(stray[0])
            raise LeakError(f"{where}: {len(stray)} real images are not of the train split, e.g. {example}")

    def _named(self, image: str) -> str:
        """``image`` with the split that it is of, where this laboratory has that."""
        for split in ("val_select", "val_thresh"):
            if image in getattr(self, split).ids:
                return f"{image} of {split}"
        return f"{image} of the reserve" if image in self._held_out_ids else image


def _has(cls: type, capability: type) -> bool:
    wanted = [m for m in vars(capability) if callable(getattr(capability, m, None)) and not m.startswith("_")]
    return all(callable(getattr(cls, m, None)) for m in wanted)


def fit_options(cls: Any, config: BaseModel) -> dict[str, Any]:
    """The options that decide a fit: all but those that ``cls.sampling_options`` names, which it reads later only."""
    later: frozenset[str] = getattr(cls, "sampling_options", frozenset())
    return config.model_dump(mode="json", exclude=set(later))


def predict_stage(
    bench: Workbench, classifier: Fitted, images: Images, title: str, load: Callable[[Fitted], Any]
) -> Probabilities:
    """Stage "predict": class probabilities float32 [N, K], checked to be finite and to sum to 1."""

    def make(ctx: StageContext) -> tuple[Probabilities, Mapping[str, Any]]:
        model = load(classifier)
        warm = take_rows(images.pixels, np.arange(min(4, len(images))))
        scores, speed = timed_call(
            lambda: model.predict(images.pixels, ctx), lambda: model.predict(warm, ctx), len(images), ctx
        )
        scores = np.asarray(scores, dtype=np.float32)
        wanted = (len(images), images.num_classes)
        if scores.shape != wanted or not np.isfinite(scores).all() or np.abs(scores.sum(1) - 1).max(initial=0) > 1e-3:
            raise StageError(f"classifier {classifier.name!r}: predict must give probabilities of shape {wanted}")
        return scores, {"throughput": speed, "n": len(images)}

    inputs = {"classifier": classifier.key, "images": images.key, "precision": bench.precision}
    return bench.array_stage("predict", f"predict {title}", classifier.cls, {}, inputs, make)[0]


def fit_threshold(rule: str, images: Images, scores: Probabilities, task: Task, checksum: str) -> Threshold:
    """A threshold by ``rule`` ("0.5", "youden", "sens90", "sens95") on val_thresh predictions [N, K]."""
    from bench.stats import sensitivity_threshold, youden_threshold

    y, s = images.labels == task.positive, np.asarray(scores)[:, task.positive]
    if rule == "youden":
        value = float(youden_threshold(y, s))
    elif rule.startswith("sens"):
        value = float(sensitivity_threshold(y, s, int(rule[4:]) / 100))
    else:
        value = float(rule)
    return Threshold(rule, value, "val_thresh", checksum)


def _noticed(classifier: Any) -> dict[str, Any]:
    """What a classifier noticed while it was trained, for the record: notes, and the step whose weights it kept."""
    step = getattr(classifier, "selected_step", None)
    return {
        "notes": [str(note) for note in getattr(classifier, "notes", [])],
        "selected_step": None if step is None else int(step),
    }


def _not_from_fold(extra: Images, fold_of: Mapping[str, int], k: int) -> NDArray[np.bool_]:
    if extra.parents is None:
        return np.ones(len(extra), dtype=bool)
    return np.array([fold_of.get(str(p), -1) != k for p in extra.parents], dtype=bool)


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _check_pixels(pixels: Any, shape: tuple[int, ...], name: str) -> None:
    got = (getattr(pixels, "dtype", type(pixels).__name__), getattr(pixels, "shape", None))
    if got[0] != np.uint8 or got[1] != shape:
        raise StageError(f"generator {name!r} must return uint8 {shape}, got {got[0]} {got[1]}")
