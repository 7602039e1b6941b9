"""The site: pages and tables of all records in a folder; what did not change since the last build is not made again."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import ConfigError
from leaderboard import exchange, latex, markdown, pages, sheet
from leaderboard.board import track_board
from leaderboard.cache import FOLDER, Cache, key_of, write_if_changed
from leaderboard.load import Entry, find_records, load, sha256
from leaderboard.published import published_tables
from leaderboard.rows import Track, assign, rows_of, tracks_of

ALLOCATIONS = 100_000  # between two searches for cycles


@dataclass(frozen=True)
class Head:
    """What one must know of a record to place it, without reading all of it."""

    path: Path
    sha: str
    run_id: str
    created: str
    tracks: list[Track]
    files: list[str]

    def inputs(self) -> list[object]:
        """What its results depend on: the record's bytes, and size and time of the files that it names."""
        return [self.sha, [_stamp(self.path.parent / name) for name in self.files]]


@dataclass
class Built:
    """What a build did: files of the board, and how many tracks and run pages were made or found unchanged."""

    files: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    tracks_made: int = 0
    tracks_kept: int = 0
    runs_made: int = 0
    runs_kept: int = 0


def build_site(places: Iterable[Path], out: Path, *, cached: bool = True) -> Built:
    """Write index, tables and pages of all records at or below ``places`` into ``out`` (created if absent).

    A function of records and stored predictions alone: equal records give equal bytes, whatever the cache holds.
    Raises :class:`DataError` for a place without records, :class:`ConfigError` where ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: the board is written into a folder, and this is a file: name another")
    with _rarely_collected():
        return _build(places, out, Cache(out / FOLDER if cached else None))


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Thousands of records stay in memory and hold no cycles: searching them for some took a fifth of a build."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.set_threshold(max(before[0], ALLOCATIONS), *before[1:])
    if not frozen:
        gc.freeze()  # what was there before the build is not searched either
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not frozen:
            gc.unfreeze()


def _build(places: Iterable[Path], out: Path, cache: Cache) -> Built:
    loader = _Loader(cache)
    heads = loader.heads(find_records(places))
    built = Built(unreadable=loader.unreadable)
    names = page_names(heads)
    together = assign([(head, head.tracks) for head in heads])
    parts = [_track(track, members, names, loader, cache, built, out) for track, members in together.items()]
    stands_in: dict[Path, dict[str, str]] = {}
    for part, members in zip(parts, together.values(), strict=True):
        for head in members:
            stands_in.setdefault(head.path, {})[f"../{part['card']['href']}"] = _told_apart(part["card"], parts)
    for head in heads:
        _run(head, names[head.path], stands_in[head.path], loader, cache, built, out)
    newest = max((head.created for head in heads), default="")
    built.files = _write_tables(parts, loader.unreadable, newest, len(heads), out)
    _remove_stale(out, {part["card"]["href"] for part in parts} | {f"runs/{name}" for name in names.values()})
    cache.sweep()
    return built


class _Loader:
    """Records read at most once, and only when something has to be made from them."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.unreadable: dict[Path, str] = {}
        self.entries: dict[Path, Entry] = {}

    def heads(self, paths: Sequence[Path]) -> list[Head]:
        """Heads of all readable records, in the order of ``paths``."""
        found = []
        for path in paths:
            try:
                sha = sha256(path)
            except OSError as error:
                self.unreadable[path] = str(error)
                continue
            kept = self.cache.get("head", key_of(sha))
            if kept is None:
                entry = self.entry(path)
                if entry is None:
                    continue
                kept = _head_values(entry)
                self.cache.put("head", key_of(sha), kept)
            tracks = [_track_of(values) for values in kept["tracks"]]
            found.append(Head(path, sha, kept["run_id"], kept["created"], tracks, kept["files"]))
        return found

    def entry(self, path: Path) -> Entry | None:
        """The whole record; None, with the reason in ``unreadable``, where it cannot be read."""
        if path not in self.entries:
            loaded = load([path])
            self.unreadable |= loaded.unreadable
            self.entries |= {entry.path: entry for entry in loaded.entries}
        return self.entries.get(path)


