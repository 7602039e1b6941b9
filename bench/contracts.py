"""What the parts of the benchmark are to each other: images, plugins, evidence and estimates.

Plugins need not inherit anything: a class with the members below is a generator, classifier, protocol or metric.
The optional bases (:class:`GeneratorBase`, :class:`ClassifierBase`) only save typing. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bench.pixels import PixelArray, UInt8, join_rows, take_rows

if TYPE_CHECKING:
    from bench.lab import Lab, Outcome

Labels = NDArray[np.int64]
Strings = NDArray[np.str_]
Probabilities = NDArray[np.float32]
Direction = Literal["higher", "lower", "none"]


class Options(BaseModel):
    """Base of every plugin ``Config``: unknown options are refused, values cannot change after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Task:
    """What is to be told apart. ``positive`` is the class whose sensitivity is reported (melanoma, malignant)."""

    name: str
    class_names: tuple[str, ...]
    positive: int

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Images:
    """N images with what is known of them.

    pixels  uint8 [N, H, W, 3] sRGB, possibly memory-mapped (index it, or ``np.asarray`` it)
    labels  int64 [N], index into ``class_names``
    ids     str [N], unique names of the images (synthetic ones start with ``syn-``)
    groups  str [N], what must not be torn apart by a split: patient where known, else lesion
    source  "real", "synthetic:<generator>" or "mixed"
    masks   uint8 [N, H, W, C] with C >= 1 (channel 0 the lesion), or None
    parents str [N], for an image made from another one that one's id, "" where there is none; or None
    key     content key: equal keys mean equal pixels, labels and order
    """

    pixels: PixelArray
    labels: Labels
    ids: Strings
    groups: Strings
    class_names: tuple[str, ...]
    source: str = "real"
    masks: PixelArray | None = None
    parents: Strings | None = None
    key: str = ""

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.pixels.ndim != 4 or self.pixels.shape[-1] != 3 or self.pixels.dtype != np.uint8:  # type: ignore[attr-defined]
            raise ValueError(f"pixels must be uint8 [N,H,W,3], got {self.pixels.dtype} {self.pixels.shape}")
        for name in ("pixels", "ids", "groups", "masks", "parents"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise ValueError(f"{name} has {len(column)} rows, labels have {n}")
        if n and (int(np.min(self.labels)) < 0 or int(np.max(self.labels)) >= len(self.class_names)):
            raise ValueError(f"labels must lie in 0..{len(self.class_names) - 1}")
        if not self.key:
            object.__setattr__(self, "key", self._content_key())

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def counts(self) -> NDArray[np.int64]:
        """Images per class, int64 [K]."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def take(self, index: NDArray[np.int64] | Sequence[int] | NDArray[np.bool_]) -> Images:
        """The images at ``index`` (int [n] or bool [N]), in that order; memory-mapped pixels stay on disk."""
        rows = np.asarray(index)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        digest = hashlib.sha256(self.key.encode() + rows.tobytes()).hexdigest()
        return replace(
            self,
            pixels=take_rows(self.pixels, rows),
            labels=self.labels[rows],
            ids=self.ids[rows],
            groups=self.groups[rows],
            masks=None if self.masks is None else take_rows(self.masks, rows),
            parents=None if self.parents is None else self.parents[rows],
            key=digest,
        )

    def __add__(self, other: Images) -> Images:
        return concatenate([self, other])

    def _content_key(self) -> str:
        digest = hashlib.sha256(repr((self.class_names, self.pixels.shape)).encode())
        for start in range(0, len(self), 1024):
            digest.update(np.ascontiguousarray(self.pixels[start : start + 1024]).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        digest.update("\n".join(map(str, self.ids)).encode())
        return digest.hexdigest()


def concatenate(parts: Sequence[Images]) -> Images:
    """All images of ``parts`` in order; they must share size and classes. Empty parts vanish."""
    names = {p.class_names for p in parts}
    if len(names) != 1:
        raise ValueError(f"cannot join images of different tasks: {sorted(names)}")
    kept = [p for p in parts if len(p)] or [parts[0]]
    if len(kept) == 1:
        return kept[0]
    have_masks = all(p.masks is not None for p in kept)
    have_parents = any(p.parents is not None for p in kept)
    sources = {p.source for p in kept}
    return Images(
        pixels=join_rows([p.pixels for p in kept]),
        labels=np.concatenate([p.labels for p in kept]),
        ids=np.concatenate([p.ids for p in kept]),
        groups=np.concatenate([p.groups for p in kept]),
        class_names=kept[0].class_names,
        source=sources.pop() if len(sources) == 1 else "mixed",
        masks=join_rows([p.masks for p in kept]) if have_masks else None,  # type: ignore[misc]
        parents=np.concatenate([np.full(len(p), "") if p.parents is None else p.parents for p in kept])
        if have_parents
        else None,
        key=hashlib.sha256("+".join(p.key for p in kept).encode()).hexdigest(),
    )


class Context(Protocol):
    """What a plugin gets from the harness while it works."""

    seed: int
    device: str  # "cpu", "cuda", "cuda:1"
    precision: str  # "fp32" or "bf16": what autocast may use
    workdir: Path  # scratch folder of this stage, kept when a run is killed

    def log(self, step: int, total: int | None = None, **scalars: Any) -> None:
        """Report progress; tensors are accepted and read only when something is shown."""

    def checkpoint(self, step: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Offer a state to resume from; ``state`` is called only when a checkpoint is due.

        The mapping may nest dicts, lists, numbers, strings, numpy arrays and torch tensors.
        """

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """The last (step, state) that was stored before a kill, or None."""


@runtime_checkable
class Generator(Protocol):
    """Learns the distribution of training images and draws new ones."""

    version: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def fit(self, train: Images, ctx: Context) -> None:
        """Learn from ``train``."""

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Draw one image for each of ``labels`` int64 [M]; returns uint8 [M, H, W, 3]."""

    def save(self, folder: Path) -> None:
        """Write what ``load`` needs into the empty ``folder``; no pickles."""

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """The fitted generator that ``save`` wrote."""


@runtime_checkable
class Classifier(Protocol):
    """Tells the classes of a task apart."""

    version: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        """Learn from ``train``; ``val`` only chooses the step to keep."""

    def predict(self, pixels: PixelArray, ctx: Context) -> Probabilities:
        """Class probabilities float32 [N, K] of uint8 [N, H, W, 3]; rows sum to 1."""

    def embed(self, pixels: PixelArray, ctx: Context) -> NDArray[np.float32]:
        """Penultimate features float32 [N, D]."""

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self: ...


class ProtocolPlugin(Protocol):
    """An experiment: what is trained on what. It never holds the test split."""

    version: ClassVar[str]
    Config: ClassVar[type[BaseModel]]

    def run(self, lab: Lab) -> Outcome:
        """Train the arms and hand them over; the runner alone predicts on test."""


@dataclass(frozen=True)
class Cost:
    """Work of a stage. ``flops``: multiply-adds x 2 over the whole stage; ``memory_mb``, ``disk_mb``: peaks.

    ``batch``: images a step, where it is not what the option of that name says.
    """

    steps: int
    flops: float
    memory_mb: float
    disk_mb: float
    batch: int | None = None


class GeneratorBase:
    """Optional base: keeps ``config`` and stores every array, tensor, number and string attribute by itself."""

    version: ClassVar[str] = "1"
    Config: ClassVar[type[BaseModel]] = Options
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    control: ClassVar[bool] = False
    sampling_options: ClassVar[frozenset[str]] = frozenset()  # options that ``fit`` does not read: no part of its key

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def save(self, folder: Path) -> None:
        """Store all attributes but ``config`` as safetensors + JSON."""
        from bench.trees import save_tree

        save_tree(folder, {k: v for k, v in vars(self).items() if k != "config"})

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """Rebuild from what ``save`` wrote."""
        from bench.trees import load_tree

        self = cls(config)
        vars(self).update(load_tree(folder))
        return self


class ClassifierBase(GeneratorBase):
    """Optional base of classifiers: ``config``, ``save``, ``load`` as for generators."""


@dataclass(frozen=True)
class Threshold:
    """A cut on the positive score, fitted on ``split`` whose checksum it carries.

    ``rule``: "0.5", "youden", "sens90", "sens95".
    """

    rule: str
    value: float
    split: str
    split_checksum: str


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty, or the reason why there is none (``value`` None, ``reason`` set)."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    direction: Direction = "none"
    method: str = ""
    level: float = 0.95
    reason: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def undefined(cls, reason: str, *, n: int = 0, direction: Direction = "none", unit: str = "") -> Estimate:
        """A metric without a value; ``reason`` completes the sentence "undefined, because …"."""
        return cls(None, n=n, unit=unit, direction=direction, reason=reason)


@dataclass(frozen=True)
class PredictionEvidence:
    """Predictions of one classifier on one evaluation split.

    y int64 [N]; scores float32 [N, K]; ids, groups str [N]; thresholds by rule; ``positive`` index of the class.
    """

    y: Labels
    scores: Probabilities
    ids: Strings
    groups: Strings
    class_names: tuple[str, ...]
    positive: int
    thresholds: Mapping[str, Threshold]


@dataclass(frozen=True)
class FeatureEvidence:
    """Features of three equally treated image sets under one extractor.

    train     float [T, D]  what the generator saw
    held_out  float [H, D]  real images it never saw (the reference of fidelity)
    synthetic float [M, D]
    *_labels int64, *_groups str (lesion or patient); ``extractor`` names network, weights and resize policy.
    """

    train: NDArray[np.floating[Any]]
    held_out: NDArray[np.floating[Any]]
    synthetic: NDArray[np.floating[Any]]
    train_labels: Labels
    held_out_labels: Labels
    synthetic_labels: Labels
    train_groups: Strings
    held_out_groups: Strings
    class_names: tuple[str, ...]
    extractor: str
    encoders: Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = field(default_factory=dict)


class Metric(Protocol):
    """A number computed from evidence. ``needs`` is "predictions" or "features"."""

    name: ClassVar[str]
    version: ClassVar[str]
    direction: ClassVar[Direction]
    needs: ClassVar[Literal["predictions", "features"]]

    def __call__(self, evidence: Any, rng: np.random.Generator) -> Estimate: ...
