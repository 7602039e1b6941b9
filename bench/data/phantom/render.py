"""From who is on an image to its pixels: skin and lesion as densities, overlays, artifacts, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.phantom import artifacts, lesion, skin
from bench.data.phantom.config import MASK_NAMES, PhantomConfig
from bench.data.phantom.fields import Frame, Plane, column, image_frame, pixel_centres, shrink
from bench.data.phantom.population import Population
from bench.data.phantom.streams import Array, Layout, Roster, draw_rows, generator
from bench.pixels import UInt8

VIEW: Layout = {
    "angle": ("uniform", ()),
    "zoom": ("normal", ()),
    "shift": ("normal", (2,)),
    "gain": ("normal", ()),
    "cast": ("normal", (3,)),
    "slope": ("normal", (2,)),
    "falloff": ("uniform", ()),
    "noise": ("uniform", ()),
    **skin.VIEW,
    **artifacts.VIEW,
}
# Relative absorption in the red, green and blue band: melanin falls with wavelength, haemoglobin peaks in the green
# (after the two-pigment skin model of Tsumura, Haneishi, Miyake 1999, Beer-Lambert law).
MELANIN = (0.62, 1.0, 1.38)
HAEMOGLOBIN = (0.10, 0.75, 0.62)
MASK_CUT = 0.5
_LEVELS = 4096


@dataclass(frozen=True)
class Scene:
    """Everything that decides B images, before a pixel is drawn.

    factors float64 [B, F]; artifacts bool [B, A]; ita float64 [B] degrees; patient, lesion, view: the raw numbers.
    """

    factors: Array
    artifacts: NDArray[np.bool_]
    ita: Array
    patient: dict[str, Array]
    lesion: dict[str, Array]
    view: dict[str, Array]


def compose(roster: Roster, people: Population, config: PhantomConfig) -> Scene:
    """The scenes of ``roster``. The class enters only here: factor means and artifact rates."""
    patient = draw_rows(roster.patient_keys(), skin.PATIENT)
    spot = draw_rows(roster.lesion_keys(), lesion.LESION)
    view = draw_rows(roster.view_keys(), VIEW)
    return Scene(
        factors=people.means[roster.label] + spot["factors"],
        artifacts=view["artifact"] < people.rates[roster.label],
        ita=skin.skin_ita(patient, config.ita),
        patient=patient,
        lesion=spot,
        view=view,
    )


def render(scene: Scene, roster: Roster, size: int) -> tuple[UInt8, UInt8]:
    """Pixels uint8 [B, S, S, 3] (sRGB) and masks uint8 [B, S, S, C], 0 or 255, of the scenes of ``roster``."""
    factor = oversampling(size)
    fine = size * factor
    drawing = lesion.draw_lesion(scene.factors, scene.lesion, _frame(scene.view), fine)
    rgb = _develop(scene, drawing, fine)
    artifacts.add_artifacts(rgb, scene.artifacts, scene.patient, scene.view)
    _illuminate(rgb, scene.view)
    masks = np.stack([shrink(drawing.masks[name], factor) > MASK_CUT for name in MASK_NAMES], -1)
    return _expose(shrink(rgb, factor), scene, roster), masks.astype(np.uint8) * 255


def oversampling(size: int) -> int:
    """Fine pixels a side of one output pixel: thin lines need about 64 pixels across the image."""
    return 1 if size >= 128 else 2 if size >= 32 else 4


def _frame(view: dict[str, Array]) -> Frame:
    # The zoom varies little, so that the diameter can still be seen.
    return Frame(2 * np.pi * view["angle"], np.exp(0.03 * view["zoom"]), 0.05 * view["shift"])


def _develop(scene: Scene, drawing: lesion.Drawing, size: int) -> Plane:
    """Linear light [B, 3, T, T]: skin colour x exp(-densities), then the overlays."""
    b = len(scene.ita)
    base = skin.skin_colour(scene.patient, scene.ita).astype(np.float32)
    melanin, blood = skin.skin_texture(scene.patient, scene.view, image_frame(b), size)
    melanin += drawing.melanin
    blood += drawing.blood
    rgb = np.empty((b, 3, size, size), dtype=np.float32)
    for c in range(3):
        light = np.exp(-(np.float32(MELANIN[c]) * melanin + np.float32(HAEMOGLOBIN[c]) * blood))
        light *= column(base[:, c])
        for colour, opacity in drawing.overlays:
            light += opacity * (np.float32(0.8) * np.float32(colour[c]) * column(0.35 + 0.65 * base[:, 0]) - light)
        rgb[:, c] = light
    return rgb


def _illuminate(rgb: Plane, view: dict[str, Array]) -> None:
    """Lamp: overall gain, colour cast, a slope across the field and a fall-off toward the corners; in place."""
    x = pixel_centres(rgb.shape[-1])
    slope = 0.05 * view["slope"]
    lamp = 1 + column(slope[:, 0]) * x[None, None, :] + column(slope[:, 1]) * x[None, :, None]
    lamp -= column(0.05 + 0.10 * view["falloff"]) * (x[None, :, None] ** 2 + x[None, None, :] ** 2)
    gain = np.exp(0.08 * view["gain"][:, None] + 0.03 * view["cast"]).astype(np.float32)
    rgb *= gain[:, :, None, None] * lamp[:, None]


def _expose(rgb: Plane, scene: Scene, roster: Roster) -> UInt8:
    """sRGB curve (IEC 61966-2-1), sensor noise, one rounding: uint8 [B, S, S, 3] from linear [B, 3, S, S]."""
    index = (np.clip(rgb, 0, 1) * np.float32(_LEVELS - 1) + np.float32(0.5)).astype(np.int32)
    image = np.take(_SRGB, index).transpose(0, 2, 3, 1)
    size = image.shape[1]
    streams = [generator(*key, "noise", size) for key in roster.view_keys()]
    grain = np.stack([rng.standard_normal((size, size, 3), dtype=np.float32) for rng in streams])
    image = image + grain * (1.2 + 2.0 * scene.view["noise"]).astype(np.float32)[:, None, None, None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _srgb_table() -> Plane:
    linear = np.arange(_LEVELS) / (_LEVELS - 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * curve).astype(np.float32)


_SRGB = _srgb_table()
