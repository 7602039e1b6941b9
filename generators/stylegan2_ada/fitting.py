"""From training images to fitted networks: where they start from, and one training or one a class."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from bench.contracts import Context, Images, Labels
from bench.errors import ConfigError, DataError
from bench.loop import seed_all
from bench.pixels import UInt8
from bench.training.grids import SampleGrids
from bench.trees import load_tree
from generators._diffusion.phases import Phase, kept
from generators.stylegan2_ada.model import StyleModel
from generators.stylegan2_ada.networks import Discriminator, Generator
from generators.stylegan2_ada.options import StyleOptions
from generators.stylegan2_ada.shape import Shape, stored_shape
from generators.stylegan2_ada.training import Trainer

States = tuple[dict[str, Any], dict[str, Any] | None]  # state dicts of generator and discriminator


def fit_model(options: StyleOptions, train: Images, ctx: Context) -> StyleModel:
    """Networks trained on ``train``, on the CPU; resumes from ``ctx``.

    Raises DataError for images that are not square with a side of 8, 16, 32 ... pixels, ConfigError for a checkpoint
    of another size or other classes.
    """
    check_size(train)
    options = options.at(train.size[0])
    start = None if options.init_from is None else Start(options.init_from, options, train)
    shape = shape_of(options, train) if start is None else start.shape
    fit = _fit_each_class if options.per_class else _fit_once
    generators, discriminators = fit(options, shape, start, train, ctx)
    return StyleModel(
        shape, train.num_classes, generators, discriminators, width=options.sampling_batch, noise=options.noise
    )


def check_size(train: Images) -> None:
    """Raise DataError unless ``train`` has images, square ones of a side the networks can make."""
    height, width = train.size
    if len(train) == 0:
        raise DataError("no training image: a generator cannot be fitted on none")
    if height != width or height < 8 or height & (height - 1):
        raise DataError(
            f"images are {height}x{width} pixels, but stylegan2_ada makes square ones of 8, 16, 32, 64, 128, 256 ... "
            "pixels: set data.resolution to one of these"
        )


def shape_of(options: StyleOptions, train: Images) -> Shape:
    """The networks that ``options`` ask for on images like ``train``."""
    same = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max", "conv_clamp", "mbstd_group")
    if options.channel_base < train.size[0]:
        raise ConfigError(f"channel_base {options.channel_base} leaves no feature map at {train.size[0]} pixels")
    return Shape(
        resolution=train.size[0],
        c_dim=0 if options.per_class else train.num_classes,
        **{name: getattr(options, name) for name in same},
    )


class Start:
    """The checkpoint ``folder`` to go on from; raises ConfigError if it does not fit ``options`` and ``train``."""

    def __init__(self, folder: str, options: StyleOptions, train: Images) -> None:
        self.tree = read_checkpoint(folder)
        self.shape = Shape(**self.tree["shape"])
        wanted = 0 if options.per_class else train.num_classes
        if self.shape.resolution != train.size[0]:
            raise ConfigError(
                f"init_from {folder}: made for {self.shape.resolution} pixels, the images have {train.size[0]}: "
                f"set data.resolution={self.shape.resolution}"
            )
        if self.shape.c_dim != wanted:
            kind = f"conditional on {self.shape.c_dim} classes" if self.shape.c_dim else "unconditional"
            hint = "give per_class=true" if self.shape.c_dim == 0 else "fit one with the same classes first"
            raise ConfigError(
                f"init_from {folder}: its network is {kind}, here are {train.num_classes} classes: {hint}"
            )
        if wanted == 0 and len(self.tree["generators"]) not in (1, train.num_classes):
            n = len(self.tree["generators"])
            raise ConfigError(f"init_from {folder}: has {n} networks for {train.num_classes} classes")

    def states(self, label: int) -> States:
        """What the network of class ``label`` starts from."""
        which = label if len(self.tree["generators"]) > 1 else 0
        generator = self.tree["generators"][which]
        if generator is None:
            raise ConfigError(f"init_from has no network of class {label}: it had no training image")
        return generator, self.tree["discriminators"][which]


def read_checkpoint(folder: str) -> dict[str, Any]:
    """The tree that ``save`` or ``bench import stylegan2`` wrote into ``folder``; raises ConfigError if it did not."""
    stored_shape(folder)
    try:
        return load_tree(Path(folder).expanduser())  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"init_from {folder}: what is stored there is damaged: {error}") from error


def _fit_once(
    options: StyleOptions, shape: Shape, start: Start | None, train: Images, ctx: Context
) -> tuple[list[Generator | None], list[Discriminator | None]]:
    g, d = _trained(options, shape, None if start is None else start.states(0), train, ctx)
    return [g], [d]


def _fit_each_class(
    options: StyleOptions, shape: Shape, start: Start | None, train: Images, ctx: Context
) -> tuple[list[Generator | None], list[Discriminator | None]]:
    """One pair a class with images, in order; pairs that a killed fit had finished are read from its folder."""
    found, steps = ctx.latest(), options.steps
    present = [int(k) for k in np.flatnonzero(train.counts())]
    generators: list[Generator | None] = [None] * train.num_classes
    discriminators: list[Discriminator | None] = [None] * train.num_classes
    first: States | None = None
    for i, k in enumerate(present):
        states = first if options.chain and first is not None else None if start is None else start.states(k)
        phase = Phase(ctx, f"class {k}", i * steps, len(present) * steps, found)
        members = train.take(train.labels == k)

        def make(phase: Phase = phase, states: States | None = states, members: Images = members) -> dict[str, Any]:
            g, d = _trained(options, shape, states, members, phase, f"class-{phase.name.split()[-1]}")
            return {"g": g.state_dict(), "d": d.state_dict()}

        tree = kept(ctx.workdir / f"class-{k}", make)
        generators[k], discriminators[k] = build_pair(shape, (tree["g"], tree["d"]))
        first = first or (tree["g"], tree["d"])
    return generators, discriminators


def _trained(
    options: StyleOptions, shape: Shape, states: States | None, train: Images, ctx: Context, of: str = ""
) -> tuple[Generator, Discriminator]:
    """The averaged generator and the discriminator after training, on the CPU. ``of``: name of their grids."""
    seed_all(ctx.seed)
    g, d = build_pair(shape, states)
    trainer = Trainer(options, g, d, train, shape.c_dim, ctx)

    def draw(labels: Labels, quiet: Context) -> UInt8:
        # A copy: the model moves its networks, and the average must stay where it is trained.
        average: Any = copy.deepcopy(trainer.ema.module)
        model = StyleModel(shape, max(1, shape.c_dim), [average], [None], width=len(labels), noise=options.noise)
        return model.sample(labels, quiet, options.truncation)

    trainer.grids = SampleGrids(ctx, max(1, shape.c_dim), draw, of)
    averaged = trainer.run()
    return averaged.to("cpu"), d.to("cpu")


def build_pair(shape: Shape, states: States | None) -> tuple[Generator, Discriminator]:
    """Two networks of ``shape``, random ones or with the weights ``states``."""
    pair: tuple[nn.Module, nn.Module] = shape.generator(), shape.discriminator()
    for network, state in zip(pair, states or (None, None), strict=True):
        if state is not None:
            network.load_state_dict(state, strict=True)
    return pair  # type: ignore[return-value]
