"""What the trained networks share: options, bookkeeping, save and load. Imports torch only when something runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bench.contracts import ClassifierBase, Context, Images, Options, Probabilities
from bench.errors import DataError, StageError
from bench.pixels import PixelArray

if TYPE_CHECKING:
    from classifiers._training import Network


class TrainOptions(Options):
    """How a network is trained; equal for all arms of a comparison, so that only the images differ.

    steps          optimiser steps, whatever the number of images: arms with more images get no more training
    batch          images a step
    learning_rate  peak of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); linear warm-up, then half a cosine to 0
    warmup         share of the steps in which the rate rises
    weight_decay   decoupled; not applied to biases and normalisation parameters
    balanced       draw every class equally often (oversampling the rare ones) instead of every image
    label_smoothing  share of probability spread over all classes in the loss
    ema_decay      of the averaged weights that are evaluated and kept; 0 keeps the raw weights
    flips          random flips and quarter turns: the 8 symmetries of a square (4 of a rectangle)
    colour_jitter  greatest relative change of brightness, contrast and each channel's gain; 0 is none
    affine         random rotation by any angle, zoom by up to 15 % and shift by up to 5 % of the side
    select         which weights are kept: those with the best AUC or loss on val among ``evaluations``, or the last
    evaluations    how often val is scored, evenly spaced, the last one after the last step
    select_after   share of the steps before which val is not asked: while the rate is high, weights that look best on
                   a small val do so by chance
    """

    steps: int = Field(450, ge=1)
    batch: int = Field(64, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    warmup: float = Field(0.05, ge=0, le=1)
    weight_decay: float = Field(0.05, ge=0)
    balanced: bool = True
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ema_decay: float = Field(0.98, ge=0, lt=1)
    flips: bool = True
    colour_jitter: float = Field(0.0, ge=0, le=0.5)
    affine: bool = False
    select: Literal["auc", "loss", "last"] = "auc"
    evaluations: int = Field(3, ge=1)
    select_after: float = Field(0.75, ge=0, lt=1)


class NetworkClassifier(ClassifierBase):
    """A classifier made of one torch network; subclasses say which (``build``) and how it starts (``initialise``).

    After ``fit``: ``notes`` (what was noticed, in words), ``selected_step`` and ``selection_score`` (None where ``val``
    could not decide), ``class_names``, ``image_size`` (H, W).
    """

    config: TrainOptions
    block: ClassVar[int] = 256

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._network: Network | None = None

    def build(self, num_classes: int, size: tuple[int, int]) -> Network:
        """The untrained network for images of ``size`` (H, W)."""
        raise NotImplementedError

    @property
    def mixed(self) -> bool:
        """Whether training follows the context's precision; if not, it is in float32."""
        return True

    def initialise(self, network: Network) -> list[str]:
        """Start ``network`` from stored weights where the options say so; returns notes for the record."""
        return []

    def fit(self, train: Images, val: Images, ctx: Context) -> None:
        """Train for ``config.steps`` steps on ``train``; ``val`` chooses the weights that are kept.

        Classes without a training image are allowed (a generator may drop one): they keep their column, and ``notes``
        says so. Raises :class:`DataError` if ``train`` is empty or ``val`` has images of another size.
        """
        from bench.loop import seed_all
        from classifiers._training import fit_network

        _check_images(train, val)
        seed_all(ctx.seed)
        self.class_names, self.image_size = list(train.class_names), list(train.size)
        network = self.build(train.num_classes, train.size)
        self.notes = self.initialise(network) + _missing_classes(train, val)
        chosen = fit_network(network, train, val, ctx, self.config, self.block, self.mixed)
        self.weights, self.selected_step = chosen.weights, chosen.step
        self.selection_score = chosen.score
        self.notes += chosen.notes
        self._network = None

    def predict(self, pixels: PixelArray, ctx: Context) -> Probabilities:
        """Probabilities float32 [N, K] of uint8 [N, H, W, 3], computed in float32 whatever ``ctx.precision``.

        Images are taken in blocks of a fixed size, so a row does not depend on how many others come with it.
        Raises :class:`StageError` before ``fit``, :class:`DataError` for images of another size.
        """
        from classifiers._training import probabilities

        return probabilities(self._ready(pixels, ctx), pixels, ctx.device, self.block, len(self.class_names))

    def embed(self, pixels: PixelArray, ctx: Context) -> NDArray[np.float32]:
        """Penultimate features float32 [N, D] of uint8 [N, H, W, 3]; raises as :meth:`predict`."""
        from classifiers._training import features

        return features(self._ready(pixels, ctx), pixels, ctx.device, self.block)

    def logits(self, x: Any, ctx: Context) -> Any:
        """Scores before the softmax, tensor [B, K], of a float tensor [B, 3, H, W] in 0..1, differentiable in ``x``.

        The network itself gets no gradient. Raises as :meth:`predict`.
        """
        return self._ready(x.permute(0, 2, 3, 1), ctx).requires_grad_(False)(x)

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and the rest (JSON) into ``folder``."""
        from bench.trees import save_tree

        save_tree(folder, {k: v for k, v in vars(self).items() if k != "config" and not k.startswith("_")})

    def _ready(self, pixels: PixelArray, ctx: Context) -> Network:
        if not hasattr(self, "weights"):
            raise StageError(f"{type(self).__name__} has no weights yet: call fit or load first")
        if tuple(pixels.shape[1:]) != (*self.image_size, 3):
            raise DataError(
                f"{type(self).__name__} was trained on {self.image_size[0]}x{self.image_size[1]} pixels, "
                f"got an array of shape {tuple(pixels.shape)}; prepare the images at the same resolution"
            )
        if self._network is None:
            network = self.build(len(self.class_names), (self.image_size[0], self.image_size[1]))
            network.load_state_dict(self.weights)
            self._network = network
        return self._network.to(ctx.device).eval()


def _check_images(train: Images, val: Images) -> None:
    if not len(train):
        raise DataError("there is no training image: check the split, or what the generator returned")
    if len(val) and val.size != train.size:
        raise DataError(f"training images have {train.size} pixels, validation images {val.size}: prepare both alike")
    if val.class_names != train.class_names:
        raise DataError(f"classes differ: train has {train.class_names}, val has {val.class_names}")


def _missing_classes(train: Images, val: Images) -> list[str]:
    notes = []
    for split, images in (("train", train), ("val", val)):
        absent = [name for name, n in zip(images.class_names, images.counts(), strict=True) if n == 0]
        if absent and len(images):
            notes.append(f"no {split} image of {', '.join(absent)}")
    return notes
