"""Nested states (dicts, lists, numbers, arrays, tensors) as safetensors + JSON: no pickle, equal to the bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TREE = "tree.json"
ARRAYS = "arrays.npz"
TENSORS = "tensors.safetensors"


def save_tree(folder: Path, tree: Any) -> None:
    """Write ``tree`` into ``folder`` (created if absent).

    Leaves: None, bool, int, float, str, numpy arrays and scalars, torch tensors. Nodes: mappings with str or int keys,
    lists and tuples. Raises TypeError that names the place of any other object.
    """
    arrays: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TREE).write_text(json.dumps(_encode(tree, "", arrays, tensors)))
    if arrays:
        np.savez(folder / ARRAYS, **arrays)
    if tensors:
        from safetensors.torch import save_file

        save_file({k: t.detach().to("cpu").contiguous().clone() for k, t in tensors.items()}, str(folder / TENSORS))


def load_tree(folder: Path) -> Any:
    """What :func:`save_tree` wrote; tensors come back on the CPU."""
    encoded = json.loads((folder / TREE).read_text())
    arrays: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    if (folder / ARRAYS).exists():
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    if (folder / TENSORS).exists():
        from safetensors.torch import load_file

        tensors = load_file(str(folder / TENSORS))
    return _decode(encoded, arrays, tensors)


def load_plain(folder: Path, name: str) -> Any:
    """The branch ``name`` at the root of what :func:`save_tree` wrote, without torch and without reading arrays.

    Raises KeyError where there is no such branch, or an array or tensor in it.
    """
    branches = json.loads((folder / TREE).read_text())["d"]
    return _decode({key: node for key, node in branches if isinstance(key, str)}[name], {}, {})


def _encode(node: Any, path: str, arrays: dict[str, Any], tensors: dict[str, Any]) -> Any:
    if node is None or isinstance(node, (bool, int, float, str)):
        return {"v": node}
    if isinstance(node, np.generic):
        return {"v": node.item()}
    if isinstance(node, np.ndarray):
        arrays[path or "root"] = node
        return {"a": path or "root"}
    if isinstance(node, Mapping):
        items = [
            [{"i": k} if isinstance(k, int) else k, _encode(v, f"{path}/{k}", arrays, tensors)] for k, v in node.items()
        ]
        return {"d": items}
    if isinstance(node, (list, tuple)):
        parts = [_encode(v, f"{path}/{i}", arrays, tensors) for i, v in enumerate(node)]
        return {"t" if isinstance(node, tuple) else "l": parts}
    if type(node).__module__.startswith("torch") and hasattr(node, "detach"):
        tensors[path or "root"] = node
        return {"x": path or "root"}
    raise TypeError(
        f"cannot store {type(node).__name__} at {path or 'the root'}: use numbers, strings, arrays or tensors"
    )


def _decode(node: Any, arrays: dict[str, Any], tensors: dict[str, Any]) -> Any:
    kind, value = next(iter(node.items()))
    if kind == "v":
        return value
    if kind == "a":
        return arrays[value]
    if kind == "x":
        return tensors[value]
    if kind == "d":
        return {k["i"] if isinstance(k, dict) else k: _decode(v, arrays, tensors) for k, v in value}
    parts = [_decode(v, arrays, tensors) for v in value]
    return tuple(parts) if kind == "t" else parts
