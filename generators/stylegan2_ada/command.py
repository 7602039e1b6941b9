"""Turn networks that were trained elsewhere into fitted generators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="import", help=__doc__, no_args_is_help=True, add_completion=False)


@app.callback()
def _root() -> None:
    return None


@app.command()
def stylegan2(
    state_dict: Annotated[Path, typer.Argument(help="safetensors, or a torch file of tensors alone.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="New folder. Default: beside the file.")] = None,
    conv_clamp: Annotated[float, typer.Option(help="Bound of values it was trained with; 0 for none.")] = 256.0,
) -> None:
    """A state dict of StyleGAN2(-ADA) under the published names; its sizes are read off the weights."""
    from generators.stylegan2_ada.importing import import_weights

    folder = state_dict.with_name(f"{state_dict.stem}-stylegan2_ada") if out is None else out
    shape, critic = import_weights(state_dict, folder, conv_clamp=conv_clamp or None)
    kind = f"conditional on {shape.c_dim} classes" if shape.c_dim else "unconditional"
    typer.echo(
        f"{folder}: generator{' and discriminator' if critic else ''} of {shape.resolution} px, {kind}, "
        f"z {shape.z_dim}, w {shape.w_dim}, {shape.mapping_layers} mapping layers, channel base {shape.channel_base}, "
        f"channel max {shape.channel_max}"
    )
    each = "" if shape.c_dim else " --set generator.per_class=true"
    start = f"bench run --generator stylegan2_ada --set generator.init_from={folder} --set data.resolution="
    typer.echo(f"go on training:  {start}{shape.resolution}{each}")
    typer.echo(f"use as it is:    {start}{shape.resolution}{each} --set generator.kimg=0")
