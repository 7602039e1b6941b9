"""What the camera and the clinic leave in the picture: hair, ruler, dark corners, ink, gel bubbles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.data.phantom.config import ARTIFACT_NAMES
from bench.data.phantom.fields import Plane, column, pixel_centres, ramp
from bench.data.phantom.streams import Array, Layout

Rows = dict[str, Array]
HAIRS, BUBBLES = 12, 6

VIEW: Layout = {
    "artifact": ("uniform", (len(ARTIFACT_NAMES),)),
    "hairs": ("uniform", (HAIRS, 6)),
    "hair_number": ("uniform", ()),
    "hair_direction": ("uniform", ()),
    "ruler": ("uniform", (5,)),
    "corner": ("uniform", (3,)),
    "ink": ("uniform", (6,)),
    "bubbles": ("uniform", (BUBBLES, 4)),
    "bubble_number": ("uniform", ()),
}


def add_artifacts(rgb: Plane, present: NDArray[np.bool_], patient: Rows, view: Rows) -> None:
    """Draw into linear ``rgb`` [B, 3, T, T] in place; ``present`` bool [B, A] in the order of ARTIFACT_NAMES."""
    drawers: dict[str, Callable[[Plane, Rows, Rows], Plane]] = {
        "ink": _ink,
        "bubble": _bubbles,
        "hair": _hair,
        "ruler": _ruler,
        "dark_corner": _dark_corners,
    }
    for name, draw in drawers.items():
        rows = np.flatnonzero(present[:, ARTIFACT_NAMES.index(name)])
        if len(rows):
            mine = {k: a[rows] for k, a in patient.items()}, {k: a[rows] for k, a in view.items()}
            rgb[rows] = draw(rgb[rows], *mine)


def _grid(size: int) -> tuple[Plane, Plane]:
    x = pixel_centres(size)
    return x[None, None, :], x[None, :, None]


def _blend(rgb: Plane, colour: Array, opacity: Plane) -> Plane:
    """``colour`` [B, 3] laid over ``rgb`` with ``opacity`` [B, T, T]."""
    cover = opacity[:, None]
    return rgb * (1 - cover) + colour.astype(np.float32)[:, :, None, None] * cover


def _hair(rgb: Plane, patient: Rows, view: Rows) -> Plane:
    """Thin dark parabolas, mostly combed one way; number and colour belong to the patient."""
    x, y = _grid(rgb.shape[-1])
    number = 3 + np.floor((HAIRS - 3) * (0.5 * patient["hair_density"] + 0.5 * view["hair_number"]) + 0.5)
    cover = np.zeros((len(rgb), rgb.shape[-1], rgb.shape[-1]), dtype=np.float32)
    for i in range(HAIRS):
        here = np.flatnonzero(number > i)
        if len(here):
            one = _one_hair(x, y, view["hairs"][here, i], view["hair_direction"][here])
            cover[here] = np.maximum(cover[here], one)
    tone = patient["hair_tone"][:, None]
    colour = (1 - tone) * np.array([0.010, 0.008, 0.007]) + tone * np.array([0.10, 0.055, 0.025])
    return _blend(rgb, colour, np.float32(0.9) * cover)


def _one_hair(x: Plane, y: Plane, u: Array, combed: Array) -> Plane:
    angle = 2 * np.pi * combed + 1.8 * (u[:, 0] - 0.5)
    c, s = column(np.cos(angle)), column(np.sin(angle))
    along = c * x + s * y - column(1.2 * (u[:, 5] - 0.5))
    bow = column(1.1 * (u[:, 2] - 0.5))
    off = c * y - s * x - column(1.8 * (u[:, 1] - 0.5)) - bow * along * along
    off /= np.sqrt(1 + (2 * bow * along) ** 2)
    width = column(0.009 + 0.007 * u[:, 3])
    reach = column(0.6 + 0.9 * u[:, 4])
    return np.clip(1.5 - np.abs(off) / width, 0, 1) * np.clip((reach - np.abs(along)) * 6, 0, 1)


def _ruler(rgb: Plane, patient: Rows, view: Rows) -> Plane:
    """Millimetre ticks along one edge, every fifth one longer."""
    x, y = _grid(rgb.shape[-1])
    u = view["ruler"]
    turn = np.floor(4 * u[:, 0]) * (np.pi / 2) + 0.12 * (u[:, 1] - 0.5)
    c, s = column(np.cos(turn)), column(np.sin(turn))
    along, depth = c * x + s * y, np.float32(0.98) - column(0.08 * u[:, 2]) - (c * y - s * x)
    spacing = column(0.085 + 0.03 * u[:, 3])
    tick = along / spacing + column(5 * u[:, 4])
    nearest = np.rint(tick)
    length = np.where(np.mod(nearest, 5) == 0, np.float32(0.20), np.float32(0.12))
    line = np.clip(1.6 - np.abs(tick - nearest) * spacing / np.float32(0.011), 0, 1)
    ends = np.clip((length - depth) / np.float32(0.02), 0, 1) * np.clip(depth / np.float32(0.02) + 0.5, 0, 1)
    return _blend(rgb, np.full((len(rgb), 3), 0.012), np.float32(0.9) * line * ends)


def _dark_corners(rgb: Plane, patient: Rows, view: Rows) -> Plane:
    """The black rim of the dermatoscope's round field of view."""
    x, y = _grid(rgb.shape[-1])
    u = view["corner"]
    dx, dy = x - column(0.12 * (u[:, 0] - 0.5)), y - column(0.12 * (u[:, 1] - 0.5))
    beyond = np.sqrt(dx * dx + dy * dy) - column(1.03 + 0.17 * u[:, 2])
    return _blend(rgb, np.full((len(rgb), 3), 0.004), ramp(beyond, -0.05, 0.06))


