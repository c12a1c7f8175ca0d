"""The differences between two versions, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from demo_pipeline.evolution.changes import Change, changes
from demo_pipeline.evolution.parsing import parse
from tests.demo_pipeline.evolution.change_table import field

Json = Any


def record(*fields: Json, **more: Any) -> Json:
    return {"type": "record", "name": "Order", "fields": list(fields)} | more


def enum(*symbols: str, **more: Any) -> Json:
    return {"type": "enum", "name": "Paid", "symbols": list(symbols)} | more


NODE = {
    "type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (record(field("a", "int")), record(field("a", "int", doc="a number"), doc="x"), []),
        (
            record(), record(field("a", ["null", "string"], default=None)),
            [Change("a", "added", None, "null or string, default null")],
        ),
        (record(field("a", "int")), record(), [Change("a", "removed", "int, no default")]),
        (
            record(field("a", "int")), record(field("a", "long")),
            [Change("a", "type", "int", "long")],
        ),
        (
            record(field("a", "int")), record(field("b", "int", aliases=["a"])),
            [Change("b", "renamed", "a", "b"), Change("b", "alias added", None, "a")],
        ),
        (
            record(field("a", "int", default=1)), record(field("a", "int", default=2)),
            [Change("a", "default", "1", "2")],
        ),
        (
            record(field("a", "int")), record(field("a", "int", default=2)),
            [Change("a", "default", None, "2")],
        ),
        (
            record(field("a", "int"), field("b", "int")),
            record(field("b", "int"), field("a", "int")),
            [Change("", "order of the fields", "a, b", "b, a")],
        ),
        (
            record(field("a", {"type": "array", "items": enum("A", "B")})),
            record(field("a", {"type": "array", "items": enum("B", "C", default="B")})),
            [
                Change("a[]", "symbol removed", "A"), Change("a[]", "symbol added", None, "C"),
                Change("a[]", "default of the enum", None, "B"),
            ],
        ),
        (
            record(field("a", {"type": "map", "values": "int"})),
            record(field("a", {"type": "map", "values": "string"})),
            [Change("a{}", "type", "int", "string")],
        ),
        (
            record(field("a", ["null", "int"])), record(field("a", ["null", "int", "string"])),
            [Change("a", "type", "null or int", "null or int or string")],
        ),
        (
            record(field("a", ["null", "int"])), record(field("a", ["int", "null"])),
            [Change("a", "order of the union", "null or int", "int or null")],
        ),
        (
            record(field("a", ["null", enum("A")])), record(field("a", ["null", enum("A", "B")])),
            [Change("a", "symbol added", None, "B")],
        ),
        (
            record(field("a", {"type": "fixed", "name": "F", "size": 1})),
            record(field("a", {"type": "fixed", "name": "F", "size": 2})),
            [Change("a", "type", "fixed F of size 1", "fixed F of size 2")],
        ),
        (
            record(field("a", "long")),
            record(field("a", {"type": "long", "logicalType": "timestamp-millis"})),
            [Change("a", "type", "long", "long (timestamp-millis)")],
        ),
        (
            record(), record(name="Basket", aliases=["Order"]),
            [Change("", "name", "Order", "Basket"), Change("", "alias added", None, "Order")],
        ),
        (
            NODE, NODE | {"fields": [*NODE["fields"], field("n", "int")]},
            [Change("n", "added", None, "int, no default")],
        ),
    ],
)  # fmt: skip
def test_changes_are_listed_by_field(old: Json, new: Json, expected: list[Change]) -> None:
    assert expected == changes(parse(json.dumps(old)), parse(json.dumps(new)))
