"""Storage of generators that are one fitted model. No torch at import: the command line loads their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from bench.contracts import GeneratorBase
from bench.errors import StageError


class Stored(Protocol):
    """A model that can be written down."""

    def state(self) -> dict[str, Any]:
        """Tree of tensors, arrays and plain values from which the plugin rebuilds it."""
        ...


Model = TypeVar("Model", bound=Stored)


class FittedGenerator(GeneratorBase, Generic[Model]):
    """A generator whose ``fit`` sets ``_model``; subclasses rebuild that from what its ``state`` gave."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The fitted model; raises StageError before ``fit`` or ``load``."""
        if self._model is None:
            raise StageError(f"{type(self).__name__} is not fitted yet: call fit or load first")
        return self._model

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

    def _rebuild(self, state: dict[str, Any]) -> Model:
        raise NotImplementedError
