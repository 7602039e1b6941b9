"""Tables of the terminal: their look, and what metrics are called in them."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

ACRONYMS = {
    "auc": "AUC",
    "c_t": "C_T",
    "fid": "FID",
    "fid_infinity": "FID ∞",
    "kid": "KID",
    "ece": "ECE",
    "auc_macro": "AUC macro",
    "pauc80": "pAUC above 80 % TPR",
    "nn_ratio": "NN ratio",
    "ppl2_wend": "PPL (W)",
    "ppl_zend": "PPL (z)",
    "lpips_diversity": "LPIPS diversity",
    "membership_auc": "membership AUC",
    "membership_tpr01": "membership TPR at 1 %",
}


def make_table(title: str, *columns: str) -> Table:
    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    for column in columns:
        table.add_column(column, vertical="top", overflow="fold")
    return table


def facts_grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def small_print(text: str) -> Text:
    return Text(text, style="dim")


def metric_title(name: str) -> str:
    """ "AUC", "sensitivity @youden", "FID melanoma"."""
    base, _, rest = name.partition("@")
    base, _, of = base.partition("[")
    words = ACRONYMS.get(base, base.replace("_", " "))
    return " ".join(part for part in (words, of.rstrip("]"), f"@{rest}" if rest else "") if part)
