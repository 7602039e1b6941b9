"""The tables of a run, made from its record alone: the same on the screen, in ``table.txt`` and for ``show``."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from bench.amounts import record_curves, saturation_events, saturation_limits, saturation_words
from bench.format import (
    NOTHING,
    counts,
    interval,
    megabytes,
    number,
    over_seeds,
    seeds_text,
    throughput_note,
    words_over_seeds,
)
from bench.progress import duration
from bench.record import ArmRecord, EstimateRecord, FidelityRecord, Record
from bench.report_endpoints import comparison_blocks, further_blocks, round_blocks
from bench.report_subgroups import subgroup_blocks
from bench.tables import facts_grid, make_table, metric_title, small_print

TABLE_FILE, TABLE_WIDTH = "table.txt", 124
ENDPOINTS = (
    "auc",
    "sensitivity@youden",
    "specificity@youden",
    "accuracy@youden",
    "specificity@sens95",
    "sensitivity@sens95",
    "auc_macro",
    "average_precision",
    "brier",
    "ece",
)
PER_CLASS = ("fid", "kid", "coverage", "copy_rate")
ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}


def print_report(record: Record, folder: Path | None, console: Console) -> None:
    """Print every table of ``record``; ``folder``: where its files are."""
    for block in blocks(record, folder, console.width):
        console.print(block)


def write_table(record: Record, folder: Path) -> Path:
    """Write ``table.txt`` beside the record: the same tables in plain text."""
    text = io.StringIO()
    print_report(record, folder, Console(file=text, width=TABLE_WIDTH, no_color=True, highlight=False, markup=False))
    path = folder / TABLE_FILE
    path.write_text("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")
    return path


def blocks(record: Record, folder: Path | None, width: int) -> Iterator[RenderableType]:
    """The parts of the report in order, fit for a screen of ``width`` columns."""
    yield from _header(record)
    yield from _failures(record)
    yield from _arms(record, width)
    yield from _saturation(record)
    yield from comparison_blocks(record, width)
    yield from further_blocks(record, width)
    yield from subgroup_blocks(record, width)
    yield from _fidelity(record, width)
    yield from round_blocks(record)
    yield from _throughput(record)
    yield from _stages(record)
    yield from _files(record, folder)
    if record.data.notes:
        yield Text("\nNotes on the data", style="bold")
        yield from (Padding(Text(f"· {note}"), (0, 0, 0, 1)) for note in record.data.notes)
    if record.verdict:
        yield Text.assemble("\n", ("Verdict  ", "bold"), record.verdict)


def _header(record: Record) -> Iterator[RenderableType]:
    data, ranked = record.data, "" if record.ranked else ", not ranked"
    colour = {"complete": "green", "partial": "yellow", "failed": "red"}[record.status]
    yield Text.assemble(
        "\n", (record.run_id, "bold"), "  ", (record.status, colour), f"  preset {record.preset}{ranked}"
    )
    plugins = [f"{p.label} (version {p.version})" for p in (record.protocol, record.generator, record.classifier) if p]
    grid = facts_grid()
    grid.add_row("data", f"{data.name or data.spec}, {data.n:,} images at {data.resolution} px, {_task(record)}")
    if record.split is not None:
        parts = (f"{name} {sum(c.values()):,}" for name, c in record.split.counts.items())
        grid.add_row("splits", f"{', '.join(parts)}  (checksum {record.split.checksum[:10]})")
    grid.add_row("plugins", ", ".join(plugins))
    seeds, where = ", ".join(map(str, record.seeds)), record.environment
    finished = seeds_text(record)
    grid.add_row("seeds", f"{seeds} ({finished})" if finished else seeds)
    commit = f", commit {where.commit[:10]}{' + changes' if where.dirty else ''}" if where.commit else ""
    machine = f"{where.device_name}, {where.threads} threads" if where.device == "cpu" else where.device_name
    grid.add_row("made on", f"{machine}, {where.precision}{commit}")
    yield grid


def _task(record: Record) -> str:
    names, positive = record.data.class_names, record.data.positive
    if not names:
        return record.data.task
    return f"{names[positive]} vs rest" if len(names) == 2 else f"{len(names)} classes, {names[positive]} positive"


def _failures(record: Record) -> Iterator[RenderableType]:
    if not record.failures:
        return
    table = make_table("Failed", "seed", "stage", "error", "after")
    for f in record.failures:
        seed = NOTHING if f.seed is None else str(f.seed)
        table.add_row(seed, f.phase, Text(f"{f.error}: {f.message}", style="red"), duration(f.elapsed_seconds))
    yield table


def _arms(record: Record, width: int) -> Iterator[RenderableType]:
    if not record.arms:
        return
    by_name: dict[str, list[ArmRecord]] = {}
    for arm in record.arms:
        by_name.setdefault(arm.name, []).append(arm)
    present = {name for arm in record.arms for name in arm.metrics}
    stacked, room = _layout(width)
    endpoints = [name for name in ENDPOINTS if name in present][:room]
    table = make_table("Arms on test", "arm", "real", "syn.")
    for endpoint in endpoints:
        table.add_column(metric_title(endpoint).replace(" @", "\n@"), no_wrap=True)
    for name, arms in by_name.items():
        cells = [over_seeds([a.metrics[e] for a in arms if e in a.metrics], stacked=stacked) for e in endpoints]
        table.add_row(Text(name, style="bold"), *_images(arms), *cells)
    table.add_section()
    for name, floor in record.floors.items():
        table.add_row(Text(name, style="italic"), "", "", interval(floor, stacked=stacked))
    if record.data.bayes_auc is not None:
        table.add_row(Text("ideal observer", style="italic"), "", "", number(record.data.bayes_auc, 1.0))
    yield table
    seeds = {a.seed for a in record.arms}
    what = "value and 95 % interval" if len(seeds) == 1 else f"mean and range over {len(seeds)} seeds"
    yield small_print(f"{what}; thresholds fitted on val_thresh; {_positives(record)}{_floor_words(record)}")
    yield from _small_arms(by_name)
    yield from _findings(record)
    yield from _arm_notes(record.arms)
    yield from _arm_errors(record.arms)
    yield from _reasons((f"{m} of {a.name}", e) for a in record.arms for m, e in a.metrics.items() if m in endpoints)


def _saturation(record: Record) -> Iterator[RenderableType]:
    """From which amount of images on more were not seen to help, where the protocol looked for it."""
    for curve in record_curves(record):
        if events := saturation_events(record.ledger, curve):
            words = f"{saturation_words(events, curve.sweep)}. {saturation_limits(events)}"
            yield Padding(Text.assemble(("Saturation  ", "bold"), words), (1, 0, 0, 0))


def _images(arms: Sequence[ArmRecord]) -> tuple[str, str]:
    """(real, synthetic): how many images one arm was trained on; a range where its seeds chose different rounds."""
    return counts(a.n_real for a in arms), counts(a.n_synthetic for a in arms)


def _findings(record: Record) -> Iterator[RenderableType]:
    if not record.findings:
        return
    table = make_table("Found by the protocol itself, without the test split", "what", "seed", "value")
    for found in record.findings:
        table.add_row(found.name, str(found.seed), interval(found.estimate))
    yield table


def _layout(width: int) -> tuple[bool, int]:
    """(interval below the value, how many endpoints fit) on a screen of ``width`` columns."""
    in_line = (width - 30) // 23
    return (False, min(in_line, 5)) if in_line >= 4 else (True, min(max((width - 26) // 13, 2), 5))


def _floor_words(record: Record) -> str:
    words = "; colour floor: logistic regression on mean and SD of R, G, B" if "colour floor" in record.floors else ""
    return words + ("; ideal observer: the best AUC possible" if record.data.bayes_auc is not None else "")


def _small_arms(by_name: dict[str, list[ArmRecord]]) -> Iterator[RenderableType]:
    made = {name: words_over_seeds(a.description for a in arms) for name, arms in by_name.items()}
    if said := ", ".join(f"{name}: {words}" for name, words in made.items() if words):
        yield small_print(said)


def _positives(record: Record) -> str:
    positive = record.data.class_names[record.data.positive] if record.data.class_names else "positive"
    test = record.split.counts.get("test", {}) if record.split else {}
    return f"{test.get(positive, 0):,} {positive} of {sum(test.values()):,} test images"


def _arm_notes(arms: Sequence[ArmRecord]) -> Iterator[RenderableType]:
    """What classifiers noticed while they were trained, each thing once, and whose it is in as few words as name it."""
    said: dict[str, list[tuple[str, int]]] = {}
    for arm in arms:
        for note in arm.notes:
            said.setdefault(note, []).append((arm.name, arm.seed))
    everyone = [(arm.name, arm.seed) for arm in arms]
    yield from (Text(f"{_whose(who, everyone)}: {note}", style="yellow") for note, who in said.items())


def _whose(who: Sequence[tuple[str, int]], everyone: Sequence[tuple[str, int]]) -> str:
    """``(arm, seed)`` pairs in words: all arms, an arm with all of its seeds by its name, else with those it is."""
    if len(everyone) > 1 and set(who) == set(everyone):
        return "all arms"
    words = []
    for name in dict.fromkeys(name for name, _ in who):
        own, known = ({seed for other, seed in pairs if other == name} for pairs in (who, everyone))
        some = f" (seed{'s' if len(own) > 1 else ''} {', '.join(map(str, sorted(own)))})"
        words.append(name if own == known and len(known) > 1 else name + some)
    return ", ".join(words)


def _arm_errors(arms: Iterable[ArmRecord]) -> Iterator[RenderableType]:
    yield from (Text(f"arm {a.name}, seed {a.seed}: {a.error}", style="red") for a in arms if a.error)


def _reasons(named: Iterable[tuple[str, EstimateRecord]]) -> Iterator[RenderableType]:
    """Why some numbers are undefined, each reason once."""
    said: dict[str, list[str]] = {}
    for name, estimate in named:
        if estimate.value is None:
            said.setdefault(_reason(estimate), []).append(name)
    for why, where in said.items():
        names = list(dict.fromkeys(where))
        yield small_print(f"{why}: {', '.join(names[:4])}{' …' if len(names) > 4 else ''}")


def _reason(estimate: EstimateRecord) -> str:
    why = estimate.reason or "no reason given"
    return "undefined, because " + why.removeprefix("undefined, ").removeprefix("because ")


def _fidelity(record: Record, width: int) -> Iterator[RenderableType]:
    groups: dict[tuple[str, str, int], dict[str, list[FidelityRecord]]] = {}
    for row in record.fidelity:
        groups.setdefault((row.extractor, row.resize, row.n_synthetic), {}).setdefault(row.name, []).append(row)
    for (extractor, resize, n), sets in groups.items():
        rows = [row for of_set in sets.values() for row in of_set]
        floors = rows[: len(next(iter(sets.values())))]
        metrics = [m for m in dict.fromkeys(m for r in rows for m in (*r.metrics, *r.floor)) if _is_shown(m)]
        stacked = width < 30 + 27 * (len(sets) + 1)
        table = make_table("Fidelity and memorization", "metric", *sets, "real against real")
        for metric in metrics:
            cells = [[r.metrics[metric] for r in of_set if metric in r.metrics] for of_set in sets.values()]
            cells.append([r.floor[metric] for r in floors if metric in r.floor])
            first = next(e for group in cells for e in group)
            texts = [over_seeds(group, stacked=stacked) if group else NOTHING for group in cells]
            table.add_row(metric_title(metric) + ARROWS[first.direction], *texts)
        yield table
        yield small_print(
            f"extractor {extractor}, {resize}; {n:,} images against {rows[0].n_reference:,} held-out reals; "
            f"real against real: what held-out reals score at equal n; the record has more rows a class and an encoder"
        )
        yield from _reasons((f"{m} of {r.name}", e) for r in rows for m, e in r.metrics.items() if _is_shown(m))


def _is_shown(metric: str) -> bool:
    """Overall metrics, and of those of one class or encoder the ones that decide."""
    base, bracket, _ = metric.partition("[")
    return not bracket or base in PER_CLASS


def _throughput(record: Record) -> Iterator[RenderableType]:
    if not record.throughput:
        return
    table = make_table("Throughput", "phase", "plugin", "images/s", "ms/image", "images", "batch", "device")
    for row in record.throughput:
        each = 1000 / row.images_per_second if row.images_per_second else 0.0
        device = f"{row.device} {row.precision}" + (f" {row.threads}t" if row.threads else "")
        cells = (number(row.images_per_second), number(each), f"{row.images:,}", f"{row.batch:,}", device)
        table.add_row(row.phase, row.plugin.split(":")[-1], *cells)
    yield table
    yield small_print(throughput_note(row.precision for row in record.throughput))


def _stages(record: Record) -> Iterator[RenderableType]:
    if not record.stages:
        return
    counts: dict[str, int] = {}
    for stage in record.stages:
        counts[stage.status] = counts.get(stage.status, 0) + 1
    fresh = sum(s.seconds for s in record.stages if s.status != "cached")
    peak = max((s.peak_memory_mb or 0.0 for s in record.stages), default=0.0)
    words = ", ".join(f"{n} {status}" for status, n in counts.items())
    yield Text.assemble("\n", ("Stages  ", "bold"), f"{words}; {duration(fresh)} of work, peak {megabytes(peak)}")
    slow = sorted(record.stages, key=lambda s: -s.seconds)[:3]
    yield small_print("longest: " + ", ".join(f"{s.name} {duration(s.seconds)}" for s in slow))


def _files(record: Record, folder: Path | None) -> Iterator[RenderableType]:
    if folder is None:
        return
    yield Text(f"\nFiles in {folder}", style="bold")
    grid = facts_grid()
    grid.add_row("record", "record.json")
    grid.add_row("tables", TABLE_FILE)
    for title, path in record.files.items():
        grid.add_row(title, path)
    kept = [a.predictions.path for a in record.arms if a.predictions is not None]
    if kept:
        grid.add_row("predictions", f"{Path(kept[0]).parent}/ ({len(kept)} arms and seeds)")
    yield grid
