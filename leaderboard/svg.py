"""Drawings as inline SVG: coloured by the style of the page, so that they follow light and dark; no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from leaderboard.markup import Html, join, tag, text

Transform = Callable[[float], float]
Box = tuple[float, float, float, float]  # left, top, right, bottom
LEADING, SHIFT = 12, 7  # pixels: from one line of words to the next; steps in which names give way to each other
SERIES = 8  # colours and dashes in the style sheet: s0 … s7


def linear(value: float) -> float:
    """The identity: equal steps are equally long."""
    return value


def root(value: float) -> float:
    """Square root: room for small shares without leaving out zero."""
    return math.sqrt(max(0.0, value))


def log(value: float) -> float:
    """Logarithm: each doubling is equally long. Raises ValueError at zero and below."""
    return math.log(value)


@dataclass(frozen=True)
class Scale:
    """Maps ``low``…``high`` to pixels ``start``…``end``; values outside land on the nearer end."""

    low: float
    high: float
    start: float
    end: float
    transform: Transform = linear

    def __call__(self, value: float) -> float:
        """Pixels of ``value``, to a tenth."""
        low, high = self._ends
        share = (self.transform(value) - low) / (high - low) if high > low else 0.5
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self.transform(self.low), self.transform(self.high)

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies within."""
        return self.low <= value <= self.high


def around(values: Sequence[float], step: float = 0.05) -> tuple[float, float]:
    """The smallest interval between multiples of ``step`` that holds ``values`` and is not empty."""
    if not values:
        return 0.0, 1.0
    low = math.floor(min(values) / step + 1e-9) * step
    high = math.ceil(max(values) / step - 1e-9) * step
    return round(low, 10), round(max(high, low + step), 10)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about as many as asked for."""
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough - 1e-12)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 10) for i in range(int((high - first * step) / step + 1e-9) + 1)]


def path(points: Sequence[tuple[float, float]]) -> str:
    """The ``d`` of a line through ``points``."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


