"""Claims 7 and 12: wrong labels and a missing class, which metrics without labels cannot see."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bench import registry
from bench.context import StageContext
from bench.contracts import FeatureEvidence, Images, Labels
from bench.errors import UndefinedMetric
from bench.metrics.frechet import frechet_distance
from bench.metrics.generation import measure_features
from bench.metrics.kernel import kernel_distance
from bench.selfcheck.check import Verdict, all_of, claim
from bench.selfcheck.fidelity import fid_error
from bench.selfcheck.ground import Drawn, Ground
from bench.selfcheck.probe import probe_scores

SHUFFLES = 10
REPLICATES = 100


@claim(7, "wrong labels change no metric without labels; those by class and TSTR expose them", "fid[class]", "tstr auc")
def wrong_labels(ground: Ground) -> Verdict:
    """``class-swap`` and ``label-shuffle`` give the images of ``copy`` under other labels: all of train, each once.

    Exposed: the Fréchet or kernel distances of the classes together exceed those of ``copy`` by more than 3 SE; trained
    on them a probe has AUC below .5 (swap; with more than two classes: below ``copy``), and .5 within 3 SE of the mean
    over SHUFFLES shuffles.
    """
    copy, swap = ground.draw("copy"), ground.draw("class-swap", next_class(ground.labels))
    shuffles = [ground.draw("label-shuffle", fit_seed=seed) for seed in range(SHUFFLES)]
    without = [unconditional(ground, drawn) for drawn in (copy, swap, shuffles[0])]
    by_swap, by_shuffle = (exposure(ground, drawn, copy) for drawn in (swap, shuffles[0]))
    right, swapped, *shuffled = (probe_auc(ground, drawn) for drawn in (copy, swap, *shuffles))
    mean, se = mean_and_se(shuffled)
    limit = 0.5 if ground.train.num_classes == 2 else right
    equal = without[0] == without[1] == without[2]
    clauses = {
        "metrics without labels": equal,
        "fid[class]": min(by_swap, by_shuffle) > 3,
        "tstr auc": swapped < limit and abs(mean - 0.5) <= 3 * se,
    }
    observed = f"{len(without[0])} metrics without labels {'equal to the bit' if equal else 'differ'}; by class swap "
    observed += f"{by_swap:+z.1f} SE, shuffle {by_shuffle:+z.1f} SE; TSTR AUC swap {swapped:.3f}, "
    observed += f"shuffle {mean:.3f} ± {3 * se:.3f}"
    values = {"swap_auc": swapped, "shuffle_auc": mean, "shuffle_se": se, "copy_auc": right}
    values |= {"swap_by_class_z": by_swap, "shuffle_by_class_z": by_shuffle, "metrics": len(without[0])}
    return all_of(clauses, observed, f"equal; > 3 SE; swap < {limit:.3g}, shuffle .5 ± 3 SE", values)


def mean_and_se(values: Sequence[float]) -> tuple[float, float]:
    """Mean of ``values`` and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def next_class(labels: Labels) -> Labels:
    """Each label replaced by the next class that occurs, the last by the first."""
    present, position = np.unique(labels, return_inverse=True)
    return np.asarray(np.roll(present, -1)[position], dtype=np.int64)


