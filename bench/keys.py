"""The content key of a stage: equal keys mean equal results, so nothing is computed twice.

In the key: scheme, stage, ``module:Class@version``, effective config, keys of the inputs, seed. Not in the key:
device, worker count, inference batch size; they are recorded instead. A golden test freezes the scheme.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

SCHEME = 1


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def stage_key(
    stage: str, plugin: str, config: Mapping[str, Any], inputs: Sequence[str] | Mapping[str, Any], seed: int | None
) -> str:
    """Key (64 hex digits) of a stage: ``plugin`` is ``module:Class@version``, ``inputs`` are keys or plain values."""
    return digest(
        {
            "scheme": SCHEME,
            "stage": stage,
            "plugin": plugin,
            "config": dict(config),
            "inputs": dict(inputs) if isinstance(inputs, Mapping) else list(inputs),
            "seed": seed,
        }
    )


def stage_seed(run_seed: int, path: str) -> int:
    """Seed in [0, 2^31) of the stage at ``path``: adding a stage moves no other stage's seed."""
    return int.from_bytes(hashlib.sha256(f"{SCHEME}/{run_seed}/{path}".encode()).digest()[:4], "big") >> 1
