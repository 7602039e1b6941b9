"""The board as JSON: everything that the page shows, for programs; ``bench leaderboard diff`` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from leaderboard.board import COLUMNS, Cell, Line, Reference, TrackBoard
from leaderboard.published import PublishedTable

FORMAT = 1  # raise it when a field changes its meaning


def document(
    sections: Iterable[str], unreadable: Mapping[Path, str], newest: str, published: Iterable[PublishedTable] = ()
) -> str:
    """The whole file from the objects of its tracks, and the tables of the literature as their authors printed them."""
    wrong = json.dumps([{"record": str(path), "reason": reason} for path, reason in unreadable.items()])
    reported = json.dumps([asdict(table) for table in published], ensure_ascii=False)
    head = f'{{"format": {FORMAT}, "newest": {json.dumps(newest)}, "unreadable": {wrong}, "published": {reported}, '
    head += '"tracks": ['
    return head + ",\n".join(sections) + "]}\n"


def section(track: TrackBoard) -> str:
    """One track as a JSON object."""
    made, ranking = track.track, track.ranking
    out = {
        "key": made.key, "title": track.title, "task": made.task, "data": made.data, "fingerprint": made.fingerprint,
        "split": made.split, "resolution": made.resolution, "metrics": dict(made.metrics), "extractor": made.extractor,
        "test_images": ranking.images, "test_positives": ranking.positives, "test_groups": ranking.groups,
        "minimum_detectable_difference": ranking.minimum_detectable_difference, "notes": track.data.notes,
        "columns": {c.key: {"label": c.label, "title": c.title, "better": c.better} for c in COLUMNS},
        "rows": [_line(line) for line in track.lines], "references": [_reference(r) for r in track.references],
    }  # fmt: skip
    return json.dumps(out, ensure_ascii=False, allow_nan=False)


def _line(line: Line) -> dict[str, Any]:
    row = line.row
    generator, protocol, arm, classifier = line.names
    return {
        "id": row.identity.digest[:16], "generator": generator, "protocol": protocol, "arm": arm,
        "classifier": classifier, "variant": line.variant, "kind": row.kind, "status": row.status,
        "control_of": list(row.control_of),
        "standing": line.standing and asdict(line.standing), "seeds": row.seeds,
        "cells": {"auc": _cell(line.auc), **{key: _cell(cell) for key, cell in line.cells.items()}},
        "versus": [
            {"control": c.versus, "difference": c.estimate.value, "low": c.estimate.low, "high": c.estimate.high,
             "p": c.p, "p_adjusted": c.p_adjusted, "correction": c.correction, "seeds": c.n_seeds}
            for c in line.versus
        ],
        "runs": [{"run_id": e.record.run_id, "created": e.record.created, "command": e.record.command,
                  "commit": e.record.environment.commit, "dirty": e.record.environment.dirty} for e in row.entries],
        "notes": row.notes,
    }  # fmt: skip


def _reference(reference: Reference) -> dict[str, Any]:
    cells = {"auc": reference.auc, **reference.cells}
    return {
        "name": reference.name, "title": reference.title,
        "cells": {key: _cell(cell) for key, cell in cells.items() if cell},
    }  # fmt: skip


def _cell(cell: Cell) -> dict[str, Any]:
    return {key: value for key, value in asdict(cell).items() if value not in (None, "")}