def unconditional(ground: Ground, drawn: Drawn) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Value and interval of every metric of one set that is not by class."""
    found = measure_features(evidence(ground, drawn), seed=0, replicates=REPLICATES)
    return {name: (e.value, e.low, e.high) for name, e in found.items() if "[" not in name}


def evidence(ground: Ground, drawn: Drawn, labels: Labels | None = None) -> FeatureEvidence:
    """What the metrics of a run would get; ``labels`` int64 [M] instead of those that were asked for."""
    train, held_out = ground.train, ground.held_out
    return FeatureEvidence(
        ground.x("train"), ground.x("held_out"), drawn.x, train.labels, held_out.labels,
        drawn.labels if labels is None else labels, train.groups, held_out.groups, train.class_names,
        ground.extractor.identity,
    )  # fmt: skip


def exposure(ground: Ground, drawn: Drawn, copy: Drawn) -> float:
    """By how many SE classes are farther from their reals than with right labels: FID or KID, summed over classes."""
    gaps: dict[str, list[float]] = {"fid": [], "kid": []}
    variances: dict[str, list[float]] = {"fid": [], "kid": []}
    for k in np.unique(ground.labels):
        real = ground.x("held_out")[ground.held_out.labels == k]
        wrong, right = (d.x[d.labels == k] for d in (drawn, copy))
        kids = [kernel_distance(real, x) for x in (wrong, right)]
        gaps["kid"].append(float(kids[0]) - float(kids[1]))
        variances["kid"].append(kids[0].se ** 2 + kids[1].se ** 2)
        gaps["fid"].append(float(frechet_distance(real, wrong)) - float(frechet_distance(real, right)))
        variances["fid"].append(fid_error(real, wrong, right) ** 2)
    return float(max(sum(gaps[name]) / np.sqrt(sum(variances[name])) for name in gaps))


def probe_auc(ground: Ground, drawn: Drawn) -> float:
    """AUC on ``judge`` of a probe trained on ``drawn`` alone: train on synthetic, test on real (TSTR)."""
    from bench.stats import auc

    scores = probe_scores(drawn.x, drawn.labels, ground.positive, ground.x("judge"))
    return float(auc(ground.judge.labels == ground.positive, scores))


@claim(12, "a dropped class: its coverage is 0, and training says that there are no positives", "coverage[class]")
def dropped_class(ground: Ground) -> Verdict:
    """``mode-drop`` without the positive class, its images labelled as what they are (the labels of their parents)."""
    name = ground.train.class_names[ground.positive]
    drawn = ground.draw("mode-drop", drop=name)
    assert drawn.parents is not None
    truth = dict(zip(ground.train.ids.tolist(), ground.train.labels.tolist(), strict=True))
    labels = np.array([truth[parent] for parent in drawn.parents.tolist()], dtype=np.int64)
    found = measure_features(evidence(ground, drawn, labels), seed=0, replicates=REPLICATES)
    coverage, fid = found[f"coverage[{name}]"], found[f"fid[{name}]"]
    said = training_says(ground, drawn, labels), _reason(partial(_probe, ground, drawn, labels))
    clauses = {
        "coverage[class]": coverage.value == 0 and fid.value is None,
        "training": f"no train image of {name}" in said[0] and "no positives" in said[1],
    }
    observed = f"coverage[{name}] {coverage.value:g}; FID[{name}] {fid.reason or fid.value}; training: {said[0]}"
    asked = [probe_auc(ground, ground.draw("mode-drop", drop=name, seed=seed)) for seed in range(SHUFFLES)]
    mean, se = mean_and_se(asked)
    values = {"coverage": np.nan if coverage.value is None else coverage.value, "asked_auc": mean, "asked_se": se}
    note = f"images labelled {name}, as asked: TSTR AUC {mean:.3f} ± {3 * se:.3f} over {SHUFFLES} draws"
    return all_of(clauses, observed, "0; undefined; no positives", values, note)


def training_says(ground: Ground, drawn: Drawn, labels: Labels) -> str:
    """What the registered ``small_cnn`` notes when it is trained, one step long, on such images."""
    cls = registry.load("classifier", "small_cnn")
    classifier = cls(registry.effective_config("classifier", "small_cnn", cls, "smoke", {"steps": 1, "evaluations": 1}))
    ids = np.array([f"syn-{i}" for i in range(len(labels))], dtype=np.str_)
    classifier.fit(
        Images(drawn.pixels, labels, ids, ids, ground.train.class_names, "synthetic:mode-drop"),
        ground.held_out,
        StageContext(0, ground.workdir / "mode-drop"),
    )
    return "; ".join(classifier.notes)


def _probe(ground: Ground, drawn: Drawn, labels: Labels) -> object:
    return probe_scores(drawn.x, labels, ground.positive, ground.x("judge"))


def _reason(call: partial[object]) -> str:
    try:
        call()
    except UndefinedMetric as reason:
        return str(reason)
    return "trained"
