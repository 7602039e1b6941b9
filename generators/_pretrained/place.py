"""Where a published network lies and what it holds: a folder, or an id of the Hugging Face hub. No torch here."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from bench.errors import ConfigError
from bench.weights import sha256_of

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def fingerprint(path: str, revision: str | None, download: bool) -> str:
    """What decides the weights: sha256 over names and contents of a folder's files, or the commit of a hub id.

    Raises :class:`ConfigError` for a place that is not there, and for downloads of a revision that may move.
    """
    local = Path(path).expanduser()
    if local.exists():
        return _content(local)
    if not HUB_ID.fullmatch(path):
        raise ConfigError(f"{path}: no such folder, and no hub id (NAME/MODEL) either")
    if download:
        if revision is None or not COMMIT.fullmatch(revision):
            raise ConfigError(f"{path}: download needs revision as the full commit (40 digits): a branch may move")
        return revision
    commit = cached_commit(path, revision)
    if commit is None:
        raise ConfigError(
            f"{path}: no such folder, and not in the hub's cache {hub_cache()}: give a folder, or allow the download "
            "with download=true and revision=COMMIT"
        )
    return commit


def cached_commit(hub_id: str, revision: str | None) -> str | None:
    """Commit of ``revision`` (main by default) of a hub id in the local cache, or None if it is not there."""
    if revision is not None and COMMIT.fullmatch(revision):
        commit = revision
    else:
        reference = hub_cache() / _folder(hub_id) / "refs" / (revision or "main")
        commit = reference.read_text().strip() if reference.is_file() else ""
    snapshot = hub_cache() / _folder(hub_id) / "snapshots" / commit
    return commit if commit and snapshot.is_dir() else None


def hub_cache() -> Path:
    """``$HF_HUB_CACHE``, else ``hub`` in ``$HF_HOME``, else ``~/.cache/huggingface/hub``."""
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given)
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"


def loading(revision: str | None, download: bool) -> dict[str, Any]:
    """Arguments of every ``from_pretrained``: safetensors alone, since pickles run code; offline unless allowed."""
    return {"revision": revision, "local_files_only": not download, "use_safetensors": True}


def loaded(what: str, path: str, load: Any) -> Any:
    """``load()``; its failures become :class:`ConfigError` that names ``path`` and what can be read."""
    try:
        return load()
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"{path}: cannot be read as {what}: {first}. Weights must be safetensors as diffusers writes them "
            "(save_pretrained); pickles (.bin, .pt, .ckpt) are refused"
        ) from error


def _folder(hub_id: str) -> str:
    return "models--" + hub_id.replace("/", "--")


def _content(place: Path) -> str:
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        name = file.name if place.is_file() else file.relative_to(place).as_posix()
        digest.update(f"{name}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()
