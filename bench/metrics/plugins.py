"""The metrics as plugins of the entry-point group ``bench.metrics``: one number of one piece of evidence.

The tables are made by :func:`bench.metrics.measure_predictions` and :func:`bench.metrics.measure_features`, which share
work between metrics. These classes give single numbers by name and are the pattern for metrics of other packages.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import numpy as np

from bench.contracts import Direction, Estimate, FeatureEvidence, PredictionEvidence
from bench.metrics import generation
from bench.metrics.classification import measure_auc, measure_calibration, measure_ranking, positive_score
from bench.metrics.copying import measure_c_t
from bench.metrics.estimates import defined
from bench.metrics.extrapolation import frechet_infinity
from bench.metrics.privacy import Privacy
from bench.metrics.realism import measure_realism

REPLICATES = 2_000
Needs = Literal["predictions", "features"]


class _Predictions:
    name: ClassVar[str]
    version: ClassVar[str] = "1"
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[Needs] = "predictions"

    def __call__(self, evidence: PredictionEvidence, rng: np.random.Generator) -> Estimate:
        labels, score = np.asarray(evidence.y) == evidence.positive, positive_score(evidence)
        measure = measure_ranking if self.direction == "higher" else measure_calibration
        return measure(labels, score, evidence.groups, _seed(rng), REPLICATES, only=self.name)[self.name]


class AUC(_Predictions):
    """Area under the ROC curve of the positive class, DeLong interval."""

    name = "auc"

    def __call__(self, evidence: PredictionEvidence, rng: np.random.Generator) -> Estimate:
        labels = np.asarray(evidence.y) == evidence.positive
        return measure_auc(labels, positive_score(evidence), evidence.groups, _seed(rng), REPLICATES)


class PartialAUC(_Predictions):
    """Area between the ROC curve and sensitivity .8."""

    name = "pauc80"


class AveragePrecision(_Predictions):
    """Average precision of the positive class."""

    name = "average_precision"


class Brier(_Predictions):
    """Brier score of the positive class."""

    name = "brier"
    direction = "lower"


class LogLoss(_Predictions):
    """Log-loss of the positive class in nats."""

    name = "log_loss"
    direction = "lower"


class CalibrationError(_Predictions):
    """Expected calibration error of the positive class, 15 equal-width bins."""

    name = "ece"
    direction = "lower"


class _Fidelity:
    name: ClassVar[str]
    version: ClassVar[str] = "1"
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[Needs] = "features"

    def __call__(self, evidence: FeatureEvidence, rng: np.random.Generator) -> Estimate:
        found = generation.measure_fidelity(
            evidence.held_out, evidence.synthetic, _seed(rng), REPLICATES, (self.name,), evidence.held_out_groups
        )
        return found[self.name]


class FID(_Fidelity):
    """Fréchet distance to held-out reals at equal n."""

    name = "fid"
    direction = "lower"


class KID(_Fidelity):
    """Unbiased kernel distance to held-out reals, pairs of one group left out."""

    name = "kid"
    direction = "lower"


class Precision(_Fidelity):
    """Share of synthetic images among the held-out reals."""

    name = "precision"


class Recall(_Fidelity):
    """Share of held-out reals among the synthetic images."""

    name = "recall"


class Density(_Fidelity):
    """Mean number of real balls around a synthetic image, over k."""

    name = "density"


class Coverage(_Fidelity):
    """Share of held-out reals with a synthetic image in their ball."""

    name = "coverage"


class Realism(_Fidelity):
    """Median realism of the synthetic images given held-out reals."""

    name = "realism"

    def __call__(self, evidence: FeatureEvidence, rng: np.random.Generator) -> Estimate:
        seed = _seed(rng)
        real, drawn, n = generation.equal_n(evidence.held_out, evidence.synthetic, seed)
        return defined(partial(measure_realism, real, drawn, seed, replicates=REPLICATES), n, "higher")


class FIDInfinity(_Fidelity):
    """Fréchet distance to held-out reals, extrapolated to infinitely many images of both."""

    name = "fid_infinity"
    direction = "lower"

    def __call__(self, evidence: FeatureEvidence, rng: np.random.Generator) -> Estimate:
        seed = _seed(rng)
        real, drawn, n = generation.equal_n(evidence.held_out, evidence.synthetic, seed)
        return defined(partial(frechet_infinity, real, drawn, seed=seed), n, "lower")


class _Privacy:
    name: ClassVar[str]
    version: ClassVar[str] = "1"
    direction: ClassVar[Direction] = "none"
    needs: ClassVar[Needs] = "features"

    def __call__(self, evidence: FeatureEvidence, rng: np.random.Generator) -> Estimate:
        sets = evidence.train, evidence.held_out, evidence.synthetic
        privacy = Privacy(*sets, evidence.train_groups, _seed(rng), REPLICATES)
        return defined(getattr(privacy, self.name), len(evidence.synthetic), self.direction)


class CopyingStatistic(_Privacy):
    """Data-copying statistic over k-means cells: below about -3 null deviations the synthetic images copy train."""

    name = "c_t"

    def __call__(self, evidence: FeatureEvidence, rng: np.random.Generator) -> Estimate:
        sets = evidence.held_out, evidence.synthetic, evidence.train
        return defined(partial(measure_c_t, *sets, None, _seed(rng), REPLICATES), len(evidence.synthetic), "none")


class CopyRate(_Privacy):
    """Share of synthetic images nearer to train than the 1 % quantile of held-out reals."""

    name = "copy_rate"
    direction = "lower"


class NeighbourRatio(_Privacy):
    """Median ratio of the distances to the nearest training image and to the nearest of another lesion."""

    name = "nn_ratio"


class ShareNearerTrain(_Privacy):
    """Share of synthetic images nearer to train than to as many held-out reals."""

    name = "share_nearer_train"


class Authenticity(_Privacy):
    """Share of synthetic images farther from train than their nearest training image is from the others."""

    name = "authenticity"


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
