"""Line charts over logarithmic axes as SVG text: small, without a library, and good to diff.

The ground is transparent and every colour of middle brightness, so that a chart can be read on a
light page as well as on a dark one; every series has a mark of its own beside its colour.
"""

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

import attrs

INK = "#7a7a7a"
STYLES = (
    ("#1a86d9", "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z"),
    ("#0f9d76", "M-4.5,-4.5h9v9h-9z"),
    ("#8b6fd6", "M0,-6L6,0L0,6L-6,0z"),
    ("#e0691a", "M0,-6L5.5,4.5H-5.5z"),
    ("#d6538f", "M0,6L5.5,-4.5H-5.5z"),
    ("#a88a14", "M-1.5,-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z"),
    (INK, "M-5,-1.5h10v3h-10z"),
)
LINE = 18
MARGIN = 0.12  # decades beyond the outermost values
FEW_DECADES = 2.0
NEAR = 22  # marks closer than this share a label
WORD = 45  # about the width of a label
LEFT, RIGHT, TOP, BOTTOM = 64, 40, 34, 44  # around a panel, for its titles and ticks


@attrs.frozen
class Point:
    """Where a mark is, the end of a thin line upwards from it, and a word beside it."""

    x: float
    y: float
    up_to: float | None = None
    label: str = ""


@attrs.frozen
class Series:
    """Points joined by a line; `style` is a place in STYLES, the same wherever it is drawn."""

    name: str
    style: int
    points: Sequence[Point]


@attrs.frozen
class Axis:
    """A logarithmic axis from one exponent of ten to another, `length` long."""

    title: str
    low: float
    high: float
    length: float

    @classmethod
    def over(cls, title: str, values: Sequence[float], length: float) -> "Axis":
        low, high = math.log10(min(values)), math.log10(max(values))
        return cls(title, low - MARGIN, high + MARGIN, length)

    def at(self, value: float) -> float:
        return (math.log10(value) - self.low) / (self.high - self.low) * self.length

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Powers of ten, with 2 and 5 times those where they alone would be too few."""
        factors = (1, 2, 5) if self.high - self.low < FEW_DECADES else (1,)
        for power in range(math.floor(self.low), math.ceil(self.high) + 1):
            for factor in factors:
                place = self.at(factor * 10.0**power)
                if 0 <= place <= self.length:
                    yield place, f"{factor * 10.0**power:,.{max(0, -power)}f}"


class Labels:
    """Words beside marks, right or else left; marks that lie on each other share theirs."""

    def __init__(self) -> None:
        self._placed: list[tuple[float, float, str, list[str]]] = []

    def add(self, x: float, y: float, colour: str, word: str) -> None:
        for other_x, other_y, _, words in self._placed:
            if math.dist((x, y), (other_x, other_y)) < NEAR:
                if word not in words:
                    words.append(word)
                return
        self._placed.append((x, y, colour, [word]))

    def drawn(self) -> Iterator[str]:
        right: list[tuple[float, float]] = []
        for x, y, colour, words in self._placed:
            if any(abs(x - one) < WORD and abs(y - other) < LINE for one, other in right):
                yield text(x - 8, y + 17, ", ".join(words), colour=colour, anchor="end")
            else:
                yield text(x + 8, y + 17, ", ".join(words), colour=colour)
                right.append((x, y))


@attrs.frozen
class Panel:
    title: str
    x_title: str
    y_title: str
    series: Sequence[Series]
    width: float = 330
    height: float = 260

    def drawn(self) -> Iterator[str]:
        """Its elements, the origin at the upper left corner of its axes."""
        points = [point for series in self.series for point in series.points]
        x_axis = Axis.over(self.x_title, [point.x for point in points], self.width)
        heights = [value for point in points for value in (point.y, point.up_to or point.y)]
        y_axis = Axis.over(self.y_title, heights, self.height)
        yield text(0, -14, self.title, weight="bold")
        for place, label in x_axis.ticks():
            yield line((place, 0), (place, self.height), opacity=0.3)
            yield text(place, self.height + 16, label, anchor="middle")
        for place, label in y_axis.ticks():
            yield line((0, self.height - place), (self.width, self.height - place), opacity=0.3)
            yield text(-8, self.height - place + 4, label, anchor="end")
        yield text(self.width / 2, self.height + 36, x_axis.title, anchor="middle")
        middle = f"translate({8 - LEFT},{self.height / 2}) rotate(-90)"
        yield f'<g transform="{middle}">{text(0, 4, y_axis.title, anchor="middle")}</g>'
        labels = Labels()
        for series in self.series:
            yield from self._series(series, x_axis, y_axis, labels)
        yield from labels.drawn()

    def _series(self, series: Series, x_axis: Axis, y_axis: Axis, labels: Labels) -> Iterator[str]:
        colour, _ = STYLES[series.style]
        places = [(x_axis.at(p.x), self.height - y_axis.at(p.y)) for p in series.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        for point, (x, y) in zip(series.points, places, strict=True):
            if point.up_to is not None:
                top = self.height - y_axis.at(point.up_to)
                yield line((x, y), (x, top), colour=colour)
                yield line((x - 4, top), (x + 4, top), colour=colour)
            yield mark(series.style, x, y)
            if point.label:
                labels.add(x, y, colour, point.label)


def text(
    x: float, y: float, words: str, *, anchor: str = "start", weight: str = "", colour: str = INK
) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {where}{bold}>{escape(words)}</text>"


def line(
    begin: tuple[float, float], end: tuple[float, float], *, colour: str = INK, opacity: float = 1
) -> str:
    (x1, y1), (x2, y2) = begin, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-opacity="{opacity}"/>'


def mark(style: int, x: float, y: float) -> str:
    colour, shape = STYLES[style]
    return f'<path d="{shape}" transform="translate({x:.1f},{y:.1f})" fill="{colour}"/>'


def moved(x: float, y: float, elements: Sequence[str]) -> str:
    return "\n".join([f'<g transform="translate({x:.1f},{y:.1f})">', *elements, "</g>"])


def chart(panels: Sequence[Panel], note: str) -> str:
    """The panels side by side, a legend of all their series below, and a last line of text."""
    series = {each.name: each for panel in panels for each in panel.series}
    elements, x = [], 0.0
    for panel in panels:
        elements.append(moved(x + LEFT, TOP, list(panel.drawn())))
        x += LEFT + panel.width + RIGHT
    y = TOP + max(panel.height for panel in panels) + BOTTOM + LINE
    columns = max(1, int(x // 220))
    for number, each in enumerate(series.values()):
        row, column = divmod(number, columns)
        left, middle = LEFT + column * 220, y + row * LINE
        elements += [mark(each.style, left, middle - 4), text(left + 12, middle, each.name)]
    y += -(-len(series) // columns) * LINE
    elements.append(text(LEFT - 6, y + 4, note))
    size = f'width="{x:.0f}" height="{y + LINE:.0f}" viewBox="0 0 {x:.0f} {y + LINE:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif"'
    return "\n".join([f'{head} font-size="12">', *elements, "</svg>\n"])
