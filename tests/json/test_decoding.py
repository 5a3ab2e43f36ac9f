"""Decoding of JSON within bounds, compared with the json module."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prolific_async._json.decoding import decode, decode_at
from tests.fuzz.strategies import json_values

SHAPES = {"arrays": ("[", "1", "]"), "objects": ('{"a":', "1", "}"), "both": ('[{"a":', "1", "}]")}


def nested(shape: str, depth: int) -> str:
    opening, inner, closing = SHAPES[shape]
    return opening * depth + inner + closing * depth


def refused(text: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is polled by the tests
        decode(text)
    return str(caught.value)


@given(json_values, st.sampled_from([None, 1]))
def test_every_value_comes_back(value: Any, indent: int | None) -> None:
    assert decode(json.dumps(value, indent=indent)) == value
    assert decode(" " + json.dumps(value, ensure_ascii=False) + "\n") == value


@given(st.text('[]{}:,"\\ue0-+1.tn \ud800\ufeff', max_size=20))
def test_documents_that_the_json_module_refuses_are_refused(text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError:
        assert refused(text)
    else:
        assert decode(text) == value


@pytest.mark.parametrize("shape", SHAPES)
def test_deeply_nested_documents_are_refused(shape: str) -> None:
    assert json.dumps(decode(nested(shape, 100)), separators=(",", ":")) == nested(shape, 100)
    text = nested(shape, 100_000)
    assert refused(text) == "nested too deep"
    with pytest.raises(ValueError, match="nested too deep"):
        decode_at(text, 0)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_refused(constant: str) -> None:
    assert constant in refused(f'{{"a": [{constant}]}}')


def test_numbers_are_in_range_or_refused() -> None:
    assert decode("[1e308, -1e308, 1e-999, 1E+2]") == [1e308, -1e308, 0.0, 100.0]
    for text in ("1e309", "-1e309", "1" + "0" * 400 + ".5"):
        assert refused(text) == "a number is out of range"
    assert decode("9" * 4300) == int("9" * 4300)
    assert "4300 digits" in refused("9" * 4301)


def test_the_last_of_equal_keys_counts() -> None:
    assert decode('{"a": 1, "a": 2}') == {"a": 2}


def test_half_a_surrogate_pair_is_kept() -> None:
    assert decode(r'"\ud83d"') == "\ud83d"
