"""Records of earlier schema versions brought up to the present one: one function a version step.

A migration adds what a later schema asks for, from what the old record says, and invents nothing: what was not
recorded then stays unknown. Kept records of every version are read in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.errors import DataError

Plain = dict[str, Any]


def one_to_two(record: Plain) -> Plain:
    """Version 2 tells runs from submitted predictions, keeps what classifiers noticed, and sha256 of pictures.

    All records of version 1 were runs; their classifiers' notes and their pictures' checksums were not recorded.
    """
    arms = record.get("arms", [])
    if isinstance(arms, list):  # else validation names the field
        arms = [{"notes": [], "selected_step": None, **arm} if isinstance(arm, dict) else arm for arm in arms]
    return {"origin": "run", "checksums": {}, **record, "arms": arms}


STEPS: dict[int, Callable[[Plain], Plain]] = {1: one_to_two}


def migrate(record: Any, target: int) -> Plain:
    """``record`` (parsed JSON of any known version) as one of version ``target``; the argument is not changed.

    Raises :class:`DataError` for what is no record, and for versions that this code does not know.
    """
    if not isinstance(record, dict):
        raise DataError("top level: a record is a JSON object")
    version = record.get("schema_version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DataError(f"schema_version: {version!r} is not a version")
    if version > target:
        raise DataError(f"schema_version: is {version}, this version of dermbench reads up to {target}: update it")
    out: Plain = record
    for step in range(version, target):
        if step not in STEPS:
            raise DataError(f"schema_version: no migration from version {step}")
        out = {**STEPS[step](out), "schema_version": step + 1}
    return out
