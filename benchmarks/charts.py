"""Draws README's two bar charts from the table of 1,000 waits in benchmarks/README.md.

Each chart has a background of its own, which follows the reader's light or dark scheme, so its text
can be read on any page. Its type is large enough for the width of a phone.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import attrs

FOLDER = Path(__file__).parent
TABLE = "1,000 waits"
OURS = "prolific_async"
WIDTH, SIDE, TOP, ROW, BAR, BELOW = 420, 16, 52, 52, 18, 6
TITLE_SIZE = 18  # with wide letters, such as DejaVu's, the longest title still fits
LONGEST = WIDTH - 2 * SIDE - 64  # leaves room for the value behind the longest bar
THINNEST = 2.0  # a bar this wide can still be seen
STYLE = """
.back { fill: #ffffff; stroke: #d0d7de } .ink { fill: #1f2328 }
.ours { fill: #0969da } .other { fill: #818b98 }
@media (prefers-color-scheme: dark) {
.back { fill: #151b23; stroke: #3d444d } .ink { fill: #f0f6fc }
.ours { fill: #4493f8 } .other { fill: #9198a1 }
}
""".strip()


@attrs.frozen
class Bar:
    name: str
    value: float


@attrs.frozen
class Chart:
    """A chart of one column; `scale` turns the column's unit into the title's."""

    file: str
    title: str
    column: str
    scale: float = 1.0

    def draw(self, table: Sequence[dict[str, str]]) -> str:
        return bar_chart(
            self.title,
            [
                Bar(row[TABLE], number * self.scale)
                for row in table
                if (number := read_number(row[self.column])) is not None
            ],
        )


CHARTS = (
    Chart("requests.svg", "Requests a second, 1,000 waits", "requests/s"),
    # Microseconds for one wait to seconds for a thousand.
    Chart("cpu.svg", "CPU seconds a minute, 1,000 waits", "CPU of a wait and minute, µs", 1e-3),
)


def read_table(text: str, name: str) -> list[dict[str, str]]:
    """Return the rows of the Markdown table whose first column has this name."""
    lines = text.partition(f"\n| {name} ")[2].partition("\n\n")[0].splitlines()
    names, _, *rows = [[cell.strip() for cell in line.split("|")[:-1]] for line in lines]
    names[0] = name
    return [dict(zip(names, row[-len(names) :], strict=True)) for row in rows]


def read_number(cell: str) -> float | None:
    """Return the number in a cell of a table, None where it has none."""
    return float(cell.replace(",", "")) if re.fullmatch(r"[\d,.]+", cell) else None


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return an SVG of horizontal bars, each with its name above it and its value behind it."""
    height = TOP + ROW * len(bars) + BELOW
    longest = max(bar.value for bar in bars)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="sans-serif">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(title, SIDE, 32, f'font-size="{TITLE_SIZE}" font-weight="bold"'),
    ]
    for number, bar in enumerate(bars):
        y = TOP + ROW * number
        length = max(THINNEST, bar.value / longest * LONGEST)
        kind = "ours" if bar.name.startswith(OURS) else "other"
        lines += [
            text(bar.name, SIDE, y + 14),
            f'<rect class="{kind}" x="{SIDE}" y="{y + 21}" width="{length:.1f}" height="{BAR}"/>',
            text(f"{bar.value:,.1f}", SIDE + length + 8, y + 36),
        ]
    return "\n".join([*lines, "</svg>\n"])


def text(words: str, x: float, y: float, style: str = 'font-size="16"') -> str:
    return f'<text class="ink" x="{x:.1f}" y="{y}" {style}>{escape(words)}</text>'


def main() -> None:
    table = read_table((FOLDER / "README.md").read_text(encoding="utf-8"), TABLE)
    for chart in CHARTS:
        (FOLDER / chart.file).write_text(chart.draw(table), encoding="utf-8")


if __name__ == "__main__":
    main()
