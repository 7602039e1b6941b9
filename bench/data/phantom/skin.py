"""Skin: colour from the individual typology angle, furrows, mottling."""

from __future__ import annotations

import numpy as np

from bench.data.phantom.fields import Frame, Plane, wave_vectors, waves
from bench.data.phantom.streams import Array, Layout

PATIENT: Layout = {
    "ita": ("uniform", ()),
    "yellow": ("normal", ()),
    "red": ("normal", ()),
    "furrow_depth": ("uniform", ()),
    "hair_tone": ("uniform", ()),
    "hair_density": ("uniform", ()),
}
VIEW: Layout = {"mottle": ("uniform", (10, 3)), "furrow": ("uniform", (36, 3))}

_LAB_TO_XYZ = np.array([[1 / 116, 1 / 500, 0.0], [1 / 116, 0.0, 0.0], [1 / 116, 0.0, -1 / 200]])
_D65 = np.array([0.95047, 1.0, 1.08883])
_XYZ_TO_RGB = np.array(  # IEC 61966-2-1
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)


def skin_ita(patient: dict[str, Array], bounds: tuple[float, float]) -> Array:
    """Individual typology angle in degrees, [B], uniform within ``bounds``."""
    return bounds[0] + (bounds[1] - bounds[0]) * patient["ita"]


def skin_colour(patient: dict[str, Array], ita: Array) -> Array:
    """Linear sRGB [B, 3] of skin with that angle: ITA = atan((L* - 50) / b*) (Chardon, Cretois, Hourseau 1991)."""
    b = 17.0 + 1.5 * patient["yellow"]
    light = 50.0 + b * np.tan(np.radians(ita))
    a = 15.0 - 0.08 * ita + 1.2 * patient["red"]
    return lab_to_linear(np.stack([light, a, b], -1))


def lab_to_linear(lab: Array) -> Array:
    """CIELAB (D65) [..., 3] to linear sRGB, clipped to [0.004, 1] so that densities stay finite."""
    f = lab @ _LAB_TO_XYZ.T + 16 / 116
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _D65
    return np.clip(xyz @ _XYZ_TO_RGB.T, 0.004, 1.0)  # type: ignore[no-any-return]


def skin_texture(patient: dict[str, Array], view: dict[str, Array], frame: Frame, size: int) -> tuple[Plane, Plane]:
    """Extra melanin and extra haemoglobin density of the skin, planes [B, T, T].

    Furrows are the thin valleys of a field of short waves; mottling is slow and reddish.
    """
    mottle = waves(frame, size, *wave_vectors(view["mottle"], 0.5, 1.6))
    short = waves(frame, size, *wave_vectors(view["furrow"], 0.05, 0.16))
    depth = (0.03 + 0.09 * patient["furrow_depth"]).astype(np.float32)[:, None, None]
    valleys = np.exp(-4 * short * short)
    return depth * (valleys + np.float32(0.35) * short) + np.float32(0.02) * mottle, np.float32(0.05) * mottle