def _ink(rgb: Plane, patient: Rows, view: Rows) -> Plane:
    """A violet or blue stroke of the surgical marker near the edge; light still passes through it."""
    x, y = _grid(rgb.shape[-1])
    u = view["ink"]
    angle = 2 * np.pi * u[:, 0]
    c, s = column(np.cos(angle)), column(np.sin(angle))
    along, off = c * y - s * x, c * x + s * y - column(0.72 + 0.18 * u[:, 1])
    off += column(0.5 * (u[:, 2] - 0.5)) * along * along
    half = column(0.05 + 0.05 * u[:, 3])
    stroke = ramp(np.abs(off) / half, 1.25, 0.75) * ramp(np.abs(along - column(u[:, 4] - 0.5)), 0.8, 0.6)
    hue = u[:, 5][:, None]
    absorbed = hue * np.array([2.4, 2.6, 0.8]) + (1 - hue) * np.array([2.9, 1.6, 0.6])
    return rgb * np.exp(-absorbed.astype(np.float32)[:, :, None, None] * stroke[:, None])  # type: ignore[no-any-return]


def _bubbles(rgb: Plane, patient: Rows, view: Rows) -> Plane:
    """Air bubbles in the immersion gel: a dark rim, a bright inner rim and a highlight."""
    x, y = _grid(rgb.shape[-1])
    number = 1 + np.floor(BUBBLES * view["bubble_number"])
    for i in range(BUBBLES):
        here = np.flatnonzero(number > i)
        if not len(here):
            break
        u = view["bubbles"][here, i]
        dx, dy = x - column(1.8 * u[:, 0] - 0.9), y - column(1.8 * u[:, 1] - 0.9)
        size = column(0.05 + 0.13 * u[:, 2] ** 2)
        away = np.sqrt(dx * dx + dy * dy) / size
        rim = np.exp(-(((away - 1) / np.float32(0.13)) ** 2))
        glow = np.exp(-(((away - np.float32(0.78)) / np.float32(0.16)) ** 2)) * ramp(-dy / size, -0.5, 0.9)
        shine = np.exp(-((dx / size + np.float32(0.35)) ** 2 + (dy / size + np.float32(0.35)) ** 2) * 30)
        dimmed = rgb[here] * (1 - np.float32(0.45) * rim)[:, None]
        rgb[here] = _blend(dimmed, np.full((len(here), 3), 0.85), np.minimum(0.45 * glow + 0.8 * shine, 0.9))
    return rgb
