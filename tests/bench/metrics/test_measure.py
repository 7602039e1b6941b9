"""The estimates that the tables print: values, intervals, reasons, and what must leave them unmoved."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import metrics, stats
from bench.contracts import Estimate, FeatureEvidence, PredictionEvidence, Threshold
from bench.errors import DataError
from bench.metrics import plugins
from bench.metrics.generation import LEAST_PER_CLASS
from bench.record import EstimateRecord

RULES = {"0.5": 0.5, "youden": 0.4, "sens95": 0.1}


def predictions(n: int = 600, seed: int = 0, classes: int = 2) -> PredictionEvidence:
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, n, p=[0.8, *[0.2 / (classes - 1)] * (classes - 1)])
    logits = rng.normal(size=(n, classes)) + 2 * np.equal.outer(y, np.arange(classes))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array([f"image-{i:04d}" for i in range(n)])
    groups = np.array([f"lesion-{i // 2:04d}" for i in range(n)])
    cuts = {rule: Threshold(rule, value, "val_thresh", "c0ffee") for rule, value in RULES.items()}
    return PredictionEvidence(
        y, scores.astype(np.float32), names, groups, tuple(f"class{c}" for c in range(classes)), 1, cuts
    )


def evidence(manifold: dict[str, np.ndarray], synthetic: np.ndarray | None = None) -> FeatureEvidence:
    train, held_out = manifold["train"], manifold["held_out"]
    synthetic = manifold["oracle"] if synthetic is None else synthetic
    labels = [(np.arange(len(z)) % 3 == 0).astype(np.int64) for z in (train, held_out, synthetic)]
    groups = [np.array([f"{s}{i // 2}" for i in range(len(z))]) for s, z in (("t", train), ("h", held_out))]
    return FeatureEvidence(train, held_out, synthetic, *labels, *groups, ("benign", "melanoma"), "test")


def far_from_reality(n: int) -> np.ndarray:
    """What an extractor makes of noise images: features much alike and far from those of photographs."""
    return np.random.default_rng(0).normal(6, 0.1, (n, 48)).astype(np.float32)


class TestPredictions:
    def test_every_number_has_an_interval_around_it(self):
        given = predictions()
        found = metrics.measure_predictions(given, 0, 500)
        for name, e in found.items():
            assert e.reason is None, name
            assert e.low <= e.value <= e.high, name
            assert e.n > 0, name
            EstimateRecord.of(e)
        json.dumps({name: vars(e) for name, e in found.items()})
        expected = {f"{m}@{r}" for m in ("sensitivity", "specificity", "accuracy") for r in RULES}
        expected |= {"auc", "pauc80", "average_precision", "brier", "log_loss", "ece"}
        assert expected <= set(found)

    def test_values_are_those_of_the_plain_functions(self):
        given = predictions()
        y, score = given.y == 1, given.scores[:, 1].astype(np.float64)
        found = metrics.measure_predictions(given, 0, 500)
        exact = stats.delong(y, score)
        assert (found["auc"].value, found["auc"].low, found["auc"].high) == (
            exact.auc,
            exact.logit_low,
            exact.logit_high,
        )
        assert found["sensitivity@youden"].value == np.mean(score[y] >= 0.4)
        assert found["specificity@youden"].value == np.mean(score[~y] < 0.4)
        assert found["pauc80"].value == pytest.approx(stats.partial_auc(y, score), abs=1e-12)
        assert found["ece"].value == pytest.approx(stats.expected_calibration_error(y, score), abs=1e-12)
        assert found["accuracy@0.5"].extra["split_checksum"] == "c0ffee"
        k = found["sensitivity@youden"].extra["k"]
        assert found["sensitivity@youden"].extra["wilson"] == list(stats.proportion_interval(k, int(y.sum())))

    def test_full_sensitivity_gets_an_exact_interval(self):
        given = predictions()
        sure = replace(given, thresholds={"all": Threshold("all", 0.0, "val", "x")})
        found = metrics.measure_predictions(sure, 0, 200)["sensitivity@all"]
        assert (found.value, found.high, found.method) == (1.0, 1.0, "Clopper-Pearson")
        assert found.low == stats.proportion_interval(found.n, found.n, "clopper-pearson")[0] < 1

    def test_row_order_changes_no_bit(self):
        given = predictions()
        order = np.random.default_rng(1).permutation(len(given.y))
        shuffled = replace(given, **{name: getattr(given, name)[order] for name in ("y", "scores", "ids", "groups")})
        first, second = (metrics.measure_predictions(e, 3, 200) for e in (given, shuffled))
        for name in ("auc", "sensitivity@youden", "specificity@0.5", "accuracy@sens95"):
            assert (first[name].value, first[name].low, first[name].high) == (
                second[name].value,
                second[name].low,
                second[name].high,
            ), name

    def test_one_class_only(self):
        given = predictions()
        found = metrics.measure_predictions(replace(given, y=np.zeros_like(given.y)), 0, 100)
        assert found["auc"].value is None
        assert found["auc"].reason == "none of the 600 cases is positive"
        assert found["sensitivity@0.5"].reason == "no case is positive"
        assert found["specificity@0.5"].value is not None
        assert found["average_precision"].value is None

    def test_constant_scores_have_no_interval(self):
        given = predictions()
        found = metrics.measure_predictions(replace(given, scores=np.full_like(given.scores, 0.5)), 0, 100)["auc"]
        assert (found.value, found.low, found.high) == (0.5, None, None)
        assert "equal" in found.extra["note"]

    def test_perfect_separation_is_not_certainty(self):
        given = predictions()
        perfect = np.stack([given.y == 0, given.y == 1], axis=1).astype(np.float32)
        found = metrics.measure_predictions(replace(given, scores=perfect), 0, 100)["auc"]
        assert found.value == found.high == 1
        assert 0.9 < found.low < 1

    def test_non_finite_scores_name_the_image(self):
        given = predictions()
        broken = given.scores.copy()
        broken[17] = np.nan
        with pytest.raises(DataError, match="image-0017"):
            metrics.measure_predictions(replace(given, scores=broken), 0, 100)

    def test_several_classes_one_versus_rest(self):
        given = predictions(classes=4)
        found = metrics.measure_predictions(given, 0, 100)
        each = [stats.auc(given.y == c, given.scores[:, c].astype(float)) for c in range(4)]
        assert [found[f"auc[class{c}]"].value for c in range(4)] == each
        assert found["auc_macro"].value == pytest.approx(np.mean(each))
        assert found["auc_macro"].low < np.mean(each) < found["auc_macro"].high
        assert found["auc_macro"].extra["clustered_se"] > 0
        assert found["auc"].value == each[1]


class TestFeatures:
    def test_oracle_is_at_the_floor(self, manifold):
        found = metrics.measure_features(evidence(manifold), 0, 300)
        floor = metrics.real_floor(manifold["train"], manifold["held_out"], 0, n=900)
        json.dumps({name: vars(e) for name, e in found.items()})
        assert abs(found["kid"].value) < 3 * found["kid"].extra["se"]
        assert abs(found["fid"].value - floor["fid"].value) < 3 * np.hypot(
            found["fid"].extra["se"], floor["fid"].extra["se"]
        )
        for name in ("precision", "recall", "coverage"):
            assert abs(found[name].value - floor[name].value) < 0.06, name
        for name in ("fid[melanoma]", "kid[benign]", "coverage[melanoma]"):
            assert found[name].value is not None
        assert found["copy_rate"].low <= 0.01
        assert found["authenticity"].extra["null"] == pytest.approx(found["authenticity"].value, abs=0.07)

    def test_copies_fool_fidelity_but_not_memorization(self, manifold):
        found = metrics.measure_features(evidence(manifold, manifold["train"]), 0, 200)
        oracle = metrics.measure_features(evidence(manifold), 0, 200)
        both = np.hypot(found["fid"].extra["se"], oracle["fid"].extra["se"])
        assert abs(found["fid"].value - oracle["fid"].value) < 3 * both
        assert found["copy_rate"].value == 1
        assert found["authenticity"].value == 0
        assert found["share_nearer_train"].value == 1

    def test_noise_is_bad_and_its_privacy_not_applicable(self, manifold):
        noise = far_from_reality(400)
        found = metrics.measure_features(evidence(manifold, noise), 0, 200)
        for name in ("precision", "recall", "coverage", "density"):
            assert found[name].value == 0, name
        assert found["precision"].high > 0
        assert found["authenticity"].value is None
        assert "would look private" in found["authenticity"].reason
        assert found["authenticity"].extra["ungated"] == 1

    def test_noise_with_copies_among_it_is_still_accused(self, manifold):
        synthetic = far_from_reality(900)
        synthetic[:30] = manifold["train"][:30]
        found = metrics.measure_features(evidence(manifold, synthetic), 0, 200)
        assert found["copy_rate"].value == pytest.approx(30 / 900)
        assert found["authenticity"].value is None

    def test_collapse_has_no_recall(self, manifold):
        synthetic = np.repeat(manifold["oracle"][:1], 900, axis=0)
        found = metrics.measure_features(evidence(manifold, synthetic), 0, 200)
        assert found["recall"].value == 0
        assert found["coverage"].value < 0.05

    def test_labels_move_only_class_conditional_numbers(self, manifold):
        given = evidence(manifold)
        swapped = replace(given, synthetic_labels=1 - given.synthetic_labels)
        first, second = (metrics.measure_features(e, 5, 200) for e in (given, swapped))
        for name in first:
            if "[" not in name:
                assert vars(first[name]) == vars(second[name]), name
        assert first["fid[melanoma]"].value != second["fid[melanoma]"].value

    def test_row_order_changes_no_bit(self, manifold):
        given = evidence(manifold, manifold["oracle"][:400])
        rng = np.random.default_rng(0)
        changes = {}
        for side in ("train", "held_out", "synthetic"):
            order = rng.permutation(len(getattr(given, side)))
            for name in (side, f"{side}_labels", f"{side}_groups"):
                if hasattr(given, name):
                    changes[name] = getattr(given, name)[order]
        first, second = (metrics.measure_features(e, 5, 200) for e in (given, replace(given, **changes)))
        for name in first:
            assert vars(first[name]) == vars(second[name]), name

    def test_missing_class(self, manifold):
        given = evidence(manifold)
        dropped = replace(given, synthetic_labels=np.zeros_like(given.synthetic_labels))
        found = metrics.measure_features(dropped, 0, 100)
        assert found["coverage[melanoma]"].value == 0
        assert found["density[melanoma]"].reason == "no synthetic image is of class melanoma"
        assert found["fid[melanoma]"].reason == "no synthetic image is of class melanoma"

    def test_small_class_has_its_n_in_the_reason(self, manifold):
        given = evidence(manifold)
        few = np.zeros_like(given.synthetic_labels)
        few[: LEAST_PER_CLASS - 1] = 1
        found = metrics.measure_features(replace(given, synthetic_labels=few), 0, 100)["kid[melanoma]"]
        assert (found.value, found.n) == (None, 49)
        assert "n = 49 and at least 50" in found.reason

    def test_unequal_sizes_are_brought_to_one(self, manifold):
        given = evidence(manifold, manifold["oracle"][:333])
        first, second, other = (metrics.measure_features(given, seed, 100) for seed in (0, 0, 1))
        assert first["fid"].n == first["coverage"].n == 333
        assert vars(first["fid"]) == vars(second["fid"])
        assert first["fid"].value != other["fid"].value

    def test_kid_takes_all_images_and_leaves_out_pairs_of_one_lesion(self, manifold):
        given = evidence(manifold, manifold["oracle"][:300])
        found, groups = metrics.measure_features(given, 0, 50), given.held_out_groups
        expected = metrics.kernel_distance(given.held_out, given.synthetic, groups)
        assert (found["kid"].value, found["kid"].extra["se"]) == (float(expected), expected.se)
        assert found["kid"].n == len(given.held_out) > found["fid"].n == 300
        assert found["kid"].extra["n_synthetic"] == 300
        assert found["kid"].extra["groups"] == len(given.held_out) / 2
        assert found["kid"].value != float(metrics.kernel_distance(given.held_out, given.synthetic))
        real, drawn = given.held_out_labels == 1, given.synthetic_labels == 1
        of_class = metrics.kernel_distance(given.held_out[real], given.synthetic[drawn], groups[real])
        assert found["kid[melanoma]"].value == float(of_class)
        floor = metrics.real_floor(given.train, given.held_out, 0, 300, 50, given.train_groups, groups)
        both = metrics.kernel_distance(given.held_out, given.train, groups, given.train_groups)
        assert (floor["kid"].value, floor["kid"].extra["se"]) == (float(both), both.se)
        assert list(floor) == list(metrics.real_floor(given.train, given.held_out, 0, 300, 50))

    def test_encoders_get_their_own_numbers(self, manifold):
        turned = np.stack([manifold["oracle"] * s for s in np.linspace(1, 1.7, 8)]).astype(np.float32)
        null = np.stack([manifold["held_out"] * s for s in np.linspace(1, 1.7, 8)]).astype(np.float32)
        given = replace(evidence(manifold), encoders={"pixels": (manifold["train"], null, turned)})
        found = metrics.measure_features(given, 0, 100)
        assert found["copy_rate[pixels]"].value <= 0.03
        assert found["authenticity[pixels]"].n == 900

    def test_too_few_images(self, manifold):
        found = metrics.measure_features(evidence(manifold, manifold["oracle"][:3]), 0, 100)
        assert all(found[name].value is None for name in ("fid", "precision", "recall"))
        assert "n = 3" in found["fid"].reason


PLUGINS = [
    *(plugins.AUC, plugins.PartialAUC, plugins.AveragePrecision, plugins.Brier, plugins.LogLoss),
    *(plugins.CalibrationError, plugins.FID, plugins.KID, plugins.Precision, plugins.Recall, plugins.Density),
    *(plugins.Coverage, plugins.CopyRate, plugins.NeighbourRatio, plugins.ShareNearerTrain, plugins.Authenticity),
    *(plugins.Realism, plugins.CopyingStatistic),
]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda p: p.name)
def test_plugins_give_the_numbers_of_the_tables(plugin, manifold):
    metric = plugin()
    given = predictions() if metric.needs == "predictions" else evidence(manifold)
    measure = metrics.measure_predictions if metric.needs == "predictions" else metrics.measure_features
    found = metric(given, np.random.default_rng(0))
    assert isinstance(found, Estimate)
    assert found.direction == metric.direction
    assert found.value == measure(given, int(np.random.default_rng(0).integers(2**31)), 100)[metric.name].value
