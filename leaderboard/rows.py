"""Records become rows: which arms of which runs are one entry, and in which tracks they may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from bench.keys import digest
from bench.record import ArmRecord, EstimateRecord, FidelityRecord, PluginRecord, Record, RoundRecord
from leaderboard.gate import copies, copies_in_rounds
from leaderboard.load import Entry
from leaderboard.steered import BY_DESIGN, rounds_used, steered

Kind = Literal["entrant", "baseline", "ceiling", "sentinel", "floor", "control"]
Status = Literal["ranked", "gated", "unranked", "incomplete", "failed", "absent"]

ROLE_OF_CONTROL: dict[str, Kind] = {"oracle": "ceiling", "copy": "sentinel", "noise": "floor"}
HELD_OUT_ARM = "C6"  # real images outside train instead of synthetic ones: what perfect synthetic images would give
SHUFFLED_ARM = "C7"  # random synthetic images under shuffled labels: must not be as good as any entrant
ROLE_OF_ARM: dict[str, Kind] = {"C1": "control", "C3": "control", "C4": "control", SHUFFLED_ARM: "sentinel"}
"""Control arms with synthetic images (:mod:`protocols.arms`); those without are baselines, or the ceiling."""
GENERATOR_OF_ROLE: dict[Kind, str] = {role: name for name, role in ROLE_OF_CONTROL.items()}


PART = " · "  # between the parts of an extractor's name

T = TypeVar("T")


@dataclass(frozen=True)
class Track:
    """What rows must share to be compared; any difference here moves a result by itself."""

    task: str
    data: str
    fingerprint: str
    split: str
    resolution: int
    metrics: tuple[tuple[str, str], ...]
    extractor: str

    @property
    def key(self) -> str:
        """Short name, equal for equal tracks."""
        return digest([self.task, self.fingerprint, self.split, self.resolution, self.metrics, self.extractor])[:10]


@dataclass(frozen=True)
class Source:
    """Where a row's numbers for one seed come from."""

    entry: Entry
    arm: ArmRecord


@dataclass(frozen=True)
class Identity:
    """What makes two arms the same entry: plugins with version and configuration, protocol and arm."""

    generator: str
    protocol: str
    arm: str
    classifier: str
    digest: str


@dataclass
class Row:
    """One line of a track. ``sources``: seed -> newest measurement; ``fidelity``: records of its synthetic images.

    ``control_of``: the arms of the same run that it is a control of; it is compared with them, and takes no rank.
    ``steered``: its images were made for given cases, and ``fidelity`` is of others that the generator drew freely;
    ``rounds``: copies among those that a guided arm was trained on.
    """

    identity: Identity
    kind: Kind
    sources: dict[int, Source]
    fidelity: list[FidelityRecord] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    status: Status = "ranked"
    control_of: tuple[str, ...] = ()
    steered: bool = False
    rounds: list[RoundRecord] = field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        return sorted(self.sources)

    @property
    def arm(self) -> ArmRecord | None:
        """The arm of the first seed."""
        return self.sources[self.seeds[0]].arm if self.sources else None

    def estimates(self, name: str) -> list[EstimateRecord]:
        """The recorded estimates of metric ``name``, one a seed that has it."""
        return [s.arm.metrics[name] for _, s in sorted(self.sources.items()) if name in s.arm.metrics]

    def fidelity_estimates(self, name: str) -> list[EstimateRecord]:
        """The recorded fidelity or memorization estimates ``name`` of the row's synthetic images, one a seed."""
        return [f.metrics[name] for f in self.fidelity if name in f.metrics]


def gather(entries: Iterable[Entry]) -> dict[Track, list[Row]]:
    """All rows by track."""
    together = assign([(entry, tracks_of(entry.record)) for entry in entries])
    return {track: rows_of(members, track.extractor) for track, members in together.items()}


def assign(items: Iterable[tuple[T, Sequence[Track]]]) -> dict[Track, list[T]]:
    """Items by track, tracks in the order of the board.

    What was made without synthetic images names a track without extractor, and stands in every track that differs
    from it only by that.
    """
    hosts: dict[Track, list[T]] = {}
    plain: dict[Track, list[T]] = {}
    for item, tracks in items:
        for track in tracks:
            (hosts if track.extractor else plain).setdefault(track, []).append(item)
    for track, without in plain.items():
        for host in [t for t in hosts if _without_extractor(t) == track] or [track]:
            hosts.setdefault(host, []).extend(without)
    return {track: hosts[track] for track in sorted(hosts, key=_place)}


