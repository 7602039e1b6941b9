"""States survive storage to the bit, and nothing stored is a pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.trees import load_plain, load_tree, save_tree


def test_optimiser_states_come_back_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(3):
        optimiser.zero_grad()
        net(torch.randn(4, 3)).square().sum().backward()
        optimiser.step()
    save_tree(tmp_path / "t", {"net": net.state_dict(), "optimiser": optimiser.state_dict()})
    loaded = load_tree(tmp_path / "t")
    twin = torch.nn.Linear(3, 2)
    twin.load_state_dict(loaded["net"])
    other = torch.optim.AdamW(twin.parameters(), lr=1.0)
    other.load_state_dict(loaded["optimiser"])
    x = torch.randn(4, 3)
    for n, o in ((net, optimiser), (twin, other)):
        o.zero_grad()
        n(x).square().sum().backward()
        o.step()
    assert torch.equal(net.weight, twin.weight)
    assert not list((tmp_path / "t").glob("*.p*k*l*"))


def test_all_kinds_of_leaves(tmp_path: Path) -> None:
    tree = {
        "a": [1, 2.5, "x", None, True],
        "b": (np.arange(3), {"c": np.float32(1.5)}),
        3: torch.arange(4, dtype=torch.uint8),
        "bf16": torch.ones(2, dtype=torch.bfloat16),
    }
    save_tree(tmp_path, tree)
    back = load_tree(tmp_path)
    assert back["a"] == tree["a"]
    assert isinstance(back["b"], tuple)
    assert np.array_equal(back["b"][0], np.arange(3))
    assert back["b"][1] == {"c": 1.5}
    assert torch.equal(back[3], tree[3])
    assert back["bf16"].dtype == torch.bfloat16


def test_an_object_that_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="set at /a/b"):
        save_tree(tmp_path, {"a": {"b": {1, 2}}})


def test_plain_branches_are_read_alone(tmp_path: Path) -> None:
    save_tree(tmp_path, {"shape": {"side": 16, "clamp": None}, "weights": [torch.ones(2)], 3: 1})
    (tmp_path / "tensors.safetensors").unlink()
    assert load_plain(tmp_path, "shape") == {"side": 16, "clamp": None}
    for absent in ("other", "weights"):
        with pytest.raises(KeyError):
            load_plain(tmp_path, absent)
