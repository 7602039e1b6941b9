"""Perceptual path length (Karras et al. 2019, arXiv:1812.04948, section 4.1): how evenly images follow the latent.

    PPL = E [ d(G(a), G(a')) / eps² ]         a' a step of relative length eps from a towards another random latent

``ppl2_wend``: a = map(z0) itself ("end": t = 0) in W, a' = lerp(map(z0), map(z1), eps), eps = 1e-4, the values outside
the 1st to 99th percentile left out. Models without W: the same in Z along the great circle, "ppl_zend".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.capabilities import CanMapLatents, CanMapStyles
from bench.contracts import Context, Estimate, Labels
from bench.errors import CapabilityError, ConfigError, UndefinedMetric
from bench.metrics.arrays import Float, Float32
from bench.metrics.perceptual import BATCH, Distance, checked_distance
from bench.stats.checks import normal_quantile

Space = Literal["w", "z"]
Sampling = Literal["end", "full"]
LEAST = 20


def path_length(
    generator: CanMapLatents,
    labels: Labels,
    distance: Distance,
    ctx: Context,
    space: Space | None = None,
    sampling: Sampling = "end",
    eps: float = 1e-4,
    trim: tuple[float, float] = (1.0, 99.0),
    longest: int = 256,
) -> Estimate:
    """PPL of ``generator`` over one path a label: n = len(labels); the field takes 50,000 labels of the data.

    space     "w" or "z"; None: W where the generator has one (:class:`CanMapStyles`)
    sampling  "end": paths start at t = 0; "full": at t uniform in [0, 1]
    trim      percentiles kept, both ends included ("lower" and "higher" order statistics); recorded in ``extra``
    longest   larger images are averaged down to at most this side first, as in ``ppl2_wend``

    Interval: standard error of a trimmed mean from the winsorized variance (Tukey & McLaughlin 1963). Latents come from
    ``ctx.seed``. 0 for a generator that ignores its latent. Raises :class:`CapabilityError` for W without styles,
    :class:`UndefinedMetric` with fewer than 20 paths.
    """
    if not isinstance(generator, CanMapLatents):
        raise CapabilityError(f"{type(generator).__name__} has no latent vector to follow: path length needs one")
    chosen: Space = space or ("w" if isinstance(generator, CanMapStyles) else "z")
    if not (0 <= trim[0] < trim[1] <= 100) or eps <= 0:
        raise ConfigError(f"0 <= low < high <= 100 and eps > 0 needed, got trim {trim} and eps {eps}")
    if len(labels) < LEAST:
        raise UndefinedMetric(f"undefined, because n = {len(labels)} paths are too few, at least {LEAST} are needed")
    values = _path_values(generator, labels, distance, ctx, chosen, sampling, eps, longest)
    mean, se, (low, high) = trimmed_mean(values, trim)
    half = normal_quantile(0.975) * se
    name = f"ppl2_w{sampling}" if chosen == "w" else f"ppl_z{sampling}"
    method = f"{name}, eps {eps:g}, {trim[0]:g}-{trim[1]:g} % kept; winsorized variance"
    extra = {"name": name, "se": se, "eps": eps, "trim": list(trim), "kept_range": [low, high], "seed": ctx.seed}
    extra |= {"untrimmed": float(values.mean()), "distance": getattr(distance, "identity", "")}
    return Estimate(mean, max(0.0, mean - half), mean + half, len(values), "", "lower", method, extra=extra)


def _path_values(
    generator: CanMapLatents,
    labels: Labels,
    distance: Distance,
    ctx: Context,
    space: Space,
    sampling: Sampling,
    eps: float,
    longest: int,
) -> Float:
    """d / eps² float64 [n] of every path, a batch at a time. Draws do not depend on the size of a batch."""
    step, render = _path(generator, ctx, space)
    rng = np.random.default_rng([ctx.seed, 2])
    values = np.empty(len(labels))
    for start in range(0, len(labels), BATCH):
        part = labels[start : start + BATCH]
        z = rng.standard_normal((len(part), 2, generator.latent_size)).astype(np.float32)
        t = rng.random(len(part)) if sampling == "full" else np.zeros(len(part))
        ends = step(z[:, 0], z[:, 1], t, part), step(z[:, 0], z[:, 1], t + eps, part)
        both = _shrunk(render(np.concatenate(ends), np.concatenate([part, part])), longest)
        values[start : start + BATCH] = checked_distance(distance, *np.split(both, 2)) / eps**2
    return values


Step = Callable[[Float32, Float32, Float, Labels], Float32]
Render = Callable[[Float32, Labels], NDArray[np.float32]]


def _path(generator: CanMapLatents, ctx: Context, space: Space) -> tuple[Step, Render]:
    """(latents at t of the path between two z, images of latents)."""
    if space == "z":
        return lambda a, b, t, labels: slerp(a, b, t), lambda z, labels: generator.render_latents(z, labels, ctx)
    if not isinstance(generator, CanMapStyles):
        raise CapabilityError(f"{type(generator).__name__} has no W space: measure its path length in Z")
    styled = generator

    def step(a: Float32, b: Float32, t: Float, labels: Labels) -> Float32:
        w = styled.map_styles(np.concatenate([a, b]), np.concatenate([labels, labels]), ctx)
        u, v = np.split(np.asarray(w, dtype=np.float64), 2)
        return np.asarray(u + (v - u) * t.reshape(-1, *[1] * (u.ndim - 1)), dtype=np.float32)

    return step, lambda w, labels: styled.render_styles(w, labels, ctx)


def slerp(a: NDArray[np.floating], b: NDArray[np.floating], t: Float) -> Float32:
    """Spherical interpolation float32 [M, Z] from the direction of ``a`` [M, Z] to that of ``b`` at ``t`` [M].

    Unit length, as in Karras et al.: their mapping network and first layer normalise z; scaled here to sqrt(Z), the
    length of a standard normal vector.
    """
    u, v = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b))
    cosine = np.clip(np.einsum("mz,mz->m", u, v), -1, 1)
    across = v - cosine[:, None] * u
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    angle = (t * np.arccos(cosine))[:, None]
    return np.asarray((u * np.cos(angle) + across * np.sin(angle)) * np.sqrt(a.shape[1]), dtype=np.float32)


def _shrunk(images: NDArray[np.float32], longest: int) -> Float32:
    """Images [M, H, W, 3] averaged over whole blocks until no side exceeds ``longest``."""
    factor = -(-max(images.shape[1:3]) // longest)
    if factor <= 1:
        return np.asarray(images, dtype=np.float32)
    m, h, w, c = images.shape
    if h % factor or w % factor:
        raise ConfigError(f"images of {w} x {h} cannot be averaged by {factor}: choose a longest side that divides")
    return np.asarray(images.reshape(m, h // factor, factor, w // factor, factor, c).mean(axis=(2, 4)), np.float32)


def trimmed_mean(values: Float, trim: tuple[float, float]) -> tuple[float, float, tuple[float, float]]:
    """(mean of the values [n] between two percentiles, its standard error, the two limits)."""
    low = float(np.percentile(values, trim[0], method="lower"))
    high = float(np.percentile(values, trim[1], method="higher"))
    kept = values[(values >= low) & (values <= high)]
    share = (trim[1] - trim[0]) / 100
    se = float(np.std(np.clip(values, low, high), ddof=1) / (share * np.sqrt(len(values))))
    return float(kept.mean()), se, (low, high)
