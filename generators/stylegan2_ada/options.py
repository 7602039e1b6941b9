"""Options of the generator ``stylegan2_ada``. No torch: the command line reads them."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from bench.contracts import Options
from generators.stylegan2_ada.auto import LARGEST_GROUP, auto_ema_kimg, auto_gamma, auto_settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Group = Literal["blit", "geometric", "colour"]


class StyleOptions(Options):
    """Networks, losses, augmentation, training and sampling; by default the ``cpu`` preset for 32 px.

    What may be None is then the authors' automatic choice (see :func:`generators.stylegan2_ada.auto.auto_settings`) by
    the resolution of the images and the number of GPUs; a choice that depends on the batch takes the one given.

    kimg              thousands of real images shown, repeats counted; 0 (with ``init_from``) trains nothing
    batch             images a step; may be None
    gpus              among which a batch is shared: for the automatic choices alone
    z_dim, w_dim, mapping_layers  sizes of the latent spaces and the network between them
    channel_base, channel_max  feature maps at resolution r: min(channel_base / r, channel_max); the base may be None
    conv_clamp        bound of the values after each layer; None for none
    mbstd_group       images whose standard deviation the discriminator sees together; may be None
    lr                learning rate of both networks (Adam, beta 0 and .99); may be None
    gamma             weight of R1; None: 0.0002 R^2 / batch
    r1_every, pl_every  steps between lazy regularisations of discriminator and generator; 0 for none
    pl_weight         weight of path length regularisation
    style_mixing      share of training images with two styles
    ema_kimg          half-life of the averaged weights that are sampled from; None: 10/32 batch
    ema_rampup        bound of that half-life as a share of the images seen; None for none
    augment           groups of adaptive augmentation; leave "colour" out, or all
    ada_target        E[sign(D(real))] that the probability of augmentations is moved towards; None: it stays ``ada_p``
    ada_kimg          thousands of images in which that probability could go from 0 to 1; ``ada_every`` steps a move
    ada_p             the probability at the start
    symmetry          flips and quarter turns of training images, which samples may then show too
    balanced          equal class prior in training batches, whatever the class frequencies
    per_class         one unconditional network a class, each trained for ``kimg``
    chain             with ``per_class``: later classes start from the network of the first (benGAN, then melGAN)
    init_from         folder of a saved ``stylegan2_ada`` to go on from; its networks' sizes replace those given here
    truncation        psi: 1 draws from the whole distribution, less from nearer its mean
    noise             noise inputs in sampling: fresh for each image as in training, the stored maps, or none; what is
                      a function of its latents (styles, inversion) has the stored maps in place of fresh noise
    sampling_batch    images at a time in sampling, which changes no image
    invert_space      latents of given images: one w a layer ("w+"), or one in all ("w"), nearer to what is drawn
    invert_steps, invert_lr  optimiser steps and rate of finding them
    invert_lpips      weight of LPIPS beside the squared error of pixels; it needs its weights (`bench weights`)
    """

    kimg: NonNegativeFloat = 90.0
    batch: PositiveInt | None = 32
    gpus: PositiveInt = 1
    z_dim: PositiveInt = 64
    w_dim: PositiveInt = 64
    mapping_layers: PositiveInt = 2
    channel_base: PositiveInt | None = 512
    channel_max: PositiveInt = 64
    conv_clamp: PositiveFloat | None = None
    mbstd_group: PositiveInt | None = 4
    lr: PositiveFloat | None = 0.003
    gamma: NonNegativeFloat | None = 0.002
    r1_every: NonNegativeInt = 16
    pl_every: NonNegativeInt = 0
    pl_weight: NonNegativeFloat = 2.0
    style_mixing: Share = 0.0
    ema_kimg: NonNegativeFloat | None = 5.0
    ema_rampup: PositiveFloat | None = 0.05
    augment: tuple[Group, ...] = ("blit", "geometric", "colour")
    ada_target: float | None = Field(0.6, ge=-1.0, le=1.0)
    ada_kimg: PositiveFloat = 100.0
    ada_every: PositiveInt = 4
    ada_p: Share = 0.0
    symmetry: Literal["dihedral", "flips", "none"] = "dihedral"
    balanced: bool = True
    per_class: bool = False
    chain: bool = False
    init_from: str | None = None
    truncation: Share = 1.0
    noise: Literal["random", "const", "none"] = "random"
    sampling_batch: PositiveInt = 64
    invert_space: Literal["w+", "w"] = "w+"
    invert_steps: PositiveInt = 300
    invert_lr: PositiveFloat = 0.05
    invert_lpips: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.chain and not self.per_class:
            raise ValueError("chain needs per_class: it starts the networks of later classes from that of the first")
        if self.kimg == 0 and self.init_from is None:
            raise ValueError("kimg 0 trains nothing: give init_from, the folder of a fitted generator")
        if self.channel_base is not None and self.channel_base < min(self.channel_max, 64):
            raise ValueError(f"channel_base {self.channel_base} leaves no feature map: it is divided by the resolution")
        return self

    @property
    def steps(self) -> int:
        """Optimiser steps of each network, without the lazy regularisations. The batch must be settled (:meth:`at`)."""
        assert self.batch is not None, "settle the options first: options.at(resolution)"
        return math.ceil(self.kimg * 1000 / self.batch)

    def at(self, resolution: int) -> Self:
        """These options for images of ``resolution`` pixels: every None that stands for an automatic choice settled."""
        auto = auto_settings(resolution, self.gpus)
        batch = self.batch or auto.batch
        choices = {
            "batch": auto.batch,
            "mbstd_group": max(1, min(batch // self.gpus, LARGEST_GROUP)),
            "channel_base": auto.channel_base,
            "lr": auto.lr,
            "gamma": auto_gamma(resolution, batch),
            "ema_kimg": auto_ema_kimg(batch),
        }
        return self.model_copy(update={name: v for name, v in choices.items() if getattr(self, name) is None})
