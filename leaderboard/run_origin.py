"""What the page of a run says of its origin: provenance, ledger, stages, configuration, environment, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.format import NOTHING, megabytes, number, throughput_note
from bench.progress import duration
from bench.record import PluginRecord, Record, StageRecord, ThroughputRecord
from leaderboard.load import Entry
from leaderboard.markup import Html, Table, definitions, fold, join, listing, tag, text
from leaderboard.svg import Scale

MADE_BY_PROGRAM = "no command: made by a call of bench.run; the run file under Configuration repeats it"
LONG = 6  # longer lists of a ledger are counted, not printed: the record has them


def provenance(entry: Entry, sha: str) -> Html:
    """How to repeat the run, and what it was made from."""
    record, where = entry.record, entry.record.environment
    commit = f"{where.commit or 'unknown'}{' with uncommitted changes' if where.dirty else ''}"
    made_of = {"Protocol": record.protocol, "Generator": record.generator, "Classifier": record.classifier}
    plugins = [(kind, _plugin(plugin)) for kind, plugin in made_of.items() if plugin]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(record.metric_versions.items()))
    threads = f"{where.threads} thread{'s' * (where.threads != 1)}"
    machine = f"{where.device_name or where.cpu}, {threads}, {where.precision}"
    command = Html(
        tag("pre", tag("code", record.command), tabindex=0)
        + tag("button", "Copy", type="button", class_="copy", hidden="")
    )
    repeat = tag("div", command, class_="command") if record.command else MADE_BY_PROGRAM
    return definitions([
        ("Reproduce", repeat), ("Commit", tag("code", commit)),
        ("Record", tag("code", f"sha256 {sha}")), ("Data fingerprint", tag("code", record.data.fingerprint or NOTHING)),
        ("Split checksum", tag("code", record.split.checksum) if record.split else ""), *plugins,
        ("Metrics", versions), ("Machine", machine),
    ])  # fmt: skip


def _plugin(plugin: PluginRecord) -> Html:
    return Html(f"{text(plugin.label)} <code>{text(plugin.cls)}@{text(plugin.version)}</code>")


def ledger(record: Record) -> Html:
    """What the protocol noted, an event a row."""
    if not record.ledger:
        return Html("")
    keys = list(dict.fromkeys(key for event in record.ledger for key in event))
    first = [key for key in ("event", "arm", "round", "seed") if key in keys]
    heads = [*first, *(key for key in keys if key not in first)]
    rows = [[_ledger_value(event[key]) if key in event else "" for key in heads] for event in record.ledger]
    return Table("What was mined, made, accepted and rejected", [h.replace("_", " ") for h in heads], rows).html()


def _ledger_value(value: Any) -> object:
    if isinstance(value, list) and len(value) > LONG:
        return f"{len(value):,}: {', '.join(map(str, value[:3]))}, …"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in list(value.items())[:LONG]) or NOTHING
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str) and len(value) == 64:
        return Html(f'<code title="{text(value)}">{text(value[:12])}</code>')
    return value if not isinstance(value, list) else ", ".join(_short(v) for v in value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def stages(record: Record) -> Html:
    """The longest stages with their times drawn; all of them on demand."""
    if not record.stages:
        return Html("")
    longest = sorted(record.stages, key=lambda s: -s.seconds)
    scale = Scale(0.0, max(longest[0].seconds, 1e-9), 0, 150)
    total = sum(s.seconds for s in record.stages)
    heads = ("Stage", "Seed", "State", "Time", "Peak memory", "Key")
    numbers = frozenset({1, 3, 4})
    top = Table(f"The longest of {len(longest)} stages; {duration(total)} in all", heads,
                [_stage(s, scale) for s in longest[:8]], numbers)  # fmt: skip
    rest = Table("All stages in order", heads, [_stage(s, scale) for s in record.stages], numbers)
    return join([top.html(), fold(f"All {len(longest)} stages", rest.html()) if len(longest) > 8 else ""])


def _stage(stage: StageRecord, scale: Scale) -> list[object]:
    line = f'<path class="f" d="M0 5H{scale(stage.seconds):g}"/>'
    bar = f'<svg class="ci" width="150" height="10" viewBox="0 0 150 10" aria-hidden="true">{line}</svg>'
    state = stage.status + (f": {stage.error}" if stage.error else "")
    return [
        stage.name, NOTHING if stage.seed is None else stage.seed, state,
        Html(f"{bar}{text(duration(stage.seconds))}"), megabytes(stage.peak_memory_mb),
        Html(f'<code title="{text(stage.key)}">{text(stage.key[:10])}</code>'),
    ]  # fmt: skip


def throughput(record: Record) -> Html:
    """Images per second of each plugin and phase."""
    rows = [_speed(t) for t in record.throughput]
    heads = ("Plugin", "Phase", "Images per second", "Images", "Batch", "Device", "Precision", "Threads")
    note = throughput_note(t.precision for t in record.throughput)
    return Table(f"{note[0].upper()}{note[1:]}", heads, rows, frozenset({2, 3, 4, 7})).html() if rows else Html("")


def _speed(t: ThroughputRecord) -> list[object]:
    name, speed = t.plugin.split(":")[-1], number(t.images_per_second)
    return [name, t.phase, speed, f"{t.images:,}", f"{t.batch:,}", t.device, t.precision, t.threads or NOTHING]


def config(record: Record) -> Html:
    """Effective options of each plugin, and the run file on demand."""
    parts = []
    plugins = {"generator": record.generator, "classifier": record.classifier, "protocol": record.protocol}
    for kind, plugin in plugins.items():
        if plugin and plugin.config:
            rows = [[key, _json(value)] for key, value in plugin.config.items()]
            parts.append(Table(f"Effective options of the {kind} {plugin.name}", ("Option", "Value"), rows).html())
    if record.config:
        whole = tag("pre", json.dumps(record.config, indent=1, ensure_ascii=False), tabindex=0)
        parts.append(fold("The run file", whole))
    return tag("div", join(parts), class_="columns")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def environment(record: Record) -> Html:
    """Where the run was made, with which packages, and what is to be known of its data."""
    where = record.environment
    facts = definitions([
        ("Platform", where.platform), ("Processor", where.cpu), ("Cores", where.cores), ("Threads", where.threads),
        ("Device", f"{where.device} {where.device_name}"), ("Precision", where.precision), ("Python", where.python),
    ])  # fmt: skip
    packages = ", ".join(f"{name} {version}" for name, version in sorted(where.packages.items()))
    return join([facts, fold(f"{len(where.packages)} packages", tag("p", packages)), _notes(record)])


def _notes(record: Record) -> Html:
    data = record.data
    said = [
        *data.notes,
        *(f"{name}: {value}" for name, value in (("Licence", data.licence), ("Cite", data.citation)) if value),
    ]
    return Html(tag("h3", "On the data") + listing(said)) if said else Html("")


def files(entry: Entry) -> Html:
    """Prediction files with their checksums, on demand."""
    rows = list(_file_rows(entry.record))
    if not rows:
        return Html("")
    table = Table("Beside the record", ("File", "Rows", "sha256"), rows, frozenset({1})).html()
    return fold(f"{len(rows)} files with their checksums", table)


def _file_rows(record: Record) -> Iterator[list[object]]:
    for arm in record.arms:
        for file in (arm.predictions, arm.threshold_predictions):
            if file is not None:
                yield [file.path, f"{file.n:,}", Html(f"<code>{text(file.sha256)}</code>")]