def _head_values(entry: Entry) -> dict[str, Any]:
    record = entry.record
    named = [file.path for arm in record.arms for file in (arm.predictions,) if file is not None]
    drawn = [name for name in record.files.values() if name.endswith(".png")]
    return {
        "run_id": record.run_id, "created": record.created, "files": named + drawn,
        "tracks": [asdict(track) for track in tracks_of(record)],
    }  # fmt: skip


def _track_of(values: Mapping[str, Any]) -> Track:
    return Track(**{**values, "metrics": tuple((name, version) for name, version in values["metrics"])})


def _stamp(path: Path) -> list[int]:
    """Size and time of change of a file, as make and git use them; empty where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def page_names(heads: Sequence[Head]) -> dict[Path, str]:
    """File name of each run's page: its run id, with the record's checksum where that is no plain or no unique name."""
    times = Counter(head.run_id.lower() for head in heads)
    names: dict[Path, str] = {}
    for head in heads:
        plain = re.sub(r"[^\w.+-]+", "_", head.run_id, flags=re.ASCII).strip(".")[:120]
        unique = plain == head.run_id and times[plain.lower()] == 1
        names[head.path] = f"{plain}.html" if unique else f"{plain}-{head.sha[:10]}.html"
    return names


def _track(
    track: Track,
    members: Sequence[Head],
    names: Mapping[Path, str],
    loader: _Loader,
    cache: Cache,
    built: Built,
    out: Path,
) -> dict[str, Any]:  # fmt: skip
    """The track in every format, from the cache or made; its page is written."""
    key = key_of(asdict(track), [[*head.inputs(), names[head.path]] for head in members])
    part: dict[str, Any] | None = cache.get("track", key)
    if part is None:
        entries = [entry for head in members if (entry := loader.entry(head.path))]
        board = track_board(track, rows_of(entries, track.extractor))
        addresses = {path: f"../runs/{name}" for path, name in names.items()}
        part = {
            "markdown": markdown.section(board), "sheet": sheet.section(board), "latex": latex.section(board),
            "exchange": exchange.section(board), "card": asdict(pages.card(board)),
            "page": pages.track_page(board, addresses),
        }  # fmt: skip
        cache.put("track", key, part)
        built.tracks_made += 1
    else:
        built.tracks_kept += 1
    write_if_changed(out / part["card"]["href"], part["page"])
    return part


def _told_apart(card: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> str:
    """A track's title, with what it is made of where another track has the same title."""
    title = str(card["title"])
    twins = sum(part["card"]["title"] == title for part in parts)
    return title if twins == 1 else f"{title} ({card['made']})"


def _run(
    head: Head, name: str, tracks: Mapping[str, str], loader: _Loader, cache: Cache, built: Built, out: Path
) -> None:
    """The page of a run, unless the one that is there was made from the same things."""
    target = out / "runs" / name
    key = key_of(head.inputs(), name, dict(tracks))
    if cache.get("run", key) == _stamp(target) != []:
        built.runs_kept += 1
        return
    entry = loader.entry(head.path)
    if entry is None:
        return
    write_if_changed(target, pages.run_html(entry, head.sha, tracks))
    cache.put("run", key, _stamp(target))
    built.runs_made += 1


def _write_tables(
    parts: Sequence[Mapping[str, Any]], unreadable: Mapping[Path, str], newest: str, runs: int, out: Path
) -> list[Path]:
    cards, published = [pages.Card(**part["card"]) for part in parts], published_tables()
    texts = {
        "index.html": pages.index_page(cards, unreadable, newest, runs),
        "published.html": pages.published_page(published),
        "leaderboard.md": markdown.document([part["markdown"] for part in parts], unreadable, published),
        "leaderboard.csv": sheet.document([part["sheet"] for part in parts]),
        "leaderboard.tex": latex.document([part["latex"] for part in parts]),
        "leaderboard.json": exchange.document([part["exchange"] for part in parts], unreadable, newest, published),
    }
    for name, text in texts.items():
        write_if_changed(out / name, text)
    return [out / name for name in texts]


def _remove_stale(out: Path, wanted: set[str]) -> None:
    """Remove pages of tracks and runs that are no more; files that are not ours stay."""
    for folder in ("tracks", "runs"):
        for path in (out / folder).glob("*.html"):
            if f"{folder}/{path.name}" not in wanted and pages.MARK.encode() in path.read_bytes()[:2000]:
                path.unlink()
