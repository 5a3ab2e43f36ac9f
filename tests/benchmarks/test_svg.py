from xml.etree import ElementTree as ET

import pytest

from benchmarks.svg import Axis, Labels, Panel, Point, Series, chart

NAMESPACE = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{NAMESPACE}text")]


def panel(*series: Series) -> Panel:
    return Panel("Title", "x & more", "y", series)


def test_an_axis_is_logarithmic() -> None:
    axis = Axis.over("", [1, 10, 100], 300)
    assert axis.at(10) == pytest.approx(150)
    assert axis.at(100) - axis.at(10) == pytest.approx(axis.at(10) - axis.at(1))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 1000], ["1", "10", "100", "1,000"]),
        ([0.03, 0.4], ["0.05", "0.1", "0.2", "0.5"]),
        ([4, 30], ["5", "10", "20"]),
        ([10], ["10"]),
    ],
)
def test_ticks_are_round_and_neither_few_nor_many(values: list[float], labels: list[str]) -> None:
    ticks = list(Axis.over("", values, 300).ticks())
    assert [label for _, label in ticks] == labels
    assert all(0 <= place <= 300 for place, _ in ticks)


def test_a_chart_is_xml_with_every_series_in_its_legend_once() -> None:
    ours = Series("ours", 0, [Point(1, 1, 3, "1k"), Point(10, 2, None, "10k")])
    naive = Series("naive", 1, [Point(100, 1)])
    said = words(chart([panel(ours, naive), panel(naive)], "A note."))
    assert said[-3:] == ["ours", "naive", "A note."]
    assert {"x & more", "1k", "10k"} < set(said)
    assert said.count("naive") == 1


def test_marks_on_each_other_share_their_label() -> None:
    ours = Series("ours", 0, [Point(1, 1, None, "1k"), Point(1, 1, None, "10k")])
    naive = Series("naive", 1, [Point(1, 1, None, "1k"), Point(100, 1, None, "1k")])
    said = words(chart([panel(ours, naive)], ""))
    assert [word for word in said if "k" in word] == ["1k, 10k", "1k"]


def test_labels_that_would_lie_on_each_other_stand_on_both_sides() -> None:
    labels = Labels()
    for x, word in ((100, "1k"), (130, "10k"), (200, "100k")):
        labels.add(x, 50, "red", word)
    drawn = list(labels.drawn())
    assert ["end" in label for label in drawn] == [False, True, False]
    assert 'x="122.0"' in drawn[1]
