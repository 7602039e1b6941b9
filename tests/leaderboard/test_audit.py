"""The auditor of printed tables: real tables, planted faults, and the readings that would explain them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.errors import DataError
from leaderboard.audit import RowAudit, audit_row, audit_table
from leaderboard.audit_cli import app
from leaderboard.audit_table import FIGURES, Counts, PrintedRow, read_printed
from leaderboard.published import FOLDER, published_tables

THESIS = FOLDER / "thesis_table_4_5.csv"
ROOT = Path(__file__).resolve().parents[2]


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def only(path: Path) -> RowAudit:
    (row,) = audit_table(path)
    return row


def verdicts(row: RowAudit) -> dict[str, str]:
    return {cell.figure: cell.verdict for cell in row.cells}


def test_thesis_table_4_5_cells_that_cannot_follow_are_found() -> None:
    first, no_bias = audit_table(THESIS)
    assert verdicts(first) == {"accuracy": "cut", "sensitivity": "impossible", "specificity": "impossible"}
    assert verdicts(no_bias) == dict.fromkeys(("accuracy", "sensitivity", "specificity"), "impossible")
    assert "no count of 255 positives is printed so (227 gives 0.8902 and 228 gives 0.8941)" in first.cells[1].why
    assert "1,579 of 1,628 negatives would be printed so" in first.cells[2].why
    assert any("right in 86.5 % of 1,883 cases" in note for note in first.notes)
    assert any("imply 13.5 to 14.3 % positives; the counts have 50.0 %" in note for note in no_bias.notes)
    assert any("the share of row 'first column'" in reading for reading in no_bias.readings)


@given(st.tuples(*[st.integers(1, 2_000)] * 4), st.integers(1, 5))
@settings(max_examples=60)
def test_figures_that_were_rounded_from_their_counts_all_follow(
    numbers: tuple[int, int, int, int], decimals: int
) -> None:
    from bench.stats.consistency import parse_share

    counts = Counts(*numbers)
    text = {name: f"{float(figure(counts) or 0):.{decimals}f}" for name, figure in FIGURES.items()}
    printed = {name: parse_share(t) for name, t in text.items()}
    row = PrintedRow("row", 2, counts, counts.n, counts.positives, counts.negatives, printed, text)
    assert set(verdicts(audit_row(row, [row])).values()) == {"follows"}
    bare = PrintedRow("row", 2, None, counts.n, counts.positives, counts.negatives, printed, text)
    assert "impossible" not in verdicts(audit_row(bare, [bare])).values()
    without = PrintedRow("row", 2, None, None, None, None, printed, text)
    assert "impossible" not in verdicts(audit_row(without, [without])).values()


def test_a_figure_off_by_one_digit_is_impossible_even_without_counts(tmp_path: Path) -> None:
    row = only(table(tmp_path, "name,positives,negatives,ACC,TPR,TNR", "a,171,1341,.880,.801,.900"))
    assert verdicts(row)["accuracy"] == "impossible"
    assert "171 positives and 1,341 negatives" in row.cells[0].why
    row = only(table(tmp_path, "name,ACC,TPR,TNR", "a,.95,.80,.90"))
    assert verdicts(row)["accuracy"] == "impossible"
    assert "must lie between them" in row.cells[0].why


def test_the_counts_that_would_be_printed_so_are_given(tmp_path: Path) -> None:
    path = table(tmp_path, "name,positives,negatives,TPR,TNR", "a,171,1341,.801,.90")
    sensitivity, specificity = only(path).cells
    assert (sensitivity.possible, specificity.possible) == ((137, 137, 171), (1201, 1213, 1341))
    shown = CliRunner().invoke(app, [str(path), "--plain"]).stdout
    assert "137 of 171" in shown
    assert "1,201 to 1,213 of 1,341" in shown


def test_precision_and_accuracy_that_imply_other_class_shares_contradict(tmp_path: Path) -> None:
    row = only(table(tmp_path, "name,ACC,TPR,TNR,PPV", "a,.850,.700,.900,.300"))
    assert verdicts(row)["precision"] == "impossible"
    assert "accuracy .850 implies" in next(c.why for c in row.cells if c.figure == "precision")


def test_an_auc_that_no_curve_through_the_operating_point_has_is_named(tmp_path: Path) -> None:
    rows = audit_table(table(tmp_path, "name,TPR,TNR,AUC", "a,.90,.90,.70", "b,.90,.90,.95", "c,,,.95"))
    assert [verdicts(row)["auc"] for row in rows] == ["impossible", "follows", "unchecked"]
    assert "0.801 to 0.991" in rows[0].cells[-1].why


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("a,40,60,10,390,.860,.867,.800", "what is printed as sensitivity is the specificity of these counts"),
        ("a,390,10,60,40,.860,.800,.867", "with the roles of the classes exchanged: TP 40, FP 60, FN 10, TN 390"),
        ("a,40,10,60,390,.860,.800,.867", "with FP and FN exchanged: TP 40, FP 60, FN 10, TN 390"),
        ("a,40,60,10,309,.860,.800,.867", "if TN is 390 instead of 309"),
        ("a,40,60,10,390,.838,.900,.831", "of another threshold than the counts"),
    ],
)
def test_a_reading_that_explains_the_row_is_given(tmp_path: Path, line: str, reading: str) -> None:
    row = only(table(tmp_path, "name,TP,FP,FN,TN,ACC,TPR,TNR", line))
    assert row.impossible
    assert any(reading in text for text in row.readings), row.readings


def test_counts_of_a_subset_are_recognised_by_the_class_sizes_of_another_row(tmp_path: Path) -> None:
    head = "name,TP,FP,FN,TN,ACC,TPR,TNR"
    path = table(tmp_path, head, "all,160,100,40,1700,.930,.800,.944", "part,30,5,20,45,.955,.700,.983")
    assert any("class sizes of row 'all'" in reading for reading in audit_table(path)[1].readings)


def test_a_mean_over_trainings_is_recognised(tmp_path: Path) -> None:
    row = only(table(tmp_path, "name,TP,FP,FN,TN,TPR", "a,5,1,5,9,.55"))
    assert row.readings == ["sensitivity may be a mean over trainings (at least 2), the counts those of one of them"]


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (".95,.9,.955", ""),  # sensitivity may be all but specificity: any share of positives gives these
        (".95,.80,.955", "imply 0.0 to 7.0 % positives"),  # the figures as printed allow -0.3 %, the classes do not
        (".99,.90,.95", "imply -"),  # above both: no mixture of the classes gives it
    ],
)
def test_an_implied_share_of_positives_says_something(tmp_path: Path, figures: str, words: str) -> None:
    row = only(table(tmp_path, "name,n,positives,ACC,TPR,TNR", f"a,200,20,{figures}"))
    said = [note for note in row.notes if "% positives" in note]
    assert [words in note for note in said] == ([True] if words else [])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["name,TP,FP,FN,TN", "a,1,2,3,4"], "no column of figures"),
        (["name,TP,FP,FN,ACC", "a,1,2,3,.5"], "line 2: TN is missing"),
        (["name,TP,FP,FN,TN,ACC", "a,1,2,x,4,.5"], "line 2: FN is 'x'"),
        (["name,TP,FP,FN,TN,ACC", "a,1,2,3,4,high"], "line 2: accuracy: 'high' is not a number"),
        (["name,n,TP,FP,FN,TN,ACC", "a,11,1,2,3,4,.5"], "n is 11, but the counts add up to 10"),
        (["name,n,positives,ACC", "a,10,20,.5"], "more cases of one class than n = 10"),
        (["name,acuracy", "a,.5"], "is 'accuracy' meant?"),
        (["name,ACCC", "a,.5"], "is 'ACC' meant?"),
        (["name,ACC", "a,.5,.6"], "line 2: expected 2 cells as in its head, found 3"),
        (["name,acc,accuracy", "a,.5,.5"], "the second one for accuracy"),
        (["name,ACC"], "the table has no rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_its_place(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        read_printed(table(tmp_path, *lines))


def test_the_command_tells_by_its_exit_code_and_as_json(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, [str(THESIS), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["impossible"] == 5
    assert found["rows"][0]["counts"] == {"tp": 227, "fp": 50, "fn": 28, "tn": 1578}
    good = table(tmp_path, "name,TP,FP,FN,TN,ACC,TPR,TNR", "a,227,50,28,1578,.959,.890,.969")
    done = runner.invoke(app, [str(good), "--plain"])
    assert done.exit_code == 0
    assert "every cell can be" in done.stdout


def test_the_documented_run_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    done = CliRunner().invoke(app, [str(THESIS), "--plain"])
    page = (ROOT / "docs" / "audit.md").read_text()
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert shown
    assert [line.rstrip() for line in shown[1].splitlines()] == [line.rstrip() for line in done.stdout.splitlines()]


def test_published_tables_have_a_source_and_their_own_digits() -> None:
    tables = {t.key: t for t in published_tables()}
    assert {t.status for t in tables.values()} == {"reported, not re-measured"}
    assert all(t.source and t.title for t in tables.values())
    recod = tables["recod_poster"]
    assert recod.rows == (("real", "83.4 ± 0.9"), ("real + synthetic", "84.7 ± 0.5"))
    assert [c.label for c in recod.columns if c.better == "higher"] == ["AUC %"]
    assert dict(tables["thesis_auc"].rows)["mixed"] == ".986"
    assert tables["carrasco_table_1"].rows[3] == ("fourth", ".24", "7.02", ".75", ".44", "101")


def test_an_index_that_does_not_fit_its_tables_is_named(tmp_path: Path) -> None:
    entry = {"key": "t", "title": "T", "source": "S", "directions": {"FID": "lower"}}
    (tmp_path / "index.json").write_text(json.dumps({"tables": [entry]}))
    (tmp_path / "t.csv").write_text("name,KID\na,1\n")
    with pytest.raises(DataError, match=r"t\.csv: has no column 'FID'"):
        published_tables(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"tables": [{**entry, "rank": 1}]}))
    with pytest.raises(DataError, match="rank"):
        published_tables(tmp_path)
