"""The lesion: outline, pigment, and the dermoscopic structures, drawn as densities and overlays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.phantom.config import FACTORS
from bench.data.phantom.fields import (
    ANGLES,
    Frame,
    Plane,
    angle_index,
    by_angle,
    column,
    harmonics,
    ramp,
    soft_count,
    spots,
    wave_vectors,
    waves,
)
from bench.data.phantom.streams import Array, Layout

GLOBULES, CYSTS, STREAKS = 24, 16, 12
COLOURS = {  # linear rgb of what lies over the pigment
    "veil": (0.24, 0.30, 0.42),
    "light_mesh": (0.78, 0.62, 0.56),
    "scar": (0.86, 0.70, 0.66),
    "scale": (0.80, 0.70, 0.50),
    "cyst": (0.92, 0.84, 0.66),
}

LESION: Layout = {
    "factors": ("normal", (len(FACTORS),)),
    "lobe": ("uniform", (10,)),
    "ragged": ("normal", (12, 2)),
    "elongation": ("uniform", (2,)),
    "edge": ("uniform", ()),
    "zones": ("uniform", (3, 9, 3)),
    "grain": ("uniform", (30, 3)),
    "mesh": ("uniform", (4,)),
    "mesh_warp": ("uniform", (12, 3)),
    "mesh_place": ("uniform", (8, 3)),
    "globules": ("uniform", (GLOBULES, 3)),
    "cysts": ("uniform", (CYSTS, 3)),
    "streaks": ("uniform", (STREAKS, 3)),
    "scale": ("uniform", (30, 3)),
}


@dataclass
class Drawing:
    """Planes [B, T, T]: densities of melanin and blood, overlays (linear rgb, opacity), and the region maps."""

    melanin: Plane
    blood: Plane
    overlays: list[tuple[tuple[float, float, float], Plane]]
    masks: dict[str, Plane]


def amounts(factors: Array) -> dict[str, Array]:
    """Drawn amounts [B] of the latent ``factors`` [B, F]: each strictly increasing in its factor."""
    share = 1 / (1 + np.exp(-1.2 * (factors - np.array([f.middle for f in FACTORS]))))
    return {f.name: f.low + (f.high - f.low) * share[:, i] for i, f in enumerate(FACTORS)}


def outline(amount: dict[str, Array], lesion: dict[str, Array]) -> Array:
    """Radius by angle, [B, ANGLES]: diameter x (1 + ellipse + odd lobes + ragged edge).

    The ragged part has rms ``border`` exactly: only its shape is random.
    """
    phase = 2 * np.pi * lesion["lobe"]
    ellipse = harmonics(np.array([2]), 0.10 * lesion["elongation"][:, :1], 2 * np.pi * lesion["elongation"][:, 1:])
    sizes = amount["asymmetry"][:, None] * np.array([0.20, 0.19, 0.07])
    lobes = harmonics(np.array([1, 3, 5]), sizes, phase[:, :3])
    orders = np.arange(5, 17)
    rough = lesion["ragged"] / (orders - 2)[:, None]
    rough /= np.sqrt((rough**2).sum(axis=(1, 2), keepdims=True) / 2)
    ragged = harmonics(orders, np.hypot(rough[..., 0], rough[..., 1]), np.arctan2(rough[..., 1], rough[..., 0]))
    profile = 1 + ellipse + lobes + amount["border"][:, None] * ragged
    return amount["diameter"][:, None] * np.maximum(profile, 0.25)


def draw_lesion(factors: Array, lesion: dict[str, Array], frame: Frame, size: int) -> Drawing:
    """Draw B lesions from their latent ``factors`` [B, F] and their random numbers ``lesion``."""
    amount = amounts(factors)
    place = _place(amount, lesion, frame, size)
    melanin, blood, veil = _pigment(amount, lesion, place)
    mesh, mesh_region, light_mesh, light_region = _networks(amount, lesion, place)
    globules, cysts = _globules(amount, lesion, place), _cysts(amount, lesion, place)
    streaks, streak_region = _streaks(amount, lesion, place)
    melanin += mesh + np.float32(2.0) * globules + streaks
    opacities = {
        "veil": veil,
        "light_mesh": light_mesh,
        "scar": _scar(amount, lesion, place),
        "scale": _scale(amount, lesion, place),
        "cyst": np.float32(0.85) * cysts,
    }
    masks = {
        "lesion": (place.distance < place.radius).astype(np.float32),
        "border": (np.abs(place.distance - place.radius) < np.float32(0.04)).astype(np.float32),
        "globules": globules,
        "milia_like_cyst": cysts,
        "negative_network": light_region,
        "pigment_network": mesh_region,
        "streaks": streak_region,
    }
    return Drawing(melanin, blood, [(COLOURS[name], opacity) for name, opacity in opacities.items()], masks)


@dataclass
class Place:
    """Where B lesions lie, as planes [B, T, T].

    u, v: lesion coordinates; angle: bin of the polar angle; distance from the centre; radius: the outline's in that
    direction; relative: distance / radius; grain: fine texture; body: 1 inside, 0 outside, with a soft fringe.
    """

    frame: Frame
    size: int
    u: Plane
    v: Plane
    angle: NDArray[np.int32]
    distance: Plane
    radius: Plane
    relative: Plane
    grain: Plane
    body: Plane

    def field(self, uniform: Array, low: float, high: float) -> Plane:
        """Random field of unit variance with wavelengths in [low, high], fixed to the lesion."""
        return waves(self.frame, self.size, *wave_vectors(uniform, low, high))


def _place(amount: dict[str, Array], lesion: dict[str, Array], frame: Frame, size: int) -> Place:
    u, v = frame.to_object(size)
    angle = angle_index(u, v)
    radius = by_angle(outline(amount, lesion), angle)
    distance = np.sqrt(u * u + v * v)
    grain = waves(frame, size, *wave_vectors(lesion["grain"], 0.05, 0.2))
    soft = column(0.014 + 0.03 * lesion["edge"])
    # tanh is the logistic step of twice the argument; beyond the border the pigment fades within about 4 widths
    body = 0.5 + 0.5 * np.tanh((radius - distance + np.float32(0.012) * grain) / (2 * soft))
    return Place(frame, size, u, v, angle, distance, radius, distance / radius, grain, body)


def _pigment(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> tuple[Plane, Plane, Plane]:
    """Melanin, blood and blue-white veil: a body, lopsided with asymmetry, zoned with colour variegation."""
    dark, light, red = (place.field(lesion["zones"][:, i], 0.32, 0.8) for i in range(3))
    towards = 2 * np.pi * lesion["lobe"][:, 0]
    slope = column(1.1 * amount["asymmetry"] / amount["diameter"])
    lopsided = 1 + slope * (column(np.cos(towards)) * place.u + column(np.sin(towards)) * place.v)
    contrast = column(amount["colour"])
    dark_zone, light_zone, red_zone = ramp(dark, 0.1, 1.0), ramp(light, 0.3, 1.2), ramp(red, 0.4, 1.3)
    zoned = 1 + contrast * (np.float32(1.25) * dark_zone - np.float32(0.8) * light_zone)
    dome = 1.08 - np.float32(0.3) * np.minimum(place.relative, 1.5) ** 2
    melanin = column(amount["darkness"]) * np.clip(lopsided, 0.25, 2.0) * np.maximum(zoned, 0.12) * dome
    melanin *= place.body * (1 + np.float32(0.10) * place.grain)
    blood = place.body * (column(0.08 + amount["redness"]) + np.float32(0.7) * contrast * red_zone)
    inside = place.body * ramp(place.relative, 1.05, 0.75)
    veil = column(amount["veil"]) * inside * ramp(dark - light, -0.6, 2.2)
    return melanin, blood, veil


def _networks(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> tuple[Plane, Plane, Plane, Plane]:
    """Density of the pigment network, its region, opacity of the negative network, its region."""
    mesh = _honeycomb(lesion, place)
    where = place.field(lesion["mesh_place"], 0.5, 1.1)
    lines, holes = ramp(mesh, 0.35, -0.75), ramp(mesh, 0.5, -0.5)
    rim = place.body * ramp(place.relative, 0.25, 0.7) * ramp(where, -1.2, 0.2)
    light = place.body * ramp(place.relative, 1.0, 0.8) * ramp(where, 0.3, -0.7)
    strong, pale = column(amount["network"]), column(amount["negative_network"])
    return (
        strong * rim * (lines - np.float32(0.3)),
        rim * (strong > 0.35),
        pale * light * holes,
        light * (pale > 0.12),
    )


def _honeycomb(lesion: dict[str, Array], place: Place) -> Plane:
    """Sum of three plane waves at 120 degrees: maxima are the holes of a hexagonal mesh, low values its lines.

    The wave vectors sum to 0, so phases and warps that sum to 0 only move and bend the mesh; any others would turn
    it inside out.
    """
    spacing = 0.115 + 0.045 * lesion["mesh"][:, 0]
    k = 4 * np.pi / (np.sqrt(3) * spacing)
    bend = [np.float32(0.6) * place.field(lesion["mesh_warp"][:, i : i + 6], 0.3, 0.7) for i in (0, 6)]
    phase = [2 * np.pi * lesion["mesh"][:, i] for i in (2, 3)]
    bend.append(-bend[0] - bend[1])
    phase.append(-phase[0] - phase[1])
    total = np.zeros_like(place.u)
    for arm in range(3):
        angle = 2 * np.pi * (arm / 3 + lesion["mesh"][:, 1])
        kx, ky = column(k * np.cos(angle)), column(k * np.sin(angle))
        total += np.cos(kx * place.u + ky * place.v + column(phase[arm]) + bend[arm])
    return total


def _scatter(uniform: Array, amount: dict[str, Array], place: Place, reach: float) -> Array:
    """Centres in image coordinates, [B, N, 2], even over a disc of ``reach`` lesion radii."""
    distance = reach * amount["diameter"][:, None] * np.sqrt(uniform[..., 0])
    angle = 2 * np.pi * uniform[..., 1]
    return place.frame.to_image(np.stack([distance * np.cos(angle), distance * np.sin(angle)], -1))


def _globules(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> Plane:
    centres = _scatter(lesion["globules"], amount, place, 0.9)
    sigma = (0.024 + 0.018 * lesion["globules"][..., 2]) * place.frame.zoom[:, None]
    number = soft_count(amount["globules"], GLOBULES)
    return place.body * np.minimum(np.float32(1.4) * spots(centres, sigma, number, place.size), 1)  # type: ignore[no-any-return]


def _cysts(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> Plane:
    centres = _scatter(lesion["cysts"], amount, place, 0.85)
    sigma = (0.014 + 0.012 * lesion["cysts"][..., 2]) * place.frame.zoom[:, None]
    number = soft_count(amount["cysts"], CYSTS)
    return place.body * np.minimum(np.float32(1.6) * spots(centres, sigma, number, place.size), 1)  # type: ignore[no-any-return]


def _streaks(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> tuple[Plane, Plane]:
    """Dark radial lines across the border, crowded on one side, and the sectors that they cover."""
    centre = 2 * np.pi * (lesion["lobe"][:, 3:4] + 0.42 * (lesion["streaks"][..., 0] - 0.5) * 2)
    theta = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES)
    gap = np.abs((theta - centre[..., None] + np.pi) % (2 * np.pi) - np.pi)
    width = 0.023 / amount["diameter"][:, None, None] * (0.7 + 0.6 * lesion["streaks"][..., 1, None])
    present = soft_count(amount["streaks"], STREAKS)[..., None]
    profile = np.minimum((present * np.exp(-0.5 * (gap / width) ** 2)).sum(axis=1), 1)
    sector = (present * (gap < 0.16)).max(axis=1)
    beyond = place.distance - place.radius
    band = ramp(beyond, -0.14, -0.03) * ramp(beyond, 0.17, 0.06)
    return np.float32(2.0) * band * by_angle(profile, place.angle), band * by_angle(sector, place.angle)


def _scar(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> Plane:
    wobble = place.field(lesion["zones"][:, 2, :5], 0.25, 0.5)
    return column(amount["scar"]) * ramp(place.relative + np.float32(0.06) * wobble, 0.62, 0.3)


def _scale(amount: dict[str, Array], lesion: dict[str, Array], place: Place) -> Plane:
    flakes = place.field(lesion["scale"], 0.07, 0.22)
    return column(amount["scale"]) * place.body * ramp(flakes, 0.2, 1.1)
