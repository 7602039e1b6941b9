"""``stylegan2_ada``: StyleGAN2 with adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Context, Cost, Images, Labels
from bench.errors import DataError
from bench.pixels import UInt8
from generators._fitted import FittedGenerator
from generators.stylegan2_ada.options import StyleOptions

if TYPE_CHECKING:
    from generators.stylegan2_ada.model import StyleModel

PAPER = {
    "z_dim": 512,
    "w_dim": 512,
    "channel_base": 16384,
    "channel_max": 512,
    "conv_clamp": 256.0,
    "lr": 0.0025,
    "gamma": None,
    "pl_every": 4,
    "style_mixing": 0.9,
    "ema_kimg": None,
    "ada_kimg": 500.0,
    "symmetry": "flips",
    "invert_steps": 1000,
}


class StyleGAN2ADA(FittedGenerator["StyleModel"]):
    """Style-based GAN, conditional or one network a class, from nothing or fine-tuned; latent spaces Z and W."""

    version: ClassVar[str] = "2"
    Config = StyleOptions
    config: StyleOptions
    trains_together: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "smoke": {
            "kimg": 0.32,
            "batch": 8,
            "z_dim": 32,
            "w_dim": 32,
            "channel_base": 256,
            "channel_max": 32,
            "pl_every": 4,
            "ada_kimg": 1.0,
            "ema_kimg": 0.05,
            "sampling_batch": 16,
        },
        "cpu": {},
        "gpu": {**PAPER, "kimg": 3000.0, "batch": 64, "channel_base": 8192, "channel_max": 256, "sampling_batch": 128},
        "paper": {**PAPER, "kimg": 20_000.0, "batch": 16, "sampling_batch": 32},
    }

    @property
    def latent_size(self) -> int:
        """Numbers in a latent z: those of the fitted network, which may be imported."""
        return self.config.z_dim if self._model is None else self._model.shape.z_dim

    @classmethod
    def inputs(cls, config: StyleOptions) -> Mapping[str, Any]:
        """Checksum of the weights that training starts from, for the stage's key."""
        if config.init_from is None:
            return {}
        file = Path(config.init_from).expanduser() / "tensors.safetensors"
        if not file.is_file():
            raise DataError(
                f"init_from {config.init_from}: no {file.name} in it; name the folder of a fitted generator"
            )
        with file.open("rb") as stream:
            return {"init_from": hashlib.file_digest(stream, "sha256").hexdigest()}

    def fit(self, train: Images, ctx: Context) -> None:
        """Train on ``train``; resumes from the context's checkpoint. Raises DataError for sides but 8, 16, 32 ..."""
        from generators.stylegan2_ada.fitting import fit_model

        self._model = fit_model(self.config, train, ctx)

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, R, R, 3], truncated as the options say."""
        return self.model.sample(labels, ctx, self.config.truncation)

    def map_styles(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """w float32 [M, w_dim] of ``z`` [M, latent_size], not truncated."""
        return self.model.map(z, labels, ctx)

    def render_styles(self, w: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """Images float32 [M, R, R, 3] in 0..255, neither rounded nor clipped, of ``w`` [M, w_dim] or [M, L, w_dim]."""
        return self.model.render(w, labels, ctx)

    def render_latents(self, z: NDArray[np.float32], labels: Labels, ctx: Context) -> NDArray[np.float32]:
        """Images as :meth:`render_styles` gives them, of ``z`` [M, latent_size]."""
        return self.render_styles(self.map_styles(z, labels, ctx), labels, ctx)

    def invert(self, images: Images, ctx: Context) -> NDArray[np.float32]:
        """w float32 [N, L, w_dim] whose images are near ``images``, by gradient descent from the mean w."""
        from generators.stylegan2_ada.projection import invert, lpips_of

        weight = self.config.invert_lpips
        return invert(self.model, images, self.config, ctx, lpips_of(weight, ctx.device) if weight else None)

    def render(self, latents: NDArray[np.float32], labels: Labels, ctx: Context) -> UInt8:
        """Images uint8 [N, R, R, 3] of ``latents`` [N, L, w_dim]."""
        from generators.stylegan2_ada.model import to_uint8

        return to_uint8(self.render_styles(latents, labels, ctx))

    def short_fit(self, steps: int, batch: int) -> Mapping[str, Any]:
        """Options of ``steps`` steps on ``batch`` images for each network."""
        return {"kimg": steps * batch / 1000, "batch": batch}

    def cost(self, n: int, size: int) -> Cost:
        """Cost of ``fit`` on images of ``size`` x ``size`` pixels, whatever their number; two classes if one each.

        With ``init_from`` of the networks there; raises ConfigError where there are none.
        """
        from generators.stylegan2_ada.cost import training_cost
        from generators.stylegan2_ada.shape import settled_sizes

        options = self.config.at(size)
        if options.init_from is not None:
            options = options.model_copy(update=settled_sizes(options.init_from))
        return training_cost(options, size, 2 if options.per_class else 1)

    def _rebuild(self, state: dict[str, Any]) -> StyleModel:
        """From what ``save`` or ``bench import stylegan2`` wrote; sizes are read there, not in the options."""
        from generators.stylegan2_ada.model import StyleModel

        return StyleModel.from_state(state, width=self.config.sampling_batch, noise=self.config.noise)
