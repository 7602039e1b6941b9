"""Thousands of records of the size of real ones, written in seconds: one real record, with other names and numbers."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.leaderboard.runs import make_run

POSITIVES, CASES = 171, 1512  # of the official HAM10000 test set


def write_many(root: Path, count: int, *, tracks: int = 1, first: int = 0) -> None:
    """``count`` runs of two arms each, numbered from ``first``, in ``tracks`` tracks, below ``root``/runs."""
    path = make_run(root / "template", "ldm", seeds=(0,))
    template = json.loads(path.read_text())
    template["split"]["counts"]["test"] = {"nevus": CASES - POSITIVES, "melanoma": POSITIVES}
    for i in range(first, first + count):
        _write_run(root / "runs" / f"run-{i:04d}", template, i, i % tracks)


def _write_run(folder: Path, template: dict[str, Any], i: int, track: int) -> None:
    record = copy.deepcopy(template)
    rng = np.random.default_rng(i)
    record |= {"run_id": folder.name, "created": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}Z"}
    record["generator"] |= {"name": f"generator-{i:04d}", "config": {"steps": i}}
    record["split"]["checksum"] = hashlib.sha256(f"split {track}".encode()).hexdigest()
    (folder / "predictions").mkdir(parents=True)
    for arm in record["arms"]:
        stream = np.random.default_rng(track) if arm["name"] == "C0" else rng
        data = _predictions(stream, 1.5 if arm["name"] == "C0" else 1.2 + 0.6 * i % 1)
        name = f"predictions/{arm['name']}-seed0-test.npz"
        (folder / name).write_bytes(data)
        arm["predictions"] = {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "n": CASES}
    for fidelity in record["fidelity"]:
        fidelity["name"] = record["generator"]["name"]
        for estimate in fidelity["metrics"].values():
            if estimate["value"] is not None:
                estimate["value"] *= 1 + 0.1 * rng.random()
    (folder / "record.json").write_text(json.dumps(record, indent=1))


def _predictions(rng: np.random.Generator, skill: float) -> bytes:
    y = np.repeat([0, 1], [CASES - POSITIVES, POSITIVES]).astype(np.int64)
    case = np.random.default_rng(7).normal(size=CASES)
    p = 1 / (1 + np.exp(-(skill * y + case + rng.normal(0, 0.8, CASES) - 1)))
    ids = np.array([f"ISIC_{i:07d}" for i in range(CASES)])
    groups = np.array([f"HAM_{i // 2:07d}" for i in range(CASES)])
    out = io.BytesIO()
    np.savez(out, ids=ids, groups=groups, y=y, scores=np.stack([1 - p, p], axis=1).astype(np.float32))
    return out.getvalue()
