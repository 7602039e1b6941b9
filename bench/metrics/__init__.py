"""Metrics of synthetic images on plain arrays of features [N, D].

>>> from bench.metrics import frechet_distance, kernel_distance, prdc

Distances and shares are floats that carry their uncertainty as attributes (``.se``, ``.low``, ``.high``, ``.raw``).
What has no value raises :class:`bench.errors.UndefinedMetric` with the reason.
"""

from bench.metrics.arrays import Frechet, Kernel, Share
from bench.metrics.checkerboard import checkerboard
from bench.metrics.classification import measure_predictions
from bench.metrics.colour_floor import colour_features, colour_floor
from bench.metrics.copying import kmeans_cells, measure_c_t
from bench.metrics.duplicates import duplicate_rate
from bench.metrics.extrapolation import frechet_infinity
from bench.metrics.failures import measure_failures
from bench.metrics.features import pixel_features, symmetric_features
from bench.metrics.frechet import frechet_distance
from bench.metrics.generation import measure_features, real_floor
from bench.metrics.inception_score import inception_score
from bench.metrics.kernel import kernel_distance, kernel_distance_subsets
from bench.metrics.lesion import dice, no_lesion_rate, segment_lesions
from bench.metrics.membership import measure_membership, membership_inference
from bench.metrics.memorization import authenticity, c_t, copy_rate, nearest, nn_ratio, share_nearer_train
from bench.metrics.path_length import path_length
from bench.metrics.perceptual import class_diversity, lpips_distance, perceptual_diversity
from bench.metrics.prdc import PRDC, prdc
from bench.metrics.realism import measure_realism, realism
from bench.metrics.subgroups import measure_subgroups

VERSION = "2"
"""Part of every stage key: raised whenever a number that this package returns may change."""

__all__ = [
    "PRDC",
    "VERSION",
    "Frechet",
    "Kernel",
    "Share",
    "authenticity",
    "c_t",
    "checkerboard",
    "class_diversity",
    "colour_features",
    "colour_floor",
    "copy_rate",
    "dice",
    "duplicate_rate",
    "frechet_distance",
    "frechet_infinity",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "kmeans_cells",
    "lpips_distance",
    "measure_c_t",
    "measure_failures",
    "measure_features",
    "measure_membership",
    "measure_predictions",
    "measure_realism",
    "measure_subgroups",
    "membership_inference",
    "nearest",
    "nn_ratio",
    "no_lesion_rate",
    "path_length",
    "perceptual_diversity",
    "pixel_features",
    "prdc",
    "real_floor",
    "realism",
    "segment_lesions",
    "share_nearer_train",
    "symmetric_features",
]
