"""What the two generators share as plugins. No torch at import: the command line loads their classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bench.contracts import Context, GeneratorBase, Images, Labels
from bench.errors import StageError
from bench.pixels import UInt8
from generators._diffusion.options import DiffusionOptions

if TYPE_CHECKING:
    from generators._diffusion.model import DiffusionModel


class DiffusionGenerator(GeneratorBase):
    """Sampling, variation and storage of a fitted :class:`DiffusionModel`; subclasses fit and rebuild it."""

    Config: ClassVar[type[DiffusionOptions]] = DiffusionOptions

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._model: DiffusionModel | None = None

    @property
    def model(self) -> DiffusionModel:
        """The fitted model; raises StageError before ``fit`` or ``load``."""
        if self._model is None:
            raise StageError(f"{type(self).__name__} is not fitted yet: call fit or load first")
        return self._model

    def sample(self, labels: Labels, ctx: Context, hints: Images | None = None) -> UInt8:
        """One image for each of ``labels`` int64 [M], uint8 [M, H, W, 3]; ``hints`` are not used (see ``vary``)."""
        return self.model.sample(labels, ctx)

    def vary(self, images: Images, ctx: Context, strength: float) -> UInt8:
        """One variation a given image by SDEdit, uint8 [N, H, W, 3]; ``strength`` in (0, 1]."""
        return self.model.vary(images, ctx, strength)

    def save(self, folder: Path) -> None:
        """Store weights and statistics as safetensors and JSON."""
        from bench.trees import save_tree

        save_tree(folder, self.model.state())

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """Rebuild from what ``save`` wrote with the same options."""
        from bench.trees import load_tree

        self = cls(config)
        self._model = self._rebuild(load_tree(folder))
        return self

    def _rebuild(self, state: dict[str, Any]) -> DiffusionModel:
        raise NotImplementedError
