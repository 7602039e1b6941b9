"""How small a difference a comparison can see, and how many cases it would need."""

from __future__ import annotations

import math
from statistics import NormalDist

from bench.errors import ConfigError
from bench.stats.checks import normal_quantile


def minimum_detectable_difference(standard_error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that a two-sided test at ``alpha`` finds with ``power``, for a normal estimate.

    (z_{1 - alpha/2} + z_{power}) x standard error, in the unit of the standard error.
    """
    if not (math.isfinite(standard_error) and standard_error >= 0):
        raise ConfigError(f"a standard error must be finite and not negative, got {standard_error}")
    return (normal_quantile(1 - alpha / 2) + normal_quantile(power)) * standard_error


def power_of_difference(difference: float, standard_error: float, alpha: float = 0.05) -> float:
    """Power of the two-sided z test for a true ``difference`` (both tails counted)."""
    if not standard_error > 0:
        raise ConfigError(f"a standard error must be positive, got {standard_error}")
    z, shift = normal_quantile(1 - alpha / 2), difference / standard_error
    return NormalDist().cdf(shift - z) + NormalDist().cdf(-shift - z)


def power_of_paired_proportions(n: int, difference: float, discordance: float, alpha: float = 0.05) -> float:
    """Power of McNemar's test: ``n`` paired cases, true ``difference`` of the two proportions.

    ``discordance`` is the share of cases on which the two classifiers disagree (>= |difference|); normal
    approximation of Connor 1987, Biometrics 43:207.
    """
    d = abs(difference)
    if n < 1 or not 0 < discordance <= 1 or d > discordance:
        raise ConfigError(f"need n >= 1 and |difference| <= discordance <= 1, got {n}, {difference}, {discordance}")
    spread = math.sqrt(max(discordance - d * d, 1e-300))
    return NormalDist().cdf((d * math.sqrt(n) - normal_quantile(1 - alpha / 2) * math.sqrt(discordance)) / spread)


def minimum_detectable_paired_difference(n: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest difference of two paired proportions that McNemar's test finds with ``power`` among ``n`` cases.

    Never more than ``discordance``; NaN is never returned: where even a difference equal to the discordance would be
    missed, :class:`ConfigError` says so.
    """
    if power_of_paired_proportions(n, discordance, discordance, alpha) < power:
        raise ConfigError(f"{n} cases with discordance {discordance:g} cannot reach power {power:g} at any difference")
    low, high = 0.0, discordance
    for _ in range(60):
        middle = (low + high) / 2
        found = power_of_paired_proportions(n, middle, discordance, alpha) >= power
        low, high = (low, middle) if found else (middle, high)
    return high


def cases_for_paired_difference(difference: float, discordance: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Cases that McNemar's test needs to find ``difference`` with ``power`` (Connor 1987, equation 3)."""
    d = abs(difference)
    if not 0 < d <= discordance <= 1:
        raise ConfigError(f"need 0 < |difference| <= discordance <= 1, got {difference}, {discordance}")
    z_alpha, z_power = normal_quantile(1 - alpha / 2), normal_quantile(power)
    return math.ceil((z_alpha * math.sqrt(discordance) + z_power * math.sqrt(discordance - d * d)) ** 2 / (d * d))