def _place(track: Track) -> tuple[object, ...]:
    return track.task, track.data, track.resolution, track.extractor, track.key


def tracks_of(record: Record) -> list[Track]:
    """The tracks of a record: one for each extractor under which its images were judged."""
    return [_track(record, extractor) for extractor in _extractors(record)]


def absent_controls(rows: Sequence[Row]) -> list[Row]:
    """A row without numbers for each of floor, ceiling and sentinel that nobody has run in this track."""
    there = {row.kind for row in rows if not row.control_of}
    return [_absent(role, name) for role, name in GENERATOR_OF_ROLE.items() if role not in there]


def _absent(role: Kind, name: str) -> Row:
    note = f"not run yet: repeat a run of this table with --generator {name}"
    return Row(Identity(name, "", "", "", digest([role])), role, {}, notes=[note], status="absent")


def _extractors(record: Record) -> list[str]:
    return sorted({extractor_name(f) for f in record.fidelity}) or [""]


def extractor_name(fidelity: FidelityRecord) -> str:
    """Network, weights and resize policy: numbers under another of these are other numbers."""
    return PART.join(part for part in (fidelity.extractor, fidelity.weights_sha256[:12], fidelity.resize) if part)


def _track(record: Record, extractor: str) -> Track:
    split = record.split.checksum if record.split else ""
    versions = tuple(sorted(record.metric_versions.items()))
    data = record.data
    return Track(data.task, data.name, data.fingerprint, split, data.resolution, versions, extractor)


def _without_extractor(track: Track) -> Track:
    return Track(track.task, track.data, track.fingerprint, track.split, track.resolution, track.metrics, "")


def rows_of(entries: Sequence[Entry], extractor: str) -> list[Row]:
    """The rows of one track. Seeds of equal entries are joined; of a repeated seed the newest run counts."""
    rows: dict[Identity, Row] = {}
    for entry in sorted(entries, key=lambda e: (e.record.created, str(e.path))):
        arms: dict[str, list[ArmRecord]] = {}
        for arm in entry.record.arms:
            arms.setdefault(arm.name, []).append(arm)
        for name, of_name in arms.items() or [("", [])]:
            identity = _identity(entry.record, name)
            kind, guided = kind_of(entry.record, name, of_name), guided_arms(entry.record, name)
            row = rows.setdefault(identity, Row(identity, kind, {}, control_of=guided))
            _add(row, entry, of_name, extractor)
            if name in (leaders := with_controls(entry.record)):
                _add_rounds(row, entry.record, {arm.seed for arm in of_name}, extractor)
            row.steered |= steered(entry.record, name, leaders)
    joined = _join_equal_baselines(list(rows.values()))
    for row in joined:
        _judge(row)
    return joined


def _join_equal_baselines(rows: list[Row]) -> list[Row]:
    """The same training on the same real images, run beside several generators, is one row and not several."""
    out: list[Row] = []
    for row in rows:
        twin = next((other for other in out if _same_training(row, other)), None) if row.kind == "baseline" else None
        if twin is None:
            out.append(row)
            continue
        twin.sources = {**row.sources, **twin.sources}
        twin.entries.extend(row.entries)
    return out


def _same_training(a: Row, b: Row) -> bool:
    """Whether two rows without synthetic images have equal predictions, to the byte, wherever both have a seed."""
    if b.kind != "baseline" or (a.identity.arm, a.identity.classifier) != (b.identity.arm, b.identity.classifier):
        return False
    shared = a.sources.keys() & b.sources.keys()
    pairs = [(a.sources[seed].arm.predictions, b.sources[seed].arm.predictions) for seed in shared]
    return bool(pairs) and all(x is not None and y is not None and x.sha256 == y.sha256 for x, y in pairs)


def _identity(record: Record, name: str) -> Identity:
    generator = record.generator
    parts = [_plugin(plugin) if plugin else None for plugin in (generator, record.protocol, record.classifier)]
    names = (generator.name if generator else "", record.protocol.name, name, record.classifier.label)
    return Identity(*names, digest([name, *parts]))


def _plugin(plugin: PluginRecord) -> list[object]:
    return [plugin.cls, plugin.version, plugin.config]


