"""Checkerboard artifacts of upsampling: peaks of the power spectrum where periods of 2 and 4 pixels lie.

A transposed convolution of stride 2 whose kernel overlaps itself unevenly paints a grid of period 2, and one a layer
earlier a grid of period 4 (Odena, Dumoulin & Olah 2016, Distill, doi:10.23915/distill.00003); in the spectrum these
are the replicas of upsampling (Durall et al. 2020, arXiv:2003.01826, section 3). For image i and a grid frequency h,

    c_ih = log E_i(h) - log F_i(h)      E_i(f): mean power of the 3 x 3 bins about f (colours added, Hann window)
                                        log F_i: fitted to log E_i of the bins away from all grids

with log F_i a polynomial of |f| of degree 3. What a generator's blur or noise does to the spectrum as a whole cancels;
a blur of rows and columns apart is not round and leaves ratios up to 1.5. The ratio of a period p with frequencies H_p
is exp(mean over H_p of (mean c_ih of synthetic - mean c_ih of real)): 1 as in reals, 2 for twice the energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.contracts import Estimate
from bench.errors import DataError, UndefinedMetric
from bench.metrics.arrays import Float, Int
from bench.metrics.features import blocks
from bench.pixels import PixelArray, UInt8

DEGREE = 3
SMALLEST = 32  # below, no bin is away from all grids
LEAST = 10  # images a side, for a bootstrap that means something
PERIODS = (2, 4)
PERIOD_OF = (2, 2, 2, 4, 4, 4, 4, 4, 4)  # of each grid frequency
BLANK = 1e-6  # added to powers: an image of one colour has none


@dataclass(frozen=True)
class Grid:
    """Bins of the spectrum of S x S images, in the order of ``numpy.fft``.

    place   int [G]: where each grid frequency lies among the S * S bins
    smooth  float [G, S * S]: gives the fitted log spectrum at each grid frequency from that of all bins
    """

    place: Int
    smooth: Float


@lru_cache(maxsize=4)
def grid_of(side: int) -> Grid:
    """The grid frequencies of images of ``side`` pixels, a multiple of 4: periods 2 and 4 along either axis or both."""
    bins = np.rint(np.fft.fftfreq(side) * side).astype(np.int64)
    v, u = np.meshgrid(bins, bins, indexing="ij")
    half, quarter = side // 2, side // 4
    places = [(half, 0), (0, half), (half, half)]
    places += [(quarter, 0), (0, quarter), (quarter, quarter), (quarter, -quarter), (half, quarter), (quarter, half)]
    near = np.stack([_distance(v, u, place, side) for place in places]).reshape(len(places), -1)
    # Below a tenth of the sampling rate lesions decide the power. The window smears a grid over one bin each way, and
    # the mean of 3 x 3 bins over one more.
    kept = (near.min(axis=0) > 2) & (np.hypot(v, u).ravel() >= side / 10)
    terms = _powers(np.hypot(v, u).ravel() / side)
    smooth = np.zeros(near.shape)
    smooth[:, kept] = _powers(np.hypot(*np.array(places).T) / side) @ np.linalg.pinv(terms[kept])
    return Grid(np.array([(a % side) * side + b % side for a, b in places]), smooth)


def peak_excess(pixels: PixelArray) -> Float:
    """c_ih of the module's formula, float64 [N, G], of ``pixels`` uint8 [N, S, S, 3], read block by block.

    Raises :class:`UndefinedMetric` unless images are square with a side that is a multiple of 4 and at least 32.
    """
    side = int(pixels.shape[1])
    if pixels.shape[2] != side or side % 4 or side < SMALLEST:
        raise UndefinedMetric(
            f"undefined, because grids are looked for in square images whose side is a multiple of 4 and at least "
            f"{SMALLEST}, and these are {side} x {pixels.shape[2]}"
        )
    grid = grid_of(side)
    window = np.outer(np.hanning(side + 1)[:-1], np.hanning(side + 1)[:-1])[..., None]
    spectra = (_log_power(block, window) for block in blocks(pixels))
    found = [log_power[:, grid.place] - log_power @ grid.smooth.T for log_power in spectra]
    return np.concatenate(found) if found else np.empty((0, len(PERIOD_OF)))


def checkerboard(real: PixelArray, synthetic: PixelArray, seed: int = 0, replicates: int = 1_000) -> Estimate:
    """Energy of the strongest grid of ``synthetic`` uint8 [M, S, S, 3] as a multiple of that in ``real`` [N, S, S, 3].

    The larger of the ratios of periods 2 and 4 pixels, with percentile limits from a bootstrap over the images of both
    sides, in which the period is chosen anew; about 1 where there is no checkerboard. ``extra``: the ratio of each
    period and the share of synthetic images with more energy at that period than 99 % of the reals.
    Raises :class:`UndefinedMetric` with fewer than 10 images a side and for sides below 32 or no multiple of 4.
    """
    if tuple(real.shape[1:3]) != tuple(synthetic.shape[1:3]):
        raise DataError(f"real images are {real.shape[1:3]} pixels, synthetic ones {synthetic.shape[1:3]}")
    return checkerboard_of(peak_excess(real), peak_excess(synthetic), seed, replicates)


def checkerboard_of(real: Float, synthetic: Float, seed: int = 0, replicates: int = 1_000) -> Estimate:
    """:func:`checkerboard` from the ``peak_excess`` float [N, G] of reals and [M, G] of synthetic images."""
    if min(len(real), len(synthetic)) < LEAST:
        raise UndefinedMetric(f"undefined, because fewer than {LEAST} images are on one side")
    x, y = _by_period(real), _by_period(synthetic)
    rng = np.random.default_rng(seed)
    drawn = _resampled_means(y, replicates, rng) - _resampled_means(x, replicates, rng)
    low, high = np.exp(np.quantile(drawn.max(axis=1), [0.025, 0.975], method="inverted_cdf"))
    log_ratio = y.mean(axis=0) - x.mean(axis=0)
    extra = {f"period{p}": float(np.exp(r)) for p, r in zip(PERIODS, log_ratio, strict=True)}
    beyond = (y > np.quantile(x, 0.99, axis=0)).mean(axis=0)
    extra |= {f"share_beyond_real_period{p}": float(s) for p, s in zip(PERIODS, beyond, strict=True)}
    method = "spectral energy at periods 2 and 4 px over a radial fit, synthetic over real; bootstrap over images"
    value = float(np.exp(log_ratio.max()))
    return Estimate(value, float(low), float(high), len(synthetic), "x", "lower", method, extra=extra)


def _log_power(block: UInt8, window: Float) -> Float:
    """log E float64 [n, S * S] of uint8 [n, S, S, 3] less the mean of each colour."""
    x = block.astype(np.float64)
    x = (x - x.mean(axis=(1, 2), keepdims=True)) * window
    spectrum = np.fft.fft2(x, axes=(1, 2))
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=3)
    for axis in (1, 2):
        power = (power + np.roll(power, 1, axis) + np.roll(power, -1, axis)) / 3
    return np.asarray(np.log(power + BLANK).reshape(len(x), -1))


def _by_period(excess: Float) -> Float:
    """Means of [N, G] over the frequencies of each period, [N, 2]."""
    period = np.array(PERIOD_OF)
    return np.stack([excess[:, period == p].mean(axis=1) for p in PERIODS], axis=1)


def _resampled_means(values: Float, replicates: int, rng: np.random.Generator) -> Float:
    """Means [B, 2] of bootstrap resamples of the rows of ``values`` [N, 2]."""
    n = len(values)
    counts = (rng.multinomial(n, np.full(n, 1 / n)) for _ in range(replicates))
    return np.stack([c @ values / n for c in counts])


def _distance(v: Int, u: Int, place: tuple[int, int], side: int) -> Int:
    """Chebyshev distance in bins, around the edges, from ``place`` or its mirror image, which has the same power."""
    both = []
    for sign in (1, -1):
        apart = [np.abs((a - sign * b + side // 2) % side - side // 2) for a, b in zip((v, u), place, strict=True)]
        both.append(np.maximum(*apart))
    return np.asarray(np.minimum(*both))


def _powers(radius: Float) -> Float:
    return np.stack([radius**k for k in range(DEGREE + 1)], axis=-1)
