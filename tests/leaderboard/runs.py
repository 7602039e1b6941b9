"""Records as the runner writes them: drawn scores, and from there on the real metric functions and files."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import FeatureEvidence, PredictionEvidence, Threshold
from bench.metrics import VERSION, measure_features, measure_predictions, real_floor
from bench.record import (
    ArmRecord,
    ComparisonRecord,
    DataRecord,
    EnvironmentRecord,
    EstimateRecord,
    FidelityRecord,
    FileRecord,
    PluginRecord,
    Record,
    SplitRecord,
    ThresholdRecord,
)
from bench.stats import (
    holm,
    minimum_detectable_difference,
    sensitivity_threshold,
    two_level_bootstrap,
    youden_threshold,
)

CLASSES = ("nevus", "melanoma")
CHECKSUM = hashlib.sha256(b"split").hexdigest()
SIZES = {"train": (400, 100), "val_select": (60, 15), "val_thresh": (150, 40), "reserve": (80, 20), "test": (240, 60)}
REPLICATES = 200


def split_labels(split: str) -> np.ndarray:
    """int64 [N]: negatives, then positives."""
    return np.repeat([0, 1], SIZES[split]).astype(np.int64)


def cases(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, groups, y) of a split; two photographs a lesion."""
    y = split_labels(split)
    ids = np.array([f"ISIC_{split}_{i:05d}" for i in range(len(y))])
    groups = np.array([f"{split}-lesion-{c}-{i // 2}" for i, c in enumerate(y)])
    return ids, groups, y


def draw_scores(split: str, skill: float, seed: int, training_noise: float = 0.15) -> np.ndarray:
    """float32 [N, 2]: how hard a case is, is the same for all classifiers; part of the noise is the training's own."""
    y = split_labels(split)
    hardness = np.random.default_rng(len(y)).normal(size=len(y))
    own = np.random.default_rng([seed, len(y), round(1e6 * skill)])
    logit = skill * y + 0.8 * hardness + own.normal(0, 0.6, len(y)) + own.normal(0, training_noise) * y - 1
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], axis=1).astype(np.float32)


def write_npz(folder: Path, name: str, split: str, scores: np.ndarray) -> FileRecord:
    """Store predictions as the runner does."""
    ids, groups, y = cases(split)
    path = folder / "predictions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, ids=ids, groups=groups, y=y, scores=scores)
    return FileRecord(path=f"predictions/{name}", sha256=hashlib.sha256(path.read_bytes()).hexdigest(), n=len(y))


def make_arm(folder: Path, name: str, skill: float, seed: int, n_synthetic: int, stream: int = 0) -> ArmRecord:
    """One arm of one seed: scores, thresholds from val_thresh, metrics on test."""
    scores, val = (draw_scores(split, skill, seed + 1000 * stream) for split in ("test", "val_thresh"))
    y_val = split_labels("val_thresh")
    cuts = {
        "0.5": 0.5,
        "youden": youden_threshold(y_val, val[:, 1]),
        "sens90": sensitivity_threshold(y_val, val[:, 1], 0.9),
        "sens95": sensitivity_threshold(y_val, val[:, 1], 0.95),
    }
    ids, groups, y = cases("test")
    thresholds = {rule: Threshold(rule, float(cut), "val_thresh", CHECKSUM) for rule, cut in cuts.items()}
    evidence = PredictionEvidence(y, scores, ids, groups, CLASSES, 1, thresholds)
    found = measure_predictions(evidence, seed=0, replicates=REPLICATES)
    return ArmRecord(
        name=name,
        seed=seed,
        description=f"real + {n_synthetic} synthetic" if n_synthetic else "real only",
        n_real=500,
        n_synthetic=n_synthetic,
        steps=400,
        thresholds=[ThresholdRecord(**vars(t)) for t in thresholds.values()],
        metrics={key: EstimateRecord.of(estimate) for key, estimate in found.items()},
        predictions=write_npz(folder, f"{name}-seed{seed}-test.npz", "test", scores),
        threshold_predictions=write_npz(folder, f"{name}-seed{seed}-val_thresh.npz", "val_thresh", val),
        key=f"{name}-{seed}",
    )


