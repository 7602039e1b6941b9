"""From the bytes of an image file to a square uint8 RGB array: the one preprocessing path of the benchmark."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.pixels import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

Crop = Literal["square", "pad"]
Filter = Literal["lanczos", "area"]
MAX_PIXELS = 80_000_000  # twice the largest dermoscopy camera; below Pillow's own limit


class BadImage(Exception):
    """A file that holds no usable image; the message is the reason, without the file's name."""


@dataclass(frozen=True)
class Recipe:
    """How every image is made square: ``crop`` its centre (or ``pad`` with black), then one antialiased resize."""

    size: int
    crop: Crop = "square"
    filter: Filter = "lanczos"

    @property
    def name(self) -> str:
        """E.g. ``square-crop,lanczos,32px,pillow-12.1.0``: stands in every record."""
        import PIL

        shape = "square-crop" if self.crop == "square" else "black-pad"
        return f"{shape},{self.filter},{self.size}px,pillow-{PIL.__version__}"

    def image(self, data: bytes) -> tuple[UInt8, tuple[str, ...]]:
        """uint8 [S, S, 3] and what had to be converted on the way ("CMYK", "EXIF rotation", ...).

        Greyscale, palette, CMYK, YCbCr and Lab become RGB; 16-bit values are divided by 257; transparent pixels are
        laid over black; EXIF orientation is applied; of several frames the first counts. Raises :class:`BadImage` for
        empty, truncated, non-image, floating-point and oversized files.
        """
        picture, notes = open_rgb(data)
        return self._resize(self._square(picture)), notes

    def mask(self, data: bytes) -> UInt8:
        """uint8 [S, S] of 0 and 255 from a mask file (inside where > 127), in the geometry of :meth:`image`."""
        picture, _ = open_rgb(data)
        inside = picture.convert("L").point([255 * (v > 127) for v in range(256)])
        area = Recipe(self.size, self.crop, "area")
        return (area._resize(area._square(inside))[..., 0] > 127).astype(np.uint8) * np.uint8(255)

    def _square(self, picture: Image) -> Image:
        from PIL import Image as pillow

        width, height = picture.size
        if width == height:
            return picture
        if self.crop == "square":
            side = min(width, height)
            left, top = (width - side) // 2, (height - side) // 2
            return picture.crop((left, top, left + side, top + side))
        side = max(width, height)
        canvas = pillow.new(picture.mode, (side, side))
        canvas.paste(picture, ((side - width) // 2, (side - height) // 2))
        return canvas

    def _resize(self, picture: Image) -> UInt8:
        """uint8 [S, S, bands]. In float, since Pillow's 8-bit resize rounds twice: after rows and after columns."""
        from PIL.Image import Resampling

        if picture.size == (self.size, self.size):
            pixels = np.asarray(picture)
            return pixels.reshape(self.size, self.size, -1)
        how = Resampling.LANCZOS if self.filter == "lanczos" else Resampling.BOX
        bands = [band.convert("F").resize((self.size, self.size), how) for band in picture.split()]
        stacked = np.stack([np.asarray(band) for band in bands], axis=-1)
        rounded: UInt8 = np.clip(np.rint(stacked), 0, 255).astype(np.uint8)
        return rounded


def open_rgb(data: bytes) -> tuple[Image, tuple[str, ...]]:
    """The decoded 8-bit RGB picture, upright, and the conversions it needed; raises :class:`BadImage`."""
    from PIL import Image as pillow
    from PIL import ImageOps, UnidentifiedImageError

    if not data:
        raise BadImage("empty file (0 bytes)")
    try:
        picture = pillow.open(io.BytesIO(data))
        if picture.width * picture.height > MAX_PIXELS:
            raise pillow.DecompressionBombError
        notes = ["first of several frames"] if getattr(picture, "n_frames", 1) > 1 else []
        orientation = picture.getexif().get(0x0112, 1)
        picture.load()
    except UnidentifiedImageError:
        raise BadImage("not an image in a format that Pillow reads") from None
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise BadImage(f"claims more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
        raise BadImage(f"truncated or damaged ({error})") from None
    rgb, conversions = _to_rgb(picture, sixteen_bit_png=data[:4] == b"\x89PNG" and data[24:25] == b"\x10")
    if orientation not in (0, 1):
        rgb = ImageOps.exif_transpose(_with_orientation(rgb, orientation))
        notes.append("EXIF rotation")
    return rgb, (*conversions, *notes)


def _to_rgb(picture: Image, sixteen_bit_png: bool) -> tuple[Image, list[str]]:
    from PIL import Image as pillow

    notes = ["16 bit"] if sixteen_bit_png or picture.mode.startswith("I") else []
    if picture.mode == "F":
        raise BadImage("floating-point pixels of unknown range")
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.float64)
        picture = pillow.fromarray(np.clip(np.rint(values / 257), 0, 255).astype(np.uint8))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        if layer.getchannel("A").getextrema() != (255, 255):
            canvas = pillow.new("RGBA", layer.size, (0, 0, 0, 255))
            return pillow.alpha_composite(canvas, layer).convert("RGB"), [*notes, "transparency"]
        return layer.convert("RGB"), notes
    if picture.mode == "RGB":
        return picture, notes
    name = {"L": "greyscale", "1": "greyscale", "P": "palette"}.get(picture.mode, picture.mode)
    return picture.convert("RGB"), [*notes, name]


def _with_orientation(picture: Image, orientation: int) -> Image:
    """``picture`` with only the orientation tag, since conversion to RGB may lose it."""
    from PIL import Image as pillow

    exif = pillow.Exif()
    exif[0x0112] = orientation
    upright = picture.copy()
    upright.info = {"exif": exif.tobytes()}
    return upright
