"""The sizes that make a pair of networks what it is: enough to build and store them, or to read them off weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contracts import Options

if TYPE_CHECKING:
    from generators.stylegan2_ada.networks import Discriminator, Generator


class Shape(Options):
    """Sizes as in :class:`generators.stylegan2_ada.networks.Generator`; ``c_dim`` 0 is unconditional."""

    resolution: int
    z_dim: int
    c_dim: int
    w_dim: int
    mapping_layers: int
    channel_base: int
    channel_max: int
    conv_clamp: float | None
    mbstd_group: int

    @property
    def num_ws(self) -> int:
        """How many places w enters: layers, and the colours of the last block."""
        return 2 * (self.resolution.bit_length() - 2)

    def generator(self) -> Generator:
        """An untrained generator network."""
        from generators.stylegan2_ada.networks import Generator

        return Generator(
            self.z_dim,
            self.c_dim,
            self.w_dim,
            self.resolution,
            self.mapping_layers,
            self.channel_base,
            self.channel_max,
            conv_clamp=self.conv_clamp,
        )

    def discriminator(self) -> Discriminator:
        """An untrained discriminator network."""
        from generators.stylegan2_ada.networks import Discriminator

        return Discriminator(
            self.c_dim,
            self.resolution,
            self.channel_base,
            self.channel_max,
            conv_clamp=self.conv_clamp,
            mbstd_group=self.mbstd_group,
        )
