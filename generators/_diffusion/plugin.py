"""What the two generators share as plugins. No torch at import: the command line loads their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.capabilities import Score
from bench.contracts import Context, Images, Labels
from bench.pixels import UInt8
from generators._diffusion.ability_options import AbilityOptions
from generators._diffusion.options import DiffusionOptions
from generators._fitted import FittedGenerator

if TYPE_CHECKING:
    from generators._diffusion.model import DiffusionModel


class DiffusionGenerator(FittedGenerator["DiffusionModel"]):
    """All that a fitted :class:`DiffusionModel` can do, and its storage; subclasses fit and rebuild it."""

    Config: ClassVar[type[DiffusionOptions]] = DiffusionOptions
    _model: DiffusionModel | None
    sampling_options: ClassVar[frozenset[str]] = frozenset(
        {"guidance", "guidance_interval", "sampler", "sampling_steps", "sampling_levels", "sampling_batch"}
        | AbilityOptions.model_fields.keys()
    )

    @classmethod
    def inputs(cls, config: Any) -> Mapping[str, Any]:
        """What decides a pretrained UNet; raises ConfigError where it cannot be found."""
        from generators._pretrained.place import fingerprint

        if config.unet is None:
            return {}
        return {"unet": fingerprint(config.unet, config.unet_revision, config.unet_download)}

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3]; ``hints`` are not used (see ``vary``)."""
        return self.model.sample(labels, ctx)

    def vary(self, images: Images, ctx: Context, strength: float) -> UInt8:
        """One variation a given image by SDEdit, uint8 [N, H, W, 3]; ``strength`` in (0, 1]."""
        return self.model.vary(images, ctx, strength)

    def guide(self, labels: Labels, ctx: Context, score: Score, scale: float) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3], drawn toward higher ``score``.

        ``scale`` 0 gives what ``sample`` gives. See :func:`generators._diffusion.guiding.steered`.
        """
        from generators._diffusion.guiding import guide

        return guide(self.model, labels, ctx, score, scale)

    def finetune(self, images: Images, replay: Images, ctx: Context) -> None:
        """Go on learning from ``images``, beside those of ``replay``, as the options ``finetune_*`` say."""
        from generators._diffusion.finetuning import finetune

        finetune(self.model, images, replay, ctx)

    def learn_token(self, images: Images, ctx: Context) -> None:
        """Learn the class embeddings of the labels among ``images`` anew, with all else frozen."""
        from generators._diffusion.finetuning import learn_token

        learn_token(self.model, images, ctx)

    def invert(self, images: Images, ctx: Context) -> NDArray[np.float32]:
        """Latents float32 [N, C, h, w] of ``images`` by DDIM inversion."""
        from generators._diffusion.inverting import invert

        return invert(self.model, images, ctx)

    def render(self, latents: NDArray[np.float32], labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [N, H, W, 3] of latents [N, C, h, w], back along the way of ``invert``."""
        from generators._diffusion.inverting import render

        return render(self.model, latents, labels, ctx)

    def losses(self, images: Images, ctx: Context) -> NDArray[np.float64]:
        """Denoising loss float64 [N] of each image, over noise and times that are the same for all."""
        from generators._diffusion.losses import losses

        return losses(self.model, images, ctx)

    @property
    def latent_size(self) -> int:
        """Numbers of the noise that ``render_latents`` makes an image of; 0 before ``fit`` or ``load``."""
        if self._model is None:
            return 0
        from generators._diffusion.inverting import latent_size

        return latent_size(self._model)

    def render_latents(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """Images float32 [M, H, W, 3] in 0..255, neither rounded nor clipped, of starting noise [M, latent_size]."""
        from generators._diffusion.inverting import render_latents

        return render_latents(self.model, z, labels, ctx)
