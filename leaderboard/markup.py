"""HTML from plain values: everything that is not made here is escaped here."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

SPECIAL = re.compile("[&<>\"']")  # most texts have none, and looking is quicker than replacing five times


class Html(str):
    """Text that is HTML already; anything else is escaped when it meets this module."""

    __slots__ = ()

    def __add__(self, other: str) -> str:
        """HTML and HTML is HTML; with other text it is text, and will be escaped."""
        joined = super().__add__(other)
        return Html(joined) if isinstance(other, Html) else joined

    def __html__(self) -> str:
        """For templates that escape by themselves."""
        return self


def text(value: object) -> str:
    """``value`` as HTML that shows it literally."""
    if isinstance(value, Html):
        return value
    shown = str(value)
    return html.escape(shown) if SPECIAL.search(shown) else shown


def join(parts: Iterable[object], between: str = "") -> Html:
    """``parts`` escaped where they are not HTML, one after the other."""
    return Html(between.join([part if type(part) is Html else text(part) for part in parts]))


def tag(name: str, content: object = "", **attributes: object) -> Html:
    """An element; ``class_`` and ``aria_label`` become ``class`` and ``aria-label``; None leaves an attribute out."""
    shown = ""
    for key, value in attributes.items():
        if value is not None:
            said = str(value)
            shown += f' {_attribute(key)}="{html.escape(said) if SPECIAL.search(said) else said}"'
    return Html(f"<{name}{shown}>{content if type(content) is Html else text(content)}</{name}>")


@cache
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def listing(items: Sequence[object], class_: str | None = None) -> Html:
    """A bullet list, or nothing without items."""
    return tag("ul", join(tag("li", item) for item in items), class_=class_) if items else Html("")


def definitions(pairs: Iterable[tuple[object, object]], class_: str | None = None) -> Html:
    """A description list of those pairs that have a value."""
    rows = join(tag("dt", name) + tag("dd", value) for name, value in pairs if value not in (None, ""))
    return tag("dl", rows, class_=class_)


def definition_rows(pairs: Iterable[tuple[object, object]]) -> Html:
    """Pairs of a description list, each in a box of its own."""
    return join(tag("div", tag("dt", name) + tag("dd", value)) for name, value in pairs if value not in (None, ""))


def fold(summary: object, content: object, class_: str | None = None) -> Html:
    """Something that opens on demand, without script."""
    return tag("details", Html(tag("summary", summary) + text(content)), class_=class_)


@dataclass(frozen=True)
class Table:
    """A table whose first cell of each row heads the row. ``numbers``: columns (from 0) that hold numbers."""

    caption: object
    heads: Sequence[object]
    rows: Sequence[Sequence[object]]
    numbers: frozenset[int] = frozenset()

    def html(self) -> Html:
        """The table in a box that scrolls sideways by itself, and by keyboard."""
        head = join(tag("th", cell, scope="col", class_=self._class(i)) for i, cell in enumerate(self.heads))
        body = join(tag("tr", self._row(row)) for row in self.rows)
        inner = tag("caption", tag("span", self.caption)) + tag("thead", tag("tr", head)) + tag("tbody", body)
        return scroll(tag("table", Html(inner)), self.caption)

    def _class(self, column: int) -> str | None:
        return "n" if column in self.numbers else None

    def _row(self, row: Sequence[object]) -> Html:
        cells = [str(tag("th", row[0], scope="row"))] if row else []
        for i, cell in enumerate(row[1:], 1):
            cells.append(f'<td class="n">{text(cell)}</td>' if i in self.numbers else f"<td>{text(cell)}</td>")
        return Html("".join(cells))


def scroll(table: Html, label: object) -> Html:
    """A box around a table that may be wider than the screen."""
    plain = label if not isinstance(label, Html) else "table"
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=plain)