def _uses_synthetic(arms: Sequence[ArmRecord]) -> bool:
    return any(arm.n_synthetic for arm in arms)


def kind_of(record: Record, name: str, arms: Sequence[ArmRecord]) -> Kind:
    """What a row stands for: an entrant, a control generator's role, or a training without synthetic images."""
    if arms and not _uses_synthetic(arms):
        return "ceiling" if name == HELD_OUT_ARM else "baseline"
    if record.generator and record.generator.control:
        return ROLE_OF_CONTROL.get(record.generator.name, "control")
    if guided_arms(record, name):
        return ROLE_OF_ARM[name]
    return "entrant" if record.generator else "baseline"


def guided_arms(record: Record, name: str) -> tuple[str, ...]:
    """The arms that the arm ``name`` is a control of: those of its run with synthetic images that are no controls."""
    if name not in ROLE_OF_ARM or not record.generator or record.generator.control:
        return ()
    return tuple(dict.fromkeys(a.name for a in record.arms if a.n_synthetic and a.name not in ROLE_OF_ARM))


def with_controls(record: Record) -> tuple[str, ...]:
    """The arms of a run that some arm with synthetic images is a control of."""
    return tuple(dict.fromkeys(led for arm in record.arms for led in guided_arms(record, arm.name)))


def _add_rounds(row: Row, record: Record, seeds: set[int], extractor: str) -> None:
    fresh = [r for r in rounds_used(record) if r.seed in seeds and r.extractor == extractor.split(PART)[0]]
    row.rounds = [r for r in row.rounds if r.seed not in seeds] + fresh


def _add(row: Row, entry: Entry, arms: Sequence[ArmRecord], extractor: str) -> None:
    row.entries.append(entry)
    for arm in arms:
        if arm.seed in row.sources and row.sources[arm.seed].arm.error is None and arm.error is not None:
            continue
        row.sources[arm.seed] = Source(entry, arm)
    if not _uses_synthetic(arms):
        return
    replaced = {arm.seed for arm in arms}
    row.fidelity = [f for f in row.fidelity if f.seed not in replaced] + fidelity_of(
        entry.record, arms[0].name, extractor
    )


def fidelity_of(record: Record, arm: str, extractor: str) -> list[FidelityRecord]:
    """The fidelity of the images that ``arm`` was trained on: its own set where recorded, else the generator's."""
    under = [f for f in record.fidelity if extractor_name(f) == extractor]
    own = [f for f in under if f.name == arm]
    return own or [f for f in under if record.generator and f.name == record.generator.name]


def _judge(row: Row) -> None:
    """Set status and notes: what is missing or failed is said, and kept in the table."""
    broken = {seed: s.arm.error for seed, s in row.sources.items() if s.arm.error is not None}
    measured = [seed for seed in row.seeds if seed not in broken]
    for seed, error in sorted(broken.items()):
        row.notes.append(f"seed {seed} failed: {error}")
    for entry in row.entries:
        record = entry.record
        row.notes.extend(f"{f.phase} failed{_of_seed(f.seed)}: {f.message or f.error}" for f in record.failures)
        if not record.ranked:
            row.notes.append(f"the run is not for ranking (preset {record.preset})")
    wanted = {seed for entry in row.entries for seed in entry.record.seeds}
    missing = sorted(wanted - set(row.sources))
    if missing:
        row.notes.append(f"no result yet for seeds {', '.join(map(str, missing))}")
    row.notes = list(dict.fromkeys(row.notes))
    if not measured:
        row.status = "failed" if broken or any(e.record.status == "failed" for e in row.entries) else "incomplete"
    elif missing or broken:
        row.status = "incomplete"
    elif not all(entry.record.ranked for entry in row.entries):
        row.status = "unranked"
    elif (row.kind == "entrant" or row.control_of) and copies(row.fidelity):
        row.status = "gated"
        row.notes.append("fails the memorization gate: more copies of training images than held-out real ones are")
    elif copies_in_rounds([r for r in row.rounds if not r.varied]):
        row.status = "gated"
        row.notes.append("fails the memorization gate: more copies among the images of its rounds than chance gives")
    elif any(r.varied and r.flagged for r in row.rounds):
        row.notes.append(BY_DESIGN)


def _of_seed(seed: int | None) -> str:
    return "" if seed is None else f" (seed {seed})"