@dataclass(frozen=True)
class Datum:
    """A value with its interval, None where it is not known; ``words`` show when it is pointed at."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    words: str = ""


@dataclass
class Plot:
    """Axes, lines, points and a legend. Sizes in CSS pixels of the drawing's own 420 by 300 frame."""

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_transform: Transform = linear
    x_ticks: Sequence[float] | None = None
    description: str = ""
    width: int = 420
    height: int = 300
    parts: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)  # (class, label)
    taken: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.x = Scale(*self.x_range, 46, self.width - 12, self.x_transform)
        self.y = Scale(*self.y_range, self.height - 40, 10)

    def line(
        self, points: Sequence[tuple[float, float]], series: int, label: str, *, class_: str = "", dots: bool = False
    ) -> None:
        """A line of data points in the colour and dash of ``series``, with its legend entry."""
        place = [(self.x(x), self.y(y)) for x, y in points]
        name = f"s{series % SERIES} {class_}".strip()
        self.parts.append(f'<path class="line {name}" d="{path(place)}">{tag("title", label)}</path>')
        if dots:
            self.parts += [f'<circle class="dot {name}" cx="{x:g}" cy="{y:g}" r="3"/>' for x, y in place]
        self.legend.append((name, label))

    def curve(self, data: Sequence[Datum], series: int, label: str, *, shift: float = 0.0) -> None:
        """A line through ``data`` with their intervals, all ``shift`` pixels to the right, beside other curves."""
        place = [(round(self.x(d.x) + shift, 1), self.y(d.y)) for d in data]
        name = f"s{series % SERIES}"
        self.parts.append(f'<path class="line {name}" d="{path(place)}">{tag("title", label)}</path>')
        for d, (x, y) in zip(data, place, strict=True):
            whisker = "" if d.low is None or d.high is None else self._whisker(x, d.low, d.high, name)
            dot = f'<circle class="dot {name}" cx="{x:g}" cy="{y:g}" r="3"/>'
            self.parts.append(f"<g>{tag('title', d.words)}{whisker}{dot}</g>")
        self.legend.append((name, label))

    def _whisker(self, x: float, low: float, high: float, class_: str) -> str:
        bottom, top = self.y(low), self.y(high)
        ends = "".join(f"M{x - 3:g} {at:g}h6" for at in (bottom, top))
        return f'<path class="whisker {class_}" d="M{x:g} {bottom:g}V{top:g}{ends}"/>'

    def reference(self, y: float, low: float | None, high: float | None, label: str) -> None:
        """A dashed line across the frame with its interval as a band behind everything, named in the legend."""
        self.rule(y=y)
        if low is not None and high is not None:
            left, right, bottom, top = self.x.start, self.x.end, self.y(low), self.y(high)
            self.parts.insert(0, f'<path class="band" d="M{left:g} {bottom:g}H{right:g}V{top:g}H{left:g}Z"/>')
        self.legend.append(("rule", label))

    def bar(self, x: float, low: float, high: float, class_: str) -> None:
        """A vertical interval."""
        self.parts.append(f'<path class="bar {class_}" d="M{self.x(x):g} {self.y(low):g}V{self.y(high):g}"/>')

    def point(self, x: float, y: float, class_: str, label: str, shape: str = "circle") -> None:
        """A mark that names itself when pointed at."""
        at = f"translate({self.x(x):g} {self.y(y):g})"
        self.taken.append((self.x(x) - 5, self.y(y) - 5, self.x(x) + 5, self.y(y) + 5))
        self.parts.append(
            f'<path class="mark {class_}" transform="{at}" d="{SHAPES[shape]}">{tag("title", label)}</path>'
        )

    def label(self, x: float, y: float, words: str, anchor: str = "start", dx: float = 7, dy: float = 4) -> None:
        """Words beside a place in the data; names of points keep off them."""
        self._words(self.x(x) + dx, self.y(y) + dy, [words], anchor)

    def name(self, x: float, y: float, lines: Sequence[str]) -> None:
        """Lines of words beside a point, within the frame and where no others stand if there is such a place."""
        right = self.x(x) < (self.x.start + self.x.end) * 0.6
        sides = ((9, "start"), (-9, "end")) if right else ((-9, "end"), (9, "start"))
        first = self.y(y) + 4 - LEADING * (len(lines) - 1) / 2
        shifts = sorted((SHIFT * i for i in range(-6, 7)), key=lambda dy: (abs(dy), -dy))
        places = [(self.x(x) + dx, first + dy, anchor) for dy in shifts for dx, anchor in sides]
        (at_x, at_y, anchor) = next((place for place in places if self._is_free(_box(*place, lines))), places[0])
        self._words(at_x, at_y, lines, anchor)

    def _is_free(self, box: Box) -> bool:
        within = box[0] >= self.x.start and box[2] <= self.width and box[1] >= 0 and box[3] <= self.y.start
        return within and not any(_overlap(box, other) for other in self.taken)

    def _words(self, at_x: float, at_y: float, lines: Sequence[str], anchor: str) -> None:
        self.taken.append(_box(at_x, at_y, anchor, lines))
        self.parts += [
            f'<text class="note" x="{at_x:g}" y="{at_y + LEADING * i:g}" text-anchor="{anchor}">{text(words)}</text>'
            for i, words in enumerate(lines)
        ]

    def rule(self, *, x: float | None = None, y: float | None = None, label: str = "") -> None:
        """A dashed reference line across the frame."""
        if y is not None:
            at = f"M{self.x.start:g} {self.y(y):g}H{self.x.end:g}"
            if label:
                self.label(self.x_range[1], y, label, "end", dx=-2, dy=-4)
        else:
            at = f"M{self.x(x or 0.0):g} {self.y.end:g}V{self.y.start:g}"
            if label:
                self.label(x or 0.0, self.y_range[1], label, dx=3, dy=9)
        self.parts.insert(0, f'<path class="rule" d="{at}"/>')

    def diagonal(self) -> None:
        """The line y = x."""
        self.parts.insert(0, f'<path class="rule" d="{path([(self.x(v), self.y(v)) for v in (0, 1)])}"/>')

    def html(self) -> Html:
        """The figure: drawing, legend, caption, description."""
        view = f"0 0 {self.width} {self.height}"
        named = f"{self.title}. {self.description}".strip()
        frame = Html("".join([*self._axes(), *self.parts]))
        drawing = tag("svg", frame, class_="plot", viewBox=view, role="img", aria_label=named)
        return figure(drawing, self.title, self.description, self.legend)

    def _axes(self) -> list[str]:
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        out = []
        for value in self.x_ticks if self.x_ticks is not None else ticks(*self.x_range):
            at = self.x(value)
            out.append(f'<path class="grid" d="M{at:g} {bottom:g}V{top:g}"/>')
            out.append(f'<text class="tick" x="{at:g}" y="{bottom + 15:g}" text-anchor="middle">{value:g}</text>')
        for value in ticks(*self.y_range):
            at = self.y(value)
            out.append(f'<path class="grid" d="M{left:g} {at:g}H{right:g}"/>')
            out.append(f'<text class="tick" x="{left - 6:g}" y="{at + 4:g}" text-anchor="end">{value:g}</text>')
        middle, centre = (left + right) / 2, (top + bottom) / 2
        out.append(
            f'<text class="axis" x="{middle:g}" y="{self.height - 6}" text-anchor="middle">{text(self.x_label)}</text>'
        )
        turned = f'transform="translate(12 {centre:g}) rotate(-90)" text-anchor="middle"'
        return [*out, f'<text class="axis" {turned}>{text(self.y_label)}</text>']


