"""The parts of a run's page, in the order of reading."""

from __future__ import annotations

import base64

from bench.errors import DataError
from bench.format import NOTHING, seeds_text
from bench.progress import duration
from bench.record import Record
from leaderboard import figures, run_endpoints, run_images, run_ledger, run_origin, run_results, run_subgroups
from leaderboard.load import Entry
from leaderboard.markup import Html, Table, definition_rows, join, listing, tag, text

Section = tuple[str, str, Html]  # id, title, content
PICTURES = ("samples", "closest pairs")
EXTERNAL = "external: scored here, trained elsewhere"
BIGGEST_PICTURE = 4_000_000  # bytes: a page stays something that opens at once


def sections(entry: Entry) -> list[Section]:
    """The sections that have something to say, in the order of reading."""
    record = entry.record
    found: list[Section] = [
        ("failures", "What failed", _failures(record)),
        ("arms", "Arms on the test images", run_results.arms(record)),
        ("comparisons", "Comparisons", run_results.comparisons(record)),
        ("further", "Further test sets", run_endpoints.further(record)),
        ("findings", "Findings of the protocol", run_results.findings(record)),
        ("subgroups", "Subgroups", run_subgroups.subgroups(record)),
        ("figures", "Figures", figures.of_run(entry)),
        ("fidelity", "Fidelity and memorization", run_images.fidelity(record)),
        ("rounds", "Memorization by round", run_endpoints.rounds(record)),
        ("pictures", "Samples and their nearest training images", _pictures(entry)),
        ("ledger", "Ledger", run_ledger.ledger(entry)),
        ("stages", "Stage times", run_origin.stages(record)),
        ("throughput", "Throughput", run_origin.throughput(record)),
        ("config", "Configuration", run_origin.config(record)),
        ("environment", "Environment", run_origin.environment(record)),
        ("files", "Files", run_origin.files(entry)),
    ]
    return [section for section in found if section[2]]


def strip(record: Record) -> Html:
    """The facts that one looks for first."""
    data, split = record.data, record.split
    positive = data.class_names[data.positive] if data.class_names else data.task
    test = split.counts.get("test", {}) if split else {}
    return tag("dl", definition_rows([
        ("Data", f"{data.name or data.spec}, {data.resolution} px"), ("Task", positive),
        ("Test images", f"{sum(test.values()):,}" if test else ""),
        (f"of class {positive}", f"{test.get(positive, 0):,}" if test else ""),
        ("Origin", EXTERNAL if record.origin == "external" else ""),
        ("Seeds", _seeds(record)), ("Preset", record.preset), ("Made", record.created[:10]),
    ]), class_="strip")  # fmt: skip


def _seeds(record: Record) -> str:
    finished = seeds_text(record)
    return ", ".join(map(str, record.seeds)) + (f" ({finished})" if finished else "")


def _failures(record: Record) -> Html:
    rows = [
        [NOTHING if f.seed is None else f.seed, f.phase, f"{f.error}: {f.message}", duration(f.elapsed_seconds)]
        for f in record.failures
    ]
    errors = [f"arm {arm.name}, seed {arm.seed}: {arm.error}" for arm in record.arms if arm.error]
    table = Table("Stages that failed", ("Seed", "Stage", "Error", "After"), rows).html() if rows else Html("")
    return join([table, listing(errors)])


def _pictures(entry: Entry) -> Html:
    parts = []
    for title, name in entry.record.files.items():
        if title.startswith(PICTURES) and name.endswith(".png"):
            content = _picture(entry, name)
            if content is not None:
                source = "data:image/png;base64," + base64.b64encode(content).decode()
                image = Html(f'<img src="{source}" alt="{text(_alternative(title))}" decoding="async">')
                parts.append(tag("figure", Html(image + tag("figcaption", title)), class_="picture"))
    return join(parts)


def _picture(entry: Entry, name: str) -> bytes | None:
    """The bytes of a PNG of the run folder; None where it is gone, is no PNG, or is too large for a page."""
    try:
        content = entry.file(name).read_bytes()
    except (OSError, DataError):
        return None
    return content if content.startswith(b"\x89PNG") and len(content) <= BIGGEST_PICTURE else None


def _alternative(title: str) -> str:
    what = "synthetic images, each beside the training image nearest to it" if "pairs" in title else "a grid of images"
    return f"{title}: {what}"


def titles(record: Record) -> tuple[str, str]:
    """Name of a run as people say it, and what it is made of."""
    generator = record.generator.name if record.generator else "real images"
    return generator, f"{record.protocol.name} · {record.classifier.label}"
