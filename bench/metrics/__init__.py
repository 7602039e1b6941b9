"""Metrics of synthetic images on plain arrays of features [N, D].

>>> from bench.metrics import frechet_distance, kernel_distance, prdc

Distances and shares are floats that carry their uncertainty as attributes (``.se``, ``.low``, ``.high``, ``.raw``).
What has no value raises :class:`bench.errors.UndefinedMetric` with the reason.
"""

from bench.metrics.arrays import Frechet, Kernel, Share
from bench.metrics.classification import measure_predictions
from bench.metrics.colour_floor import colour_features, colour_floor
from bench.metrics.features import pixel_features, symmetric_features
from bench.metrics.frechet import frechet_distance
from bench.metrics.generation import measure_features, real_floor
from bench.metrics.kernel import kernel_distance, kernel_distance_subsets
from bench.metrics.memorization import authenticity, c_t, copy_rate, nearest, nn_ratio, share_nearer_train
from bench.metrics.prdc import PRDC, prdc

VERSION = "1"
"""Part of every stage key: raised whenever a number that this package returns may change."""

__all__ = [
    "PRDC",
    "VERSION",
    "Frechet",
    "Kernel",
    "Share",
    "authenticity",
    "c_t",
    "colour_features",
    "colour_floor",
    "copy_rate",
    "frechet_distance",
    "kernel_distance",
    "kernel_distance_subsets",
    "measure_features",
    "measure_predictions",
    "nearest",
    "nn_ratio",
    "pixel_features",
    "prdc",
    "real_floor",
    "share_nearer_train",
    "symmetric_features",
]
