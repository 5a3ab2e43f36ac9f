"""Layouts in pydantic and FastAPI: read, written and described as their wire form is."""

from __future__ import annotations

import json
import warnings
from typing import Any

import aiohttp
import attrs
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter, ValidationError

from prolific_async import layout as ui
from prolific_async.layout.items import ITEMS
from prolific_async.layout.part import Part
from tests.fastapi.serving import serving
from tests.layout.wire_examples import PAGES, WITH_IDS, page

CLASSES: list[type[Part]] = [*ITEMS, ui.Page, ui.Row, ui.Column]
CLASSES += [ui.Option, ui.UnitOption, ui.Validation]
LAYOUTS = TypeAdapter(list[ui.Page])


class Form(BaseModel):
    """A model of an application's own."""

    page: ui.Page
    items: list[ui.Item] = []
    anything: Any = None


def test_layouts_are_read_and_written_as_their_wire_form() -> None:
    read = LAYOUTS.validate_python(PAGES)
    assert read == [ui.Page.from_dict(wire) for wire in PAGES]
    assert LAYOUTS.validate_json(json.dumps(PAGES)) == read
    assert LAYOUTS.dump_python(read) == PAGES
    assert json.loads(LAYOUTS.dump_json(read)) == PAGES
    assert all(one is again for one, again in zip(read, LAYOUTS.validate_python(read), strict=True))


def test_items_are_told_apart_within_a_model() -> None:
    made: list[ui.Item] = [ui.FreeText("?"), ui.UnknownItem("film", extra={"a": 1})]
    anything = [ui.Option("A", 1), *made]
    form = Form(page=ui.Page.of(ui.FreeText("?")), items=made, anything=anything)
    wire = json.loads(form.model_dump_json())
    assert wire["anything"] == [one.to_dict() for one in anything]
    assert wire["items"] == [one.to_dict() for one in made]
    again = Form.model_validate(wire | {"items": WITH_IDS})
    assert [one.to_dict() for one in again.items] == WITH_IDS
    assert [type(one) for one in again.items] == [
        {attrs.fields(cls).type.default: cls for cls in ITEMS}.get(one["type"], ui.UnknownItem)
        for one in WITH_IDS
    ]


def test_faults_have_their_places() -> None:
    wire = page({"type": "image", "url": 3})
    with pytest.raises(ValidationError) as caught:
        LAYOUTS.validate_python([wire])
    at = (0, "rows", 0, "columns", 0, "items", 0)
    assert {(one["loc"], one["type"]) for one in caught.value.errors()} == {
        ((*at, "url"), "decode_error"),
        ((*at, "alt_text"), "missing"),
    }


@pytest.mark.parametrize("mode", ["python", "json"])
def test_parts_can_be_left_out(mode: Any) -> None:
    read = ui.Page.from_dict(page(*WITH_IDS, id="p", title="New"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dump = TypeAdapter(ui.Page).dump_python
        assert dump(read, mode=mode, exclude={"rows"}) == {"id": "p", "title": "New"}
        assert dump(read, mode=mode, include={"rows"}) == page(*WITH_IDS)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_every_field_is_described_and_nothing_else_is(cls: type[Part], mode: Any) -> None:
    schema = TypeAdapter(cls).json_schema(mode=mode)
    if "$ref" in schema:
        schema = schema["$defs"][cls.__name__]
    shown = [field for field in attrs.fields(cls) if field.init and field.name != "extra"]
    assert set(schema["properties"]) == {field.name for field in shown}
    assert schema["title"] == cls.__name__
    assert schema["additionalProperties"] is True
    for field in shown:
        described = schema["properties"][field.name]
        assert described["description"].endswith(".")
        assert (field.name in schema.get("required", ())) is (field.default is attrs.NOTHING)
        if field.name == "type" and cls not in (ui.UnknownItem, ui.Validation):
            assert described["const"] == described["default"] == field.default


async def test_a_route_takes_and_returns_pages() -> None:
    app = FastAPI()

    @app.post("/pages")
    async def echo(pages: list[ui.Page]) -> list[ui.Page]:
        return pages

    schemas = app.openapi()["components"]["schemas"]
    assert {cls.__name__ for cls in CLASSES} <= set(schemas)
    items = schemas["Column"]["properties"]["items"]["items"]["anyOf"]
    assert items == [{"$ref": f"#/components/schemas/{cls.__name__}"} for cls in ITEMS]
    async with (
        serving(app) as url,
        aiohttp.request("POST", f"{url}/pages", json=PAGES) as answer,
    ):
        assert answer.status == 200
        assert await answer.json() == PAGES
