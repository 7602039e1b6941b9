"""The sizes that make a pair of networks what it is: enough to build and store them, or to read them off weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts import Options
from bench.errors import ConfigError
from bench.trees import load_plain

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


def stored_shape(folder: str) -> Shape:
    """Sizes of the networks that ``save`` or ``bench import stylegan2`` wrote into ``folder``.

    Raises ConfigError if it did not; no weights are read.
    """
    try:
        return Shape(**load_plain(Path(folder).expanduser(), "shape"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"init_from {folder}: is no folder of a fitted stylegan2_ada (see `bench import stylegan2`): {error}"
        ) from error


def settled_sizes(folder: str) -> dict[str, Any]:
    """The options that a network in ``folder`` settles when training goes on from it."""
    return stored_shape(folder).model_dump(exclude={"resolution", "c_dim"})
