"""The ledger read back: what is missing, changed or odd is said by name, and every image stays with its case."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.errors import DataError
from bench.ledger import Lineage, families_title, write_families
from bench.ledger_file import cases_shown, read_ledger, whole_ledger
from bench.record import Record
from bench.report_ledger import print_ledger
from tests.bench.records import example
from tests.worlds import discs

FILE = "ledger/children-seed{}.json"


def lineage(r: int = 1, n: int = 50, per_case: int = 2) -> Lineage:
    """n hard cases with ``per_case`` images each, handed out in turns; every third image is rejected."""
    cases, m = discs(n, r), n * per_case
    children = discs(m, 100 + r, prefix="syn-")
    rng = np.random.default_rng(r)
    before, after, judge = rng.uniform(0.1, 0.9, (3, m)).astype(np.float32)
    accepted = np.arange(m) % 3 != 2
    return Lineage(
        round=r, cases=cases, children=children, case_of=np.arange(m, dtype=np.int64) % n, answers="case",
        accepted=accepted, reasons=["" if ok else "label_check" for ok in accepted],
        case_before=rng.permutation(np.linspace(0.1, 0.7, n)).astype(np.float32), case_after=None,
        child_before=before, child_after=after, child_judge=judge,
    )  # fmt: skip


def event(seed: int, of: Lineage) -> dict[str, Any]:
    """What the protocol notes of a round."""
    rejected = {"label_check": int((~of.accepted).sum()), "lost_by_blur": 0}
    return {
        "seed": seed, "event": "round", "round": of.round, "mined": len(of.cases), "made": len(of.children),
        "accepted": int(of.accepted.sum()), "rejected": rejected, "val_select_auc": 0.8123,
    }  # fmt: skip


def with_ledger(folder: Path, seeds: tuple[int, ...] = (0,), rounds: int = 1, **sizes: int) -> Record:
    """A record with its ledger in ``folder``."""
    record = example(seeds)
    for seed in seeds:
        made = [lineage(r, **sizes) for r in range(1, rounds + 1)]
        for of in made:
            record.ledger += [event(seed, of), {"seed": seed, **of.entry()}]
        record.ledger.append({"seed": seed, "event": "chosen round", "arm": "guided", "round": rounds})
        path = folder / FILE.format(seed)
        write_families(path, seed, made)
        record.files[families_title(seed)] = FILE.format(seed)
        record.checksums[FILE.format(seed)] = hashlib.sha256(path.read_bytes()).hexdigest()
    record.write(folder / "record.json")
    return record


def shown(record: Record, folder: Path, width: int = 100) -> str:
    text = io.StringIO()
    print_ledger(record, folder, Console(file=text, width=width, markup=False, highlight=False))
    return text.getvalue()


def test_every_image_comes_back_with_its_case_hardest_first(tmp_path: Path) -> None:
    of, record = lineage(per_case=3), with_ledger(tmp_path, per_case=3)
    (found,) = read_ledger(record, tmp_path)
    assert found.families
    cases = found.families.hardest()
    assert [c.id for c in cases] == of.cases.ids[np.argsort(of.case_before)].tolist()
    rows = {str(i): n for n, i in enumerate(of.cases.ids)}
    for case in cases:
        mine = np.flatnonzero(of.case_of == rows[case.id])
        assert len(mine) == 3
        assert [child.id for child in case.children] == of.children.ids[mine].tolist()
        assert [child.accepted for child in case.children] == of.accepted[mine].tolist()
        assert [child.after for child in case.children] == pytest.approx(of.child_after[mine].tolist(), abs=1e-4)
        assert case.label == of.cases.class_names[of.cases.labels[rows[case.id]]]


def test_the_table_says_how_many_it_shows_and_keeps_the_images_of_a_case_together(tmp_path: Path) -> None:
    of, record = lineage(), with_ledger(tmp_path)
    text = shown(record, tmp_path)
    lines = text.splitlines()
    assert "the 40 hardest of 50 cases, hardest first; all with --json" in text
    order = np.argsort(of.case_before).tolist()
    hardest, hidden = str(of.cases.ids[order[0]]), str(of.cases.ids[order[40]])
    assert hidden not in text
    at = next(i for i, line in enumerate(lines) if line.startswith(hardest))
    for line, row in zip(lines[at : at + 2], np.flatnonzero(of.case_of == order[0]).tolist(), strict=True):
        assert str(of.children.ids[row]) in line
        assert f"{of.child_before[row]:.2f} → {of.child_after[row]:.2f}" in line
        assert ("accepted" if of.accepted[row] else "rejected: label check") in line
    assert not lines[at + 1].startswith(hardest), "a case is named once"
    assert lines[at + 2].startswith(str(of.cases.ids[order[1]]))


def test_totals_are_those_of_the_round(tmp_path: Path) -> None:
    lines = shown(with_ledger(tmp_path, rounds=2), tmp_path).splitlines()
    first = next(line for line in lines if line.startswith("0     1      50 "))
    assert first.split()[2:] == ["50", "100", "67", "label", "check", "33", "0.812"]
    second = next(line for line in lines if line.startswith("0     2      50 "))
    assert second.split()[-3:] == ["0.812", "by", "guided"]


def test_of_many_images_of_a_case_some_are_counted(tmp_path: Path) -> None:
    text = shown(with_ledger(tmp_path, n=3, per_case=12), tmp_path)
    assert "all 3 cases, hardest first" in text
    assert text.count(" → ") - text.count("→ by the") == 3 * (1 + 8)
    assert len([line for line in text.splitlines() if "4 more, " in line]) == 3


def test_many_seeds_show_fewer_cases_each(tmp_path: Path) -> None:
    record = with_ledger(tmp_path, seeds=(0, 1, 2, 3))
    assert cases_shown(read_ledger(record, tmp_path)) == 10
    assert shown(record, tmp_path).count("the 10 hardest of 50 cases") == 4


def test_json_has_all_and_agrees_with_the_record(tmp_path: Path) -> None:
    record = with_ledger(tmp_path, seeds=(0, 1), rounds=2)
    whole = json.loads(json.dumps(whole_ledger(record, read_ledger(record, tmp_path))))
    assert [(r["seed"], r["round"], r["chosen"]) for r in whole["rounds"]] == [
        (0, 1, False), (0, 2, True), (1, 1, False), (1, 2, True)
    ]  # fmt: skip
    for of in whole["rounds"]:
        children = [child for case in of["cases"] for child in case["children"]]
        assert (len(of["cases"]), len(children)) == (of["mined"], of["made"]) == (50, 100)
        assert sum(child["accepted"] for child in children) == of["accepted"]
        assert {"class", "before", "after"} <= of["cases"][0].keys()
        assert of["memorization"] is None


def test_a_record_without_such_files_shows_its_totals_alone(tmp_path: Path) -> None:
    record = with_ledger(tmp_path)
    record.files, record.checksums = {}, {}
    text = shown(record, tmp_path)
    assert "published by a version that kept only totals" in " ".join(text.split())
    assert "label check 33" in text
    assert whole_ledger(record, read_ledger(record, tmp_path))["rounds"][0]["cases"] is None


def no_rounds(record: Record, folder: Path) -> None:
    record.ledger = []


def leads_out(record: Record, folder: Path) -> None:
    (folder.parent / "out.json").write_text("{}")
    record.files[families_title(0)] = "../out.json"


def gone(record: Record, folder: Path) -> None:
    (folder / FILE.format(0)).unlink()


def edited(record: Record, folder: Path) -> None:
    path = folder / FILE.format(0)
    path.write_text(path.read_text().replace("true", "false", 1))


def other_format(record: Record, folder: Path) -> None:
    path = folder / FILE.format(0)
    path.write_text(path.read_text().replace('"accepted":', '"taken":'))
    record.checksums = {}


def odd_round(record: Record, folder: Path) -> None:
    record.ledger[0]["made"] = "<many>"


def short_round(record: Record, folder: Path) -> None:
    del record.ledger[0]["accepted"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_rounds, "protocol 'adversarial' noted no rounds of hard cases"),
        (leads_out, r"out\.json: lies outside the run's folder"),
        (gone, r"children-seed0\.json: the file is missing; the same run command writes it anew"),
        (edited, r"children-seed0\.json: not the bytes that the record states"),
        (other_format, r"children-seed0\.json: not a ledger of cases: rounds\.0\.cases\.0\.children\.0\.accepted"),
        (odd_round, "a round in the ledger of the record is not readable: .*integer"),
        (short_round, "a round in the ledger of the record is not readable: .*accepted"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_is_named(change: Callable[[Record, Path], None], words: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    record = with_ledger(folder)
    change(record, folder)
    with pytest.raises(DataError, match=words):
        read_ledger(record, folder)


def test_names_are_not_markup(tmp_path: Path) -> None:
    record = with_ledger(tmp_path, n=2)
    path = tmp_path / FILE.format(0)
    content = json.loads(path.read_text())
    content["rounds"][0]["cases"][0] |= {"id": "[bold]evil[/]", "class": "[link=x]y[/link]"}
    path.write_text(json.dumps(content))
    record.checksums = {}
    text = shown(record, tmp_path, 160)
    assert "[bold]evil[/]" in text
    assert "[link=x]y[/link]" in text
