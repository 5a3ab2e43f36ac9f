"""The layout of a batch: the pages that participants see, as classes with the service's names.

```python
from prolific_async import layout as ui

introduction = ui.Page.of(ui.RichText("<h1>Welcome</h1>"), position="intro")
comparison = ui.Page.of(
    ui.DatasetField("prompt"),
    [ui.DatasetField("answer_a"), ui.DatasetField("answer_b")],
    ui.MultipleChoice("Which is better?", ["A", "B"]),
    ui.FreeText("Why?", validation=ui.Validation("string", min=10)),
)
```

Pages and items that you make are checked at once, and a ``ValueError`` says which rule is broken,
and where. Those that are read (``Batch.layout``, ``from_dict``, pydantic) are not checked: they are
kept as the service sent them, with ids, unknown types and unknown keys, and ``to_dict`` returns
them so.

The package imports this module on its first use, as its classes take 10 ms to make.
"""

from prolific_async.layout.items import DatasetField, Image, Item, RichText, UnknownItem
from prolific_async.layout.options import Option, UnitOption, Validation
from prolific_async.layout.pages import Column, Page, Row, RowLike
from prolific_async.layout.questions import (
    FileUpload,
    FreeText,
    FreeTextWithUnit,
    MultipleChoice,
    MultipleChoiceWithFreeText,
    StarRating,
)
from prolific_async.layout.sending import LayoutLike

__all__ = [
    "Column",
    "DatasetField",
    "FileUpload",
    "FreeText",
    "FreeTextWithUnit",
    "Image",
    "Item",
    "LayoutLike",
    "MultipleChoice",
    "MultipleChoiceWithFreeText",
    "Option",
    "Page",
    "RichText",
    "Row",
    "RowLike",
    "StarRating",
    "UnitOption",
    "UnknownItem",
    "Validation",
]
