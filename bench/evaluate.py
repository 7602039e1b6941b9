"""From fitted arms to numbers: predictions, features and metrics, each a stage of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.config import RunConfig
from bench.contracts import Estimate, FeatureEvidence, Images, PredictionEvidence, Probabilities, Task, Threshold
from bench.extractors import Extractor
from bench.extractors.plain import Domain, folder_sha256
from bench.keys import digest
from bench.lab import Fitted, Lab, fit_threshold
from bench.pixels import PixelArray
from bench.record import EstimateRecord, FileRecord
from bench.workbench import Workbench

Triple = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
RULES = ("0.5", "youden", "sens90", "sens95")
PIXEL_SIDE = 16


@dataclass(frozen=True)
class Judged:
    """Predictions of one arm with one seed and what follows from them."""

    test_scores: Probabilities
    thresholds: dict[str, Threshold]
    val_scores: Probabilities
    metrics: dict[str, EstimateRecord]


def judge(bench: Workbench, lab: Lab, classifier: Fitted, test: Images, title: str = "test") -> Judged:
    """Predict on ``test``, fit thresholds on val_thresh, measure."""
    from bench.metrics import VERSION

    scores = lab.predict(classifier, test, title=title)
    val_scores = lab.predict(classifier, lab.val_thresh, title="val_thresh")
    cuts = {r: fit_threshold(r, lab.val_thresh, val_scores, lab.task, lab.split_checksum) for r in RULES}

    further = further_metrics("predictions")

    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics import measure_predictions

        names, positive = lab.task.class_names, lab.task.positive
        evidence = PredictionEvidence(test.labels, np.asarray(scores), test.ids, test.groups, names, positive, cuts)
        found = measure_predictions(evidence, seed=measure_seed(), replicates=bench.config.replicates)
        return _plain(_with_further(found, further, evidence))

    inputs = {"classifier": classifier.key, "test": test.key, "val_thresh": lab.val_thresh.key}
    inputs["precision"] = bench.precision
    plugin, config = f"bench.metrics@{VERSION}", {"replicates": bench.config.replicates} | _versions(further)
    found = bench.json_stage("measure", "measure predictions", plugin, config, inputs, measure)
    return Judged(scores, cuts, val_scores, {k: EstimateRecord(**v) for k, v in found.items()})


def further_metrics(needs: str) -> dict[str, Any]:
    """Metrics of installed packages other than this one that need "predictions" or "features": name -> class."""
    own = registry.distribution("metric", "auc")
    others = [name for name in registry.names("metric") if registry.distribution("metric", name) != own]
    return {name: cls for name in others if (cls := registry.load("metric", name)).needs == needs}


def _with_further(found: Mapping[str, Estimate], further: Mapping[str, Any], evidence: Any) -> dict[str, Estimate]:
    rng = np.random.default_rng(measure_seed())
    return {**found, **{name: cls()(evidence, rng) for name, cls in further.items()}}


def measure_seed() -> int:
    """Seed of every interval, the same for all, so that anyone can recompute it from stored predictions."""
    return 0


@dataclass(frozen=True)
class FeatureSpace:
    """The run's extractor, the same for all generators, seeds and protocols.

    ``fitted``: the classifier, fitted on train, whose embedding is the ``domain`` extractor. It is the default space of
    distances, and always an encoder of memorization, which looks at every image in eight orientations.
    """

    lab: Lab
    fitted: Fitted

    @cached_property
    def published(self) -> Extractor | None:
        """The extractor that the configuration names, None for the run's own domain extractor."""
        return configured_extractor(self.lab.bench.config)

    @property
    def name(self) -> str:
        """E.g. ``domain:small_cnn@1:32px``: rows with different names never share a ranking."""
        if self.published is not None:
            return self.published.identity
        version = getattr(self.fitted.cls, "version", "0")
        return f"domain:{self.fitted.name}@{version}:{self.lab.train.size[0]}px"

    @property
    def weights_sha256(self) -> str:
        """sha256 of the weights: of the published file, or over the files of the fitted classifier."""
        if self.published is not None:
            return self.published.weights_sha256
        return folder_sha256(self.fitted.stored.folder / "model")

    @property
    def inputs(self) -> dict[str, str]:
        """What decides the features, for stage keys."""
        if self.published is None:
            return {"extractor": self.fitted.key}
        return {"extractor": pair_key(self.name, self.weights_sha256), "encoder": self.fitted.key}

    def features(self, images: Images, title: str) -> NDArray[np.float32]:
        """float32 [N, D], a stage."""
        if self.published is not None:
            return self.lab.extract(self.published, images, title=title)
        return self.lab.embed(self.fitted, images, title=title)

    def embed(self, pixels: PixelArray) -> NDArray[np.float32]:
        """Domain embedding float32 [N, D] of bare pixels, not stored."""
        return self.lab.embed_pixels(self.fitted, pixels)


