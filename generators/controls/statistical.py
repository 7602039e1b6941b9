"""Controls without images of their own: noise, and a Gaussian in the space of each class's principal components."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts import Context, GeneratorBase, Images, Labels, Options
from bench.draws import check_labels
from bench.errors import DataError, StageError
from bench.pixels import UInt8

Float = NDArray[np.float32]
OVERSAMPLE = 8
POWER_ITERATIONS = 3


class UniformNoise(GeneratorBase):
    """``noise``: every value uniform in 0..255. Precision, recall and coverage 0; authenticity 1."""

    control: ClassVar[bool] = True

    def fit(self, train: Images, ctx: Context) -> None:
        """Remember the size of the images."""
        self.height, self.width = train.size
        self.class_names = list(train.class_names)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Noise uint8 [M, H, W, 3]; raises :class:`DataError` for a label that is no class."""
        _check_fitted(self, "class_names")
        n = len(check_labels(labels, self.class_names))
        shape = (n, self.height, self.width, 3)
        stream = np.random.default_rng(ctx.seed).bytes(int(np.prod(shape)))
        return np.frombuffer(stream, dtype=np.uint8).reshape(shape).copy()


class PCAGaussianConfig(Options):
    """Options of :class:`PCAGaussian`.

    components  principal components a class (fewer where the class has fewer images)
    max_images  a class's components are found from at most so many images, chosen by seed
    """

    components: int = Field(64, ge=1)
    max_images: int = Field(4000, ge=2)


class PCAGaussian(GeneratorBase):
    """``pca-gaussian``: each class a Gaussian with the mean and the leading covariance of its pixels.

    It matches the first two moments, all that a Fréchet distance in pixel space sees, and looks like fog: a
    distance that ranks it high is measured in the wrong space.
    """

    control: ClassVar[bool] = True
    Config = PCAGaussianConfig
    config: PCAGaussianConfig

    def fit(self, train: Images, ctx: Context) -> None:
        """Mean [D] and scaled components [k, D] (D = H·W·3, values in [0, 1]) of every class that has images."""
        if not len(train):
            raise DataError("pca-gaussian got no training image: check the splits")
        self.shape, self.class_names = [*train.size, 3], list(train.class_names)
        self.means: dict[int, Float] = {}
        self.components: dict[int, Float] = {}
        present = np.flatnonzero(train.counts())
        for done, k in enumerate(present):
            rng = np.random.default_rng([ctx.seed, int(k)])
            rows = rng.permutation(np.flatnonzero(train.labels == k))[: self.config.max_images]
            x = np.asarray(train.pixels[np.sort(rows)], dtype=np.float32).reshape(len(rows), -1) / 255
            self.means[int(k)] = x.mean(0)
            self.components[int(k)] = principal_components(x - x.mean(0), self.config.components, rng)
            ctx.log(done + 1, len(present))

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """Gaussian images uint8 [M, H, W, 3], clipped to 0..255.

        Raises :class:`DataError` for a label that is no class or that had no training image.
        """
        _check_fitted(self, "means")
        labels = check_labels(labels, self.class_names)
        lacking = sorted({int(k) for k in labels} - set(self.means))
        if lacking:
            raise DataError(f"pca-gaussian saw no training image of {self.class_names[lacking[0]]!r}")
        z = np.random.default_rng(ctx.seed).standard_normal((len(labels), self.config.components), dtype=np.float32)
        out = np.empty((len(labels), *self.shape), dtype=np.uint8)
        for i, k in enumerate(map(int, labels)):  # one by one: a row must not depend on the others
            x = self.means[k] + z[i, : len(self.components[k])] @ self.components[k]
            out[i] = np.rint(255 * x.clip(0, 1)).reshape(self.shape)
        return out


def principal_components(x: Float, k: int, rng: np.random.Generator) -> Float:
    """Leading components of centred ``x`` [n, D] times their standard deviation, [min(k, n - 1, D), D].

    Randomised range finder with power iterations (Halko, Martinsson & Tropp 2011, arXiv:0909.4061, algorithm 4.4).
    """
    n, dim = x.shape
    k = min(k, n - 1, dim)
    if k < 1:
        return np.zeros((0, dim), dtype=np.float32)
    q, _ = np.linalg.qr(x @ rng.standard_normal((dim, min(k + OVERSAMPLE, n, dim)), dtype=np.float32))
    for _ in range(POWER_ITERATIONS):
        q, _ = np.linalg.qr(x.T @ q)
        q, _ = np.linalg.qr(x @ q)
    _, singular, directions = np.linalg.svd(q.T @ x, full_matrices=False)
    return np.asarray(singular[:k, None] / np.sqrt(n - 1) * directions[:k], dtype=np.float32)


def _check_fitted(generator: GeneratorBase, attribute: str) -> None:
    if not hasattr(generator, attribute):
        raise StageError(f"{type(generator).__name__} was not fitted: call fit or load first")