def _box(x: float, y: float, anchor: str, lines: Sequence[str]) -> Box:
    """The room that lines of words take, about: letters of the drawings are 6 wide and 10 high."""
    width = 6.0 * max(map(len, lines))
    left = x if anchor == "start" else x - width
    return left, y - 9, left + width, y + 2 + LEADING * (len(lines) - 1)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


SHAPES = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "cross": "M-4 -4L4 4M-4 4L4 -4",
    "up": "M0 -5L5 4H-5Z",
    "down": "M0 5L5 -4H-5Z",
    "square": "M-4 -4H4V4H-4Z",
    "diamond": "M0 -5L5 0L0 5L-5 0Z",
}


KEY = '<svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="line {}" d="M1 4H23"/></svg>'


def figure(drawing: Html, title: str, description: str, legend: Sequence[tuple[str, str]] = ()) -> Html:
    """A drawing with its caption, and a key where there is more than one series."""
    key = Html("")
    if len(legend) > 1:
        entries = [tag("li", Html(KEY.format(name) + text(label))) for name, label in legend]
        key = tag("ul", join(entries), class_="legend")
    words = Html(f"<b>{text(title)}.</b> {text(description)}")
    return tag("figure", Html(drawing + key + tag("figcaption", words)))


def interval(
    value: float | None, low: float | None, high: float | None, scale: Scale, marks: Sequence[float] = ()
) -> Html:
    """A small interval for a table cell; the cell's own text says the same in digits, so readers skip the drawing."""
    if value is None:
        return Html("")
    out = "".join(f'<path class="m" d="M{scale(mark):g} 1V13"/>' for mark in marks if scale.holds(mark))
    if low is not None and high is not None:
        out += f'<path d="M{scale(low):g} 7H{scale(high):g}"/>'
    out += f'<circle cx="{scale(value):g}" cy="7" r="3"/>'
    width = int(scale.end + scale.start)
    return Html(f'<svg class="ci" width="{width}" height="14" viewBox="0 0 {width} 14" aria-hidden="true">{out}</svg>')
