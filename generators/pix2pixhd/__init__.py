"""pix2pixHD: lesions painted over semantic maps."""

from generators.pix2pixhd.plugin import Pix2PixHD

__all__ = ["Pix2PixHD"]
