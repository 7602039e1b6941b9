"""pix2pixHD as a plugin: the contract, its errors, and what masks do to it."""

from __future__ import annotations

from bench.testing import GeneratorContract
from generators.pix2pixhd import Pix2PixHD


class TestContract(GeneratorContract):
    """What every generator owes, on the smoke preset."""

    plugin = Pix2PixHD


class TestContractWithSuperpixels(GeneratorContract):
    """The same with an instance map and a local enhancer."""

    plugin = Pix2PixHD
    options = {"instances": "slic", "superpixels": 12, "enhancer": True, "widths": (8, 16), "enhancer_blocks": 1}
