from xml.etree import ElementTree as ET

import pytest

from benchmarks import charts
from benchmarks.charts import Bar, Chart, bar_chart, read_number, read_table

SVG = "{http://www.w3.org/2000/svg}"
README = (charts.FOLDER / "README.md").read_text(encoding="utf-8")


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def widths(picture: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for bar in ET.fromstring(picture).iter(f"{SVG}rect"):
        found.setdefault(bar.attrib["class"], []).append(float(bar.attrib["width"]))
    return found


@pytest.mark.parametrize("chart", charts.CHARTS)
def test_the_charts_show_the_figures_of_the_table(chart: Chart) -> None:
    drawn = chart.draw(read_table(README, charts.TABLE))
    assert (charts.FOLDER / chart.file).read_text(encoding="utf-8") == drawn, (
        "run python -m benchmarks.charts"
    )
    assert len(widths(drawn)["ours"]) == 2
    assert {"naive loop", "backoff", "azure-core"} < set(texts(drawn))


def test_a_table_is_read_up_to_its_end() -> None:
    first = "\n| a | x |\n| - | - |\n| 1 | 2 |\n"
    second = "\n| b | y, z |\n| - | ---: |\n| one | 1,234.5 |\n| two | - |\n"
    rows = read_table(f"{first}{second}\nend", "b")
    assert rows == [{"b": "one", "y, z": "1,234.5"}, {"b": "two", "y, z": "-"}]
    assert [read_number(row["y, z"]) for row in rows] == [1234.5, None]


def test_bars_are_as_long_as_their_values_but_never_invisible() -> None:
    drawn = bar_chart("a < b", [Bar("prolific_async", 0.01), Bar("half", 50), Bar("whole", 100)])
    assert texts(drawn) == ["a < b", "prolific_async", "0.0", "half", "50.0", "whole", "100.0"]
    bars = widths(drawn)
    assert bars["ours"] == [charts.THINNEST]
    assert bars["other"] == [charts.LONGEST / 2, charts.LONGEST]


def test_the_longest_bar_leaves_room_for_its_value() -> None:
    (value,) = [
        element
        for element in ET.fromstring(bar_chart("", [Bar("", 9999.9)])).iter(f"{SVG}text")
        if element.text == "9,999.9"
    ]
    room = charts.WIDTH - float(value.attrib["x"])
    assert room >= len("9,999.9") * 16 * 0.5  # about half an em a digit


@pytest.mark.parametrize("chart", charts.CHARTS)
def test_a_title_fits_also_in_a_font_with_wide_letters(chart: Chart) -> None:
    ems = len(chart.title) * 0.6  # DejaVu Sans Bold
    assert ems * charts.TITLE_SIZE <= charts.WIDTH - 2 * charts.SIDE


def test_a_chart_has_colours_for_a_light_and_a_dark_page() -> None:
    light, dark = charts.STYLE.split("@media (prefers-color-scheme: dark)")
    for kind in ("back", "ink", "ours", "other"):
        assert f".{kind} {{" in light
        assert f".{kind} {{" in dark
