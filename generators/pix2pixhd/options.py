"""Options of ``pix2pixhd``. No torch: the command line reads them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from bench.contracts import Options
from generators._diffusion.options import Augment, Share

Width = Annotated[int, Field(ge=4)]
REGIONS = 3  # skin, border ring, core of the lesion: each has a style of its own


class Pix2PixHDOptions(Options):
    """Networks, losses and maps. Defaults are the ``cpu`` preset for 32 px.

    steps, batch      steps (each one of the discriminators and one of the generator) and images a step
    lr, decay_from    Adam's rate (betas .5, .999), constant up to this share of the steps, then linear down to 0
    ema               decay of the averaged weights that are sampled from; 0 samples from the last ones, as the paper
    widths            global generator: channels at each resolution, halved from one to the next
    blocks            its residual blocks at the lowest resolution
    enhancer          a local enhancer around a global generator of half the resolution, see ``global_share``
    enhancer_blocks   its residual blocks
    global_share      with an enhancer: share of the steps that train the global generator alone, at half resolution
    critic_widths     channels of each discriminator: kernels of 4, all of stride 2 but the last
    scales            discriminators, each of half the resolution of the one before
    feature_matching  weight of the feature matching loss (the paper's lambda, eq. 5)
    perceptual        weight of LPIPS (VGG16) to the real image; above 0 it needs ``bench weights fetch lpips-vgg``
    styles            numbers by which the encoder describes the look of each region (skin, border, core); 0 for none.
                      With 3, as in the paper, classifiers learn less from the images
    label             whether the networks are told the class. Without it the class acts through what is drawn of it,
                      map and style, and no trace of the network itself marks it. On HAM10000 at 32 px classifiers read
                      the traces of a told network: AUC .64 on real images, instead of .80 with one class told for all
    ring              width of the border ring to each side of the outline, as a share of the image's side
    instances         "slic": superpixels (Achanta et al. 2012) of each training image as an instance map, of which the
                      networks see the boundaries; "none"
    superpixels, compactness  about how many an image; weight of nearness in the image against nearness in colour
    deform            strength of the random deformation of a map before it is painted; 0 leaves flips and turns
    maps              masks of training images kept for sampling, at most so many a class
    balanced, augment equal class prior in training batches; symmetries that image and map undergo together
    sampling_batch    rows of every network call in sampling; short batches are padded
    """

    steps: PositiveInt = 3000
    batch: PositiveInt = 8
    lr: PositiveFloat = 5e-4
    decay_from: float = Field(0.5, ge=0.0, le=1.0)
    ema: Share = 0.99
    widths: tuple[Width, ...] = Field((32, 64, 128), min_length=2)
    blocks: PositiveInt = 3
    enhancer: bool = False
    enhancer_blocks: PositiveInt = 3
    global_share: float = Field(0.5, ge=0.0, lt=1.0)
    critic_widths: tuple[Width, ...] = Field((32, 64, 128), min_length=2)
    scales: PositiveInt = 2
    feature_matching: NonNegativeFloat = 10.0
    perceptual: NonNegativeFloat = 0.0
    styles: int = Field(8, ge=0)
    label: bool = False
    ring: PositiveFloat = 0.04
    instances: Literal["none", "slic"] = "slic"
    superpixels: PositiveInt = 50
    compactness: PositiveFloat = 10.0
    deform: NonNegativeFloat = 0.5
    maps: PositiveInt = 2000
    balanced: bool = True
    augment: Augment = "dihedral"
    sampling_batch: PositiveInt = 64

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.enhancer and self.widths[0] % 2:
            raise ValueError("widths[0] must be even: the local enhancer works at half that width")
        return self

    @property
    def stride(self) -> int:
        """Factor by which the lowest resolution is smaller than the image."""
        return int(2 ** (len(self.widths) - 1 + self.enhancer))


def learning_rate_factor(step: int, steps: int, decay_from: float) -> float:
    """1 up to ``decay_from`` of the ``steps``, then linear to 0 just after the last; ``step`` counts from 0."""
    begin = decay_from * steps
    return 1.0 if step < begin else (steps - step) / (steps - begin)
