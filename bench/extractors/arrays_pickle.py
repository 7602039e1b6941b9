"""Arrays out of a pickle of nested dicts, without the power of pickle to call what it likes."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import ConfigError

HEADS = (b"\x80\x03}", b"\x80\x04\x95", b"\x80\x02}")  # a dict at once; torch's own files begin with a number
_RECONSTRUCT = np.zeros(1).__reduce__()[0]
ALLOWED = {
    **{(module, "_reconstruct"): _RECONSTRUCT for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """Finds the three names that an array is pickled with, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants {module}.{name}, which is no array") from None


def is_arrays_pickle(path: Path) -> bool:
    """Whether the file begins as a pickled dict does."""
    with path.open("rb") as file:
        return file.read(3) in HEADS


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of nested dicts by their dotted names, e.g. "Net_0.Conv_0.kernel".

    Raises :class:`ConfigError` that names the file where it holds anything but dicts, strings and numeric arrays.
    """
    try:
        found = _ArraysOnly(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # damaged pickles raise many kinds
        raise ConfigError(f"{path}: no pickle of plain arrays: {error}") from error
    return dict(_flat(found, "", path))


def _flat(found: Any, prefix: str, path: Path) -> list[tuple[str, NDArray[Any]]]:
    if isinstance(found, Mapping):
        return [item for key, value in found.items() for item in _flat(value, f"{prefix}.{key}".lstrip("."), path)]
    if isinstance(found, np.ndarray) and found.dtype.kind in "fiu":
        return [(prefix, found)]
    raise ConfigError(f"{path}: {prefix or 'it'} is {type(found).__name__}, no numeric array")
