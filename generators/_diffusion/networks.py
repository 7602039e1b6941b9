"""The networks of diffusers at the sizes that the options ask for."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, UNet2DModel
from torch import nn

from generators._diffusion.options import DiffusionOptions


def build_unet(options: DiffusionOptions, code_shape: tuple[int, int, int], num_classes: int) -> Any:
    """Denoising UNet with a class embedding of ``num_classes`` + 1 rows; the last one is the null class.

    The last convolution starts at zero, so that training starts from the mean prediction.
    """
    channels, height, width = code_shape
    levels = len(options.channels)
    with_attention = [i >= levels - options.attention for i in range(levels)]
    unet: Any = UNet2DModel(  # type: ignore[no-untyped-call]
        sample_size=(height, width),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=options.channels,
        layers_per_block=options.layers,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in with_attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(with_attention)),
        norm_num_groups=norm_groups(options.channels),
        attention_head_dim=32 if all(c % 32 == 0 for c in options.channels) else 8,
        add_attention=options.attention > 0,
        dropout=options.dropout,
        num_class_embeds=num_classes + 1,
        num_train_timesteps=options.timesteps,
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def build_autoencoder(
    in_channels: int, latent_channels: int, widths: tuple[int, ...], layers: int, attention: bool
) -> Any:
    """Variational autoencoder that halves the resolution len(widths) - 1 times."""
    autoencoder: Any = AutoencoderKL(  # type: ignore[no-untyped-call]
        in_channels=in_channels,
        out_channels=in_channels,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=layers,
        latent_channels=latent_channels,
        norm_num_groups=norm_groups(widths),
        mid_block_add_attention=attention,
        scaling_factor=1.0,
    )
    return autoencoder


def norm_groups(channels: tuple[int, ...]) -> int:
    """Largest number of groups up to 32 that divides all widths and leaves at least 8 channels a group.

    Groups of one or two channels would take the mean colour out of the code, which a narrow network cannot restore.
    """
    return max(g for g in (1, 2, 4, 8, 16, 32) if all(c % g == 0 and c // g >= 8 for c in channels))


def plain_config(module: Any) -> dict[str, Any]:
    """The configuration of a network of diffusers, as it can be stored."""
    return {k: v for k, v in dict(module.config).items() if not k.startswith("_")}
