"""Tensors out of weight files without running anything that a file could bring along."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.extractors.arrays_pickle import is_arrays_pickle, read_arrays

State = dict[str, Tensor]
WRAPPERS = ("state_dict", "model", "model_state_dict")


def read_state(path: Path) -> State:
    """Named tensors of a safetensors file, a torch file of nothing but tensors, a TorchScript archive, or a pickle of
    nested dicts of numpy arrays (by dotted names).

    A pickle that holds anything but tensors or arrays is refused; of TorchScript only parameters and buffers are
    taken, its methods are not called. Raises :class:`ConfigError` that names the file.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such weight file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        if is_arrays_pickle(path):
            return {name: torch.from_numpy(np.array(values)) for name, values in read_arrays(path).items()}
        if _is_torchscript(path):
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())  # type: ignore[no-untyped-call]
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the three readers raise many kinds for a file that is not what it should be
        raise ConfigError(f"{path}: no file of tensors: {str(error).splitlines()[0]}") from error
    return _tensors(found, path)


def write_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; equal tensors under equal names give equal bytes."""
    from safetensors.torch import save_file

    save_file({name: state[name].detach().contiguous().clone() for name in sorted(state)}, str(path))


def load_into(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load ``state`` into ``network``, every tensor of it; raises :class:`ConfigError` that names the first misfit.

    Counters of batch norm layers (``num_batches_tracked``) play no part in evaluation and may be missing.
    """
    own = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    missing = [k for k in own if k not in state]
    surplus = [k for k in state if k not in own and not k.endswith("num_batches_tracked")]
    wrong = [k for k in own if k in state and state[k].shape != own[k].shape]
    for names, what in ((missing, "lacks"), (surplus, "holds, but the network lacks,"), (wrong, "misshapes")):
        if names:
            raise ConfigError(f"{origin}: not of this network: it {what} {len(names)} tensors, e.g. {names[0]}")
    network.load_state_dict({k: state[k].to(own[k].dtype) for k in own}, strict=False)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _tensors(found: object, path: Path) -> State:
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise ConfigError(f"{path}: holds no named tensors")
    return {k.removeprefix("module."): v for k, v in tensors.items()}
