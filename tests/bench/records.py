"""Records with every kind of row, for tests of what is shown; the numbers are those of a run on a phantom."""

from __future__ import annotations

from typing import Any

from bench.record import (
    ArmRecord,
    ComparisonRecord,
    DataRecord,
    EnvironmentRecord,
    EstimateRecord,
    FailureRecord,
    FidelityRecord,
    FileRecord,
    PluginRecord,
    Record,
    SplitRecord,
    StageRecord,
    ThroughputRecord,
)

ARMS = {"C0": (0.851, 0), "guided": (0.858, 412), "C1": (0.855, 412), "C2": (0.849, 412), "C6": (0.872, 412)}
DOMAIN = "domain:small_cnn@1:32px"


def share(value: float, half: float = 0.031, n: int = 800) -> EstimateRecord:
    """A share with an interval inside [0, 1]."""
    low, high = max(0.0, value - half), min(1.0, value + half)
    return EstimateRecord(value=value, low=low, high=high, n=n, direction="higher", method="bootstrap")


def arm(name: str, seed: int) -> ArmRecord:
    """One arm with defined and undefined metrics."""
    auc, synthetic = ARMS[name]
    auc += 0.004 * seed
    metrics = {
        "auc": share(auc),
        "sensitivity@youden": share(auc - 0.07, 0.08, 171),
        "specificity@youden": share(auc - 0.05),
        "accuracy@youden": share(auc - 0.06),
        "specificity@sens95": EstimateRecord(value=None, n=800, reason="because no case is negative"),
    }
    few = EstimateRecord(value=None, n=30, reason="insufficient n: 3 positives in sex=unknown, at least 20 are needed")
    female = share(auc + 0.01, 0.06, 390).model_copy(update={"extra": {"positives": 82}})
    subgroups = {"auc[sex=female]": female, "sensitivity@youden[sex=female]": share(0.7), "auc[sex=unknown]": few}
    predictions = FileRecord(path=f"predictions/{name}-seed{seed}-test.npz", sha256="0" * 64, n=800)
    return ArmRecord(
        name=name, seed=seed, description="real only", n_real=2100, n_synthetic=synthetic, steps=600,
        metrics=metrics, subgroups=subgroups, predictions=predictions, key=f"{name}{seed}",
    )  # fmt: skip


def comparison(versus: str, value: float, p: float, *, primary: bool = True) -> ComparisonRecord:
    """guided minus ``versus``."""
    method = "two-level bootstrap over 1 paired seeds and clusters, 10000 replicates"
    estimate = EstimateRecord(value=value, low=value - 0.012, high=value + 0.012, n=800, method=method)
    return ComparisonRecord(
        endpoint="auc", arm="guided", versus=versus, estimate=estimate, p=p, p_adjusted=min(1.0, 2 * p),
        correction="Holm", minimum_detectable_difference=0.0171, primary=primary,
    )  # fmt: skip


def fidelity(name: str, seed: int, scale: float = 1.0) -> FidelityRecord:
    """FID, KID, precision, recall and copy rate of one set."""

    def distance(value: float) -> EstimateRecord:
        return EstimateRecord(value=value, low=0.9 * value, high=1.1 * value, n=400, direction="lower")

    metrics = {"fid": distance(31.2 * scale), "kid": distance(0.0123 * scale), "precision": share(0.71)}
    metrics |= {"recall": share(0.55), "copy_rate": EstimateRecord(value=0.01, low=0.002, high=0.03, direction="lower")}
    floor = {"fid": distance(4.4), "kid": distance(0.0002), "precision": share(0.93), "recall": share(0.92)}
    return FidelityRecord(
        name=name, seed=seed, extractor=DOMAIN, weights_sha256="1" * 64, resize="square, lanczos to 32 px",
        n_reference=400, n_synthetic=400, metrics=metrics, floor=floor,
    )  # fmt: skip


def example(seeds: tuple[int, ...] = (0,), *, failed: bool = False) -> Record:
    """A complete record, or a partial one with a failed seed."""
    names = ("adversarial", "protocols.adversarial:Adversarial"), ("ldm", "generators.ldm:LatentDiffusion")
    protocol, generator = (PluginRecord(name=n, cls=c, version="1", config={}) for n, c in names)
    splits = {"train": (420, 1680), "val_select": (60, 240), "val_thresh": (60, 240), "test": (171, 629)}
    failure = FailureRecord(
        seed=7, phase="fit ldm", error="StageError", message="fit ldm: loss is nan at step 310", elapsed_seconds=41.5
    )
    record = Record(
        run_id="adversarial-ldm-small_cnn-phantom-cpu-0123456789",
        created="2026-01-02T03:04:05Z",
        status="partial" if failed else "complete",
        preset="cpu",
        ranked=True,
        command="python -m bench run --protocol adversarial --generator ldm",
        data=DataRecord(
            name="phantom", spec="phantom", fingerprint="ab" * 32, n=3500, resolution=32,
            preprocessing="square, lanczos", task="melanoma", class_names=["other", "melanoma"], positive=1,
            notes=["drawn by a program, not photographs: results say nothing about patients"], bayes_auc=0.931,
        ),
        split=SplitRecord(
            checksum="cd" * 32, seed=0, groups={},
            counts={k: {"melanoma": m, "other": o} for k, (m, o) in splits.items()},
        ),
        protocol=protocol,
        generator=generator,
        classifier=PluginRecord(name="small_cnn", cls="classifiers.small_cnn:SmallCNN", version="1", config={}),
        seeds=list(seeds),
        arms=[arm(name, seed) for seed in seeds for name in ARMS],
        comparisons=[comparison("C1", 0.003, 0.61), comparison("C2", 0.009, 0.14)],
        floors={"colour floor": share(0.784)},
        fidelity=[fidelity(n, s, k) for s in seeds for n, k in (("ldm", 1.0), ("ldm autoencoder", 0.6))],
        failures=[failure] if failed else [],
        environment=EnvironmentRecord(
            commit="fe" * 20, dirty=True, python="3.11.7", packages={"torch": "2.12.1"}, platform="Linux", cpu="EPYC",
            cores=2, threads=2, device="cpu", device_name="AMD EPYC", precision="bf16",
        ),
        files={"ROC curves": "figures/roc.png", "samples, seed 0": "figures/samples-seed0.png"},
        verdict="no evidence that guided differs from C1 (+0.003 [-0.009, +0.015] AUC).",
    )  # fmt: skip
    record.throughput = [
        throughput("fit", "generators.ldm:LatentDiffusion@1", 1210.4),
        throughput("sample", "generators.ldm:LatentDiffusion@1", 265.0),
    ]
    record.stages = [
        stage("fit", "fit ldm", "executed", 136.2, 1510, seed=0),
        stage("data", "prepare phantom", "cached", 7.5, 420),
    ]
    return record


def stage(kind: str, name: str, status: Any, seconds: float, memory: float, seed: int | None = None) -> StageRecord:
    """One stage."""
    return StageRecord(
        stage=kind, name=name, key=name, status=status, seed=seed, seconds=seconds, peak_memory_mb=memory
    )


def throughput(phase: Any, plugin: str, speed: float) -> ThroughputRecord:
    """Speed of one phase."""
    return ThroughputRecord(
        phase=phase, plugin=plugin, images_per_second=speed, batch=64, device="cpu", precision="bf16",
        images=400, seconds=400 / speed, threads=2,
    )  # fmt: skip
