"""The ``items`` argument: which layouts calls accept, and the JSON that is sent."""

from __future__ import annotations

import json
import re
import sys
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from prolific_async import layout as ui
from prolific_async.layout.sending import batch_items
from tests import samples
from tests.layout.wire_examples import PAGES

PAGE = ui.Page.of(ui.RichText("Hello"))
WIRE = PAGE.to_dict()


@pytest.mark.parametrize(
    "items",
    [
        [PAGE, PAGE],
        (PAGE, WIRE),
        [WIRE, MappingProxyType(WIRE)],
        {"batch_items": [PAGE, WIRE]},
        MappingProxyType({"batch_items": (WIRE, WIRE)}),
        [{"rows": PAGE.rows}, {"rows": [{"columns": PAGE.rows[0].columns}]}],
    ],
    ids=range(6),
)
def test_pages_and_json_are_taken(items: Any) -> None:
    assert batch_items(items) == [WIRE, WIRE]


def test_a_generator_is_taken() -> None:
    assert batch_items(page for page in [PAGE]) == [WIRE]


def test_an_empty_layout_is_sent_as_one() -> None:
    assert batch_items([]) == []
    assert batch_items({"batch_items": []}) == []


def test_the_layout_of_a_batch_is_sent_as_it_came() -> None:
    batch = samples.batch(batch_items=PAGES)
    assert batch.layout is not None
    assert batch.batch_items is not None
    assert batch_items(batch.layout) == batch_items(batch.batch_items) == PAGES


def test_json_is_not_judged_and_not_shared() -> None:
    given: list[dict[str, Any]] = [{"rows": [{"columns": [{"items": [{"type": "image"}]}]}]}, {}]
    sent = batch_items(given)
    assert sent == given
    sent[0]["rows"].append(1)
    assert len(given[0]["rows"]) == 1


def test_values_become_plain() -> None:
    class Text(str):
        __slots__ = ()

    page = {Text("rows"): (), "n": np.int64(3), "f": np.float32(0.5), "b": np.True_}
    (sent,) = batch_items([page | {"t": Text("a"), "none": None}])
    assert json.dumps(sent) == ('{"rows": [], "n": 3, "f": 0.5, "b": true, "t": "a", "none": null}')
    assert {type(key) for key in sent} == {str}
    assert type(sent["t"]) is str


WANTED = 'pages, a list of mappings, or {"batch_items": [...]}'


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (PAGE, f"items must be {WANTED}, not Page: put it in a list of pages"),
        (ui.RichText("a"), f"items must be {WANTED}, not RichText: put it in a list of pages"),
        ("text", f"items must be {WANTED}, not str"),
        (b"[]", f"items must be {WANTED}, not bytes"),
        (None, f"items must be {WANTED}, not NoneType"),
        (3, f"items must be {WANTED}, not int"),
        (samples.batch(), f"items must be {WANTED}, not Batch"),
        ({"batch_items": None}, f"items['batch_items'] must be {WANTED}, not NoneType"),
        ({"batch_items": {}}, f"items['batch_items'] must be {WANTED}, not dict"),
        ([PAGE, "text"], "items[1] must be a Page or a mapping, not str"),
        ([ui.RichText("a")], "items[0] must be a Page or a mapping, not RichText"),
        ([[PAGE]], "items[0] must be a Page or a mapping, not list"),
        ({"batch_items": [3]}, "items['batch_items'][0] must be a Page or a mapping, not int"),
    ],
)
def test_what_is_no_layout_is_a_type_error(items: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message) + "$"):
        batch_items(items)


def nested() -> list[Any]:
    inner: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"rows": []}, f"items must be {WANTED}; this mapping has the keys ['rows']"),
        ({}, f"items must be {WANTED}; this mapping has the keys []"),
        (
            samples.batch(batch_items=[]).to_dict(),
            f"items must be {WANTED}; this mapping has the keys ['id', ",
        ),
        ([{"rows": [{"x": {1, 2}}]}], "items[0]['rows'][0]['x'] is not JSON: {1, 2}"),
        ([{"rows": float("nan")}], "items[0]['rows'] is not JSON: nan"),
        ([{"rows": object}], "items[0]['rows'] is not JSON: <class 'object'>"),
        ([{"rows": b"a"}], "items[0]['rows'] is not JSON: b'a'"),
        ([{"rows": [{3: 4}]}], "items[0]['rows'][0] is not JSON: its key 3 is no text"),
        ([{"rows": nested()}], "items[0] is nested too deep"),
        (
            [ui.Page([], extra={"x": float("inf")})],
            "items[0]['x'] is not JSON: inf",
        ),
    ],
    ids=range(10),
)
def test_what_cannot_be_sent_is_a_value_error(items: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        batch_items(items)
