"""What a plugin may be able to do beyond its contract: small protocols that are asked for with ``isinstance``.

A generator says nothing about what it lacks: it has the method or not. Strategies and metrics name what they need.
Nothing here imports torch; tensors are annotated ``Any``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.pixels import UInt8

if TYPE_CHECKING:
    from bench.contracts import Context, Cost, Images, Labels

Score = Callable[[Any, Any], Any]
"""(x, y) -> score tensor [B], differentiable in x: float [B, 3, H, W] in 0..1, y int64 [B] the labels asked for."""


@runtime_checkable
class CanVary(Protocol):
    """Image-to-image: new images near given ones (SDEdit; Meng et al. 2022, arXiv:2108.01073)."""

    def vary(self, images: Images, ctx: Context, strength: float) -> UInt8:
        """One variation a given image, uint8 [N, H, W, 3]; ``strength`` in (0, 1] is the share of noise time."""


@runtime_checkable
class CanReconstruct(Protocol):
    """A generator with an autoencoder, whose reconstructions bound what its samples can look like."""

    def reconstruct(self, images: Images, ctx: Context) -> UInt8:
        """``images`` through encoder and decoder alone, uint8 [N, H, W, 3]."""


@runtime_checkable
class CanMapLatents(Protocol):
    """A generator whose images are a function of a latent vector z ~ N(0, I): what path length is measured on."""

    latent_size: int

    def render_latents(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """Images float32 [M, H, W, 3] in 0..255, not rounded and not clipped, of z [M, latent_size].

        ``ctx.seed`` fixes every other noise, the same for all rows, so that near latents give near images.
        """


@runtime_checkable
class CanMapStyles(CanMapLatents, Protocol):
    """A generator with an intermediate latent space W (Karras et al. 2019, arXiv:1812.04948)."""

    def map_styles(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """W latents float32 [M, ...] of z [M, latent_size], without truncation."""

    def render_styles(self, w: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """Images of w [M, ...], as :meth:`CanMapLatents.render_latents` gives them."""


@runtime_checkable
class HasLoss(Protocol):
    """A generator with a training loss per image, which may tell the images it was trained on from others."""

    def losses(self, images: Images, ctx: Context) -> NDArray[np.float64]:
        """Loss float64 [N] of each image over noise that ``ctx.seed`` fixes, the same for every image."""


@runtime_checkable
class NeedsHeldOut(Protocol):
    """A control generator that is told real images outside train (the ``oracle``); never ranked as an entrant."""

    def fit_held_out(self, train: Images, held_out: Images, ctx: Context) -> None:
        """Learn from ``train`` and from the oracle half of the reserve (or fresh draws of a simulated data set)."""


@runtime_checkable
class CanEstimate(Protocol):
    """Says what it will cost before it runs."""

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on ``n`` images of ``size`` x ``size`` pixels."""


@runtime_checkable
class CanAbridge(Protocol):
    """A generator whose training takes more than its options ``steps`` and ``batch`` to shorten, so as to time it.

    One that draws images by another option than ``sampling_batch`` at a time names it in ``drawing_option``.
    """

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        """Options of a fit whose last ``steps`` logged steps are those most of training consists of.

        Each of them shows ``batch`` images. Phases before them are as short as can be. Empty where nothing is trained.
        """


@runtime_checkable
class CanGuide(Protocol):
    """Sampling that a differentiable score steers (classifier guidance; Dhariwal & Nichol 2021, arXiv:2105.05233)."""

    def guide(self, labels: Labels, ctx: Context, score: Score, scale: float) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3], drawn toward higher ``score``.

        ``scale`` >= 0 is the factor of the score's gradient; 0 gives what ``sample`` gives for the same seed.
        """


@runtime_checkable
class CanFinetune(Protocol):
    """A fitted generator that can go on learning from chosen images."""

    def finetune(self, images: Images, replay: Images, ctx: Context) -> None:
        """Learn from ``images``, with images of ``replay`` beside them against forgetting; changes the generator.

        The options say how: steps, share of replay (at least half is wise), all weights or low-rank updates
        (LoRA; Hu et al. 2022, arXiv:2106.09685).
        """


@runtime_checkable
class CanLearnToken(Protocol):
    """A class-conditional generator that can learn new class embeddings with all else frozen.

    Textual inversion (Gal et al. 2023, arXiv:2208.01618), on class embeddings.
    """

    def learn_token(self, images: Images, ctx: Context) -> None:
        """One new embedding for each label among ``images``, begun at that label's; afterwards ``sample`` uses them."""


@runtime_checkable
class CanInvert(Protocol):
    """Finds the latent of a given image, and the image of a latent (DDIM inversion, GAN projection)."""

    def invert(self, images: Images, ctx: Context) -> NDArray[np.float32]:
        """Latents float32 [N, ...] of ``images``."""

    def render(self, latents: NDArray[np.float32], labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [N, H, W, 3] of ``latents`` [N, ...]; ``render(invert(x))`` is near x."""


@runtime_checkable
class NeedsMasks(Protocol):
    """A generator of images from semantic maps: ``fit`` needs images with masks, ``sample`` draws masks itself."""

    def paint(self, masks: UInt8, labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [M, H, W, 3] with the regions of ``masks`` uint8 [M, H, W, C], channel 0 the lesion."""


@runtime_checkable
class CanDifferentiate(Protocol):
    """A classifier whose scores have a gradient with respect to the image."""

    def logits(self, x: Any, ctx: Context) -> Any:
        """Log-probabilities up to a constant, tensor [B, K], of a float tensor [B, 3, H, W] in 0..1."""


@runtime_checkable
class HasInputs(Protocol):
    """A plugin whose ``fit`` reads more than its training images: files that an option names."""

    @classmethod
    def inputs(cls, config: Any) -> Mapping[str, Any]:
        """JSON values that change whenever what ``fit`` would read changes; they become part of the stage's key.

        Called often (also to plan a run): read no more than is needed, and import no torch. Raises
        :class:`bench.errors.DataError` if there is nothing to read.
        """
