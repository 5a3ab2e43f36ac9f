"""The escaping of a report's texts is undone once, and what people have typed stays."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async._report.escaping import unescaped, unescaped_cells

SIGNS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "#39": "'", "#x27": "'"}
LEFT_ALONE = "&lt &copy=1 &nbsp; &#34; &AMP; &#X27; &#60;"

# What entities are made of, whole and in parts that may come together to one.
PARTS = [
    *(f"&{name};" for name in SIGNS),
    *SIGNS,
    "&",
    ";",
    "#",
    "&amp",
    "amp;",
    "\0",
    "x",
    "🙂",
    "<",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)
ESCAPES = [
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&#x27;", "&#39;"),
]


def in_one_pass(text: str) -> str:
    return re.sub(f"&({'|'.join(SIGNS)});", lambda entity: SIGNS[entity[1]], text)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("&amp; &lt; &gt; &quot; &#39; &#x27;", "& < > \" ' '"),
        ("&amp;amp;", "&amp;"),
        ("&amp;lt; &amp;#39;", "&lt; &#39;"),
        (LEFT_ALONE, LEFT_ALONE),
        ("&&amp;lt;;", "&&lt;;"),
    ],
)
def test_six_entities_are_undone_once(escaped: str, text: str) -> None:
    assert unescaped(escaped) == text


@given(text=TEXTS)
def test_no_sign_that_was_made_is_part_of_another_entity(text: str) -> None:
    assert unescaped(text) == in_one_pass(text)


@pytest.mark.parametrize("escape", ESCAPES)
@given(typed=st.lists(TEXTS | st.text(), max_size=6))
def test_what_people_have_typed_comes_back(escape: object, typed: list[str]) -> None:
    assert callable(escape)
    assert list(unescaped_cells(list(map(escape, typed)))) == typed


@given(cells=st.lists(TEXTS, max_size=6))
def test_cells_are_undone_each_for_itself(cells: list[str]) -> None:
    assert list(unescaped_cells(cells)) == list(map(in_one_pass, cells))


@pytest.mark.parametrize("long", ["", "x" * 100_000])
def test_an_entity_ends_with_its_cell(long: str) -> None:
    cells = ["&amp;", "&", "amp;", "&#3", "9;", f"{long}&lt;"]
    assert list(unescaped_cells(cells)) == ["&", "&", "amp;", "&#3", "9;", f"{long}<"]