def configured_extractor(config: RunConfig) -> Extractor | None:
    """The extractor of ``config``, None for the domain extractor that a run fits itself."""
    cls, options = config.plugin("extractor")
    own = cls is Domain and getattr(options, "model", None) is None
    return None if own else cls(options)


def extractor_identity(config: RunConfig) -> str:
    """What distances are computed on; raises :class:`bench.errors.ConfigError` if the weights are not here."""
    extractor = configured_extractor(config)
    return "domain" if extractor is None else extractor.identity


def measure_fidelity(
    bench: Workbench, space: FeatureSpace, train: Images, reference: Images, synthetic: Images
) -> tuple[dict[str, EstimateRecord], dict[str, EstimateRecord]]:
    """(metrics, real-vs-real floor) of ``synthetic`` against the held-out ``reference``."""
    from bench.metrics import VERSION
    from bench.metrics.generation import BY_CLASS

    further = further_metrics("features")

    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics import measure_features, real_floor

        sides = (train, "train"), (reference, "held-out reference"), (synthetic, "synthetic")
        x_train, x_held_out, x_synthetic = (np.asarray(space.features(images, title)) for images, title in sides)
        evidence = FeatureEvidence(
            x_train, x_held_out, x_synthetic, train.labels, reference.labels, synthetic.labels,
            train.groups, reference.groups, train.class_names, space.name,
            encoders=_encoders(space, train, reference, synthetic),
        )  # fmt: skip
        found = measure_features(evidence, seed=measure_seed())
        floor = real_floor(
            x_train, x_held_out, seed=measure_seed(), n=min(len(reference), len(synthetic)),
            train_groups=train.groups, held_out_groups=reference.groups,
        )  # fmt: skip
        return {"metrics": _plain(_with_further(found, further, evidence)), "floor": _plain(floor)}

    config = {"pixel_side": PIXEL_SIDE, "by_class": BY_CLASS, "gate": "beta-binomial", "kid": "groups"}
    inputs = {
        **space.inputs,
        "train": train.key,
        "reference": reference.key,
        "synthetic": synthetic.key,
        "precision": bench.precision,
    }
    found = bench.json_stage(
        "measure", f"fidelity and memorization of {len(synthetic)} images", f"bench.metrics@{VERSION}",
        config | _versions(further), inputs, measure,
    )  # fmt: skip
    metrics, floor = ({k: EstimateRecord(**v) for k, v in found[side].items()} for side in ("metrics", "floor"))
    return metrics, floor


def _encoders(space: FeatureSpace, train: Images, reference: Images, synthetic: Images) -> Mapping[str, Triple]:
    """Encoders of memorization: low-resolution pixels and the domain embedding, queries in all eight orientations."""
    from bench.metrics import pixel_features, symmetric_features

    def thumbnails(pixels: PixelArray) -> NDArray[Any]:
        return pixel_features(pixels, PIXEL_SIDE)

    encoders: dict[str, Callable[[PixelArray], NDArray[Any]]] = {"pixels": thumbnails, "domain": space.embed}
    return {
        name: (
            encode(train.pixels),
            symmetric_features(reference.pixels, encode),
            symmetric_features(synthetic.pixels, encode),
        )
        for name, encode in encoders.items()
    }