def make_fidelity(generator: str, seed: int, shift: float, extractor: str, copies: float = 0.0) -> FidelityRecord:
    """Fidelity of drawn features: ``shift`` away from the real ones, a share ``copies`` of them training images."""
    rng = np.random.default_rng([seed, 7])
    train, held_out = rng.normal(size=(120, 8)), rng.normal(size=(100, 8))
    synthetic = rng.normal(shift, 1, size=(100, 8))
    copied = round(100 * copies)
    synthetic[:copied] = train[:copied] + rng.normal(0, 1e-3, size=(copied, 8))
    labels = [np.zeros(len(x), np.int64) for x in (train, held_out, synthetic)]
    groups = [np.array([f"{k}{i}" for i in range(len(x))]) for k, x in (("t", train), ("h", held_out))]
    evidence = FeatureEvidence(train, held_out, synthetic, *labels, *groups, CLASSES, extractor)
    found = measure_features(evidence, seed=0, replicates=100)
    floor = real_floor(train, held_out, seed=0, n=100, replicates=100)
    metrics, floors = ({k: EstimateRecord.of(v) for k, v in estimates.items()} for estimates in (found, floor))
    return FidelityRecord(
        name=generator, seed=seed, extractor=extractor, weights_sha256="0" * 64, resize="lanczos", n_reference=100,
        n_synthetic=100, metrics=metrics, floor=floors,
    )  # fmt: skip


def compare(record: Record, folder: Path, arm: str, versus: str) -> ComparisonRecord:
    """The two-level bootstrap of two arms, from their stored predictions."""
    y, groups = split_labels("test"), cases("test")[1]

    def scores(name: str) -> np.ndarray:
        files = [a.predictions for a in record.arms if a.name == name]
        return np.stack([np.load(folder / f.path)["scores"][:, 1] for f in files if f])

    found = two_level_bootstrap(y, scores(arm), scores(versus), groups=groups, replicates=REPLICATES, seed=0)
    estimate = EstimateRecord(value=found.value, low=found.low, high=found.high, n=len(y), method="two-level bootstrap")
    mdd = minimum_detectable_difference(found.wide_se)
    return ComparisonRecord(
        endpoint="auc", arm=arm, versus=versus, estimate=estimate, p=found.p, p_adjusted=float(holm([found.p])[0]),
        correction="Holm", n_seeds=len(record.seeds), minimum_detectable_difference=mdd, primary=True,
    )  # fmt: skip


def make_run(
    folder: Path,
    generator: str | None = "ldm",
    arms: Mapping[str, tuple[float, int]] | None = None,
    seeds: Sequence[int] = (0, 1),
    *,
    shift: float = 0.3,
    copies: float = 0.0,
    control: bool = False,
    stream: int = 0,
    extractor: str = "domain:small_cnn@1:32px",
    **changes: Any,
) -> Path:
    """Write a run into ``folder``; ``arms``: name -> (skill, synthetic images). Returns the path of its record."""
    folder.mkdir(parents=True, exist_ok=True)
    arms = {"C0": (2.0, 0), "A1": (2.1, 500)} if arms is None else arms
    shared = {name: 0 if not n else stream for name, (_, n) in arms.items()}
    values: dict[str, Any] = {
        "run_id": folder.name, "created": "2026-01-02T03:04:05Z", "status": "complete", "preset": "cpu",
        "ranked": True, "command": f"python -m bench run --protocol augmented --generator {generator}",
        "data": DataRecord(
            name="ham10000", spec="ham10000:DIR", fingerprint="f" * 64, n=sum(map(sum, SIZES.values())), resolution=32,
            preprocessing="square lanczos", task="melanoma", class_names=list(CLASSES), positive=1,
            notes=["ids are lesion ids, not patient ids"], licence="CC BY-NC 4.0", citation="Tschandl et al. 2018",
        ),
        "split": SplitRecord(
            checksum=CHECKSUM, seed=0, counts={s: dict(zip(CLASSES, n, strict=True)) for s, n in SIZES.items()},
            groups={s: sum(n) // 2 for s, n in SIZES.items()},
        ),
        "protocol": PluginRecord(name="augmented", cls="protocols.augmented:Augmented", version="1", config={}),
        "generator": generator and PluginRecord(
            name=generator, cls=f"generators.{generator}:G", version="1", config={"steps": 100}, control=control
        ),
        "classifier": PluginRecord(name="small_cnn", cls="classifiers.small_cnn:SmallCNN", version="1", config={}),
        "seeds": list(seeds),
        "arms": [make_arm(folder, name, skill, s, n, shared[name]) for s in seeds for name, (skill, n) in arms.items()],
        "floors": {"colour floor": EstimateRecord(value=0.76, low=0.7, high=0.82, n=300, method="logistic regression")},
        "fidelity": [make_fidelity(generator, s, shift, extractor, copies) for s in seeds if generator],
        "environment": EnvironmentRecord(
            commit="0123456789abcdef", dirty=False, python=platform.python_version(),
            packages={"numpy": np.__version__}, platform="Linux", cpu="a processor", cores=2, threads=1,
            device="cpu", device_name="cpu", precision="fp32",
        ),
        "metric_versions": {"bench.metrics": VERSION}, "config": {"replicates": REPLICATES},
    }  # fmt: skip
    record = Record(**{**values, **changes})
    if {"C0", "A1"} <= set(arms) and "comparisons" not in changes:
        record.comparisons = [compare(record, folder, "A1", "C0")]
    record.write(folder / "record.json")
    return folder / "record.json"
