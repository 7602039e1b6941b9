"""The key scheme is frozen: a change of any of these values orphans every stored result."""

from __future__ import annotations

import pytest

from bench.keys import canonical, digest, stage_key, stage_seed


def test_golden_key_scheme() -> None:
    key = stage_key("fit", "pkg.mod:Class@1", {"lr": 0.001, "steps": 10}, {"train": "ab" * 32}, 7)
    assert key == "3c9e9849780b4c1b16126021b8d201ddf23ee40e746f704e1d4f3a4bf561c92d"
    assert stage_seed(0, "generator") == 1649956309
    assert stage_seed(1, "generator") == 853037438


def test_canonical_ignores_the_order_of_fields_and_refuses_nan() -> None:
    assert canonical({"b": 1, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


@pytest.mark.parametrize(
    "change",
    [{"stage": "train"}, {"plugin": "pkg.mod:Class@2"}, {"config": {"lr": 0.002}}, {"inputs": ["y"]}, {"seed": 8}],
)
def test_every_ingredient_changes_the_key(change: dict) -> None:
    base = {"stage": "fit", "plugin": "pkg.mod:Class@1", "config": {"lr": 0.001}, "inputs": ["x"], "seed": 7}
    assert stage_key(**base) != stage_key(**{**base, **change})


def test_seeds_of_stages_are_unrelated_and_in_range() -> None:
    seeds = {stage_seed(run, path) for run in range(50) for path in ("a", "b", "a/b")}
    assert len(seeds) == 150
    assert all(0 <= s < 2**31 for s in seeds)


def test_digest_is_sha256_of_canonical_json() -> None:
    import hashlib

    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