def _versions(further: Mapping[str, Any]) -> dict[str, Any]:
    return {"further": [registry.class_path(cls) for cls in further.values()]} if further else {}


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: vars(e) for name, e in estimates.items()}


def colour_floor(bench: Workbench, task: Task, train: Images, test: Images) -> EstimateRecord:
    """AUC of a logistic regression on mean and SD of R, G, B: what colour alone can tell."""
    from bench.metrics import VERSION

    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics import colour_floor as fit_floor
        from bench.stats import delong

        scores = fit_floor(train, test, task.positive)
        found = delong(test.labels == task.positive, scores)
        return vars(
            Estimate(
                found.auc, found.low, found.high, len(test), "", "higher",
                "logistic regression on mean and SD of R, G, B; DeLong",
            )
        )  # fmt: skip

    inputs = {"train": train.key, "test": test.key, "positive": task.positive}
    plugin = f"bench.metrics@{VERSION}"
    return EstimateRecord(**bench.json_stage("measure", "colour floor", plugin, {"floor": "colour"}, inputs, measure))


def compare(
    bench: Workbench,
    test: Images,
    positive: int,
    a: Sequence[Probabilities],
    b: Sequence[Probabilities],
    keys: list[str],
) -> dict[str, Any]:
    """AUC of arm ``a`` minus arm ``b`` (scores [N, K] per seed): estimate, p and minimum detectable difference."""
    from bench.stats import VERSION

    def measure(seed: int) -> dict[str, Any]:
        from bench.stats import minimum_detectable_difference, two_level_bootstrap

        y = test.labels == positive
        found = two_level_bootstrap(
            y, np.stack([s[:, positive] for s in a]), np.stack([s[:, positive] for s in b]),
            groups=test.groups, replicates=bench.config.replicates, seed=measure_seed(),
        )  # fmt: skip
        method = f"two-level bootstrap over {len(a)} paired seeds and clusters, {bench.config.replicates} replicates"
        method += f"; {found.note}" if found.note else ""
        estimate = Estimate(found.value, found.low, found.high, len(y), "", "higher", method)
        return {
            "estimate": vars(estimate),
            "p": found.p,
            "mdd": float(minimum_detectable_difference(found.wide_se)),
        }

    inputs = {"predictions": keys, "test": test.key, "positive": positive}
    config = {"replicates": bench.config.replicates}
    result: dict[str, Any] = bench.json_stage(
        "compare", "compare arms", f"bench.stats@{VERSION}", config, inputs, measure
    )
    return result


def write_predictions(path: Path, images: Images, scores: Probabilities) -> FileRecord:
    """Store ids, groups, y and scores [N, K] as npz with equal bytes for equal content; returns its record entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, ids=images.ids, groups=images.groups, y=images.labels, scores=np.asarray(scores))
    return FileRecord(
        path=str(path.relative_to(path.parent.parent)),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        n=len(images),
    )


def nearest_rows(bench: Workbench, synthetic: Images, train: Images) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest train row [M] of each synthetic image and its distance [M]: pixels at 16 x 16, eight orientations."""
    from bench.metrics import VERSION

    def measure(seed: int) -> dict[str, Any]:
        from bench.metrics import nearest, pixel_features, symmetric_features

        queries = symmetric_features(synthetic.pixels, lambda p: pixel_features(p, PIXEL_SIDE))
        found = nearest(queries, pixel_features(train.pixels, PIXEL_SIDE))
        return {"rows": found.rows.tolist(), "distances": found.distances.tolist()}

    inputs = {"synthetic": synthetic.key, "train": train.key}
    plugin = f"bench.metrics@{VERSION}"
    found = bench.json_stage("measure", "nearest training images", plugin, {"side": PIXEL_SIDE}, inputs, measure)
    return np.array(found["rows"], dtype=np.int64), np.array(found["distances"])


def pair_key(*parts: str) -> str:
    """A key for things that belong together."""
    return digest(list(parts))
