"""Which types can be read as which, by the Avro specification."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from demo_pipeline.evolution.parsing import parse
from demo_pipeline.evolution.resolution import Kind, mismatches

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
PROMOTIONS: Final = {
    ("int", "long"), ("int", "float"), ("int", "double"), ("long", "float"), ("long", "double"),
    ("float", "double"), ("string", "bytes"),
}  # fmt: skip


def kinds(writer: Any, reader: Any) -> list[Kind]:
    found = mismatches(writer=parse(json.dumps(writer)), reader=parse(json.dumps(reader)))
    return [each.kind for each in found]


@pytest.mark.parametrize("writer", PRIMITIVES)
@pytest.mark.parametrize("reader", PRIMITIVES)
def test_a_primitive_is_read_as_itself_or_as_a_wider_one(writer: str, reader: str) -> None:
    readable = writer == reader or (writer, reader) in PROMOTIONS

    assert ([] if readable else [Kind.TYPE]) == kinds(writer, reader)
    assert readable == (kinds([writer], reader) == [])
    assert readable == (kinds(writer, [reader]) == [])


@pytest.mark.parametrize("more", [{"type": "record", "fields": []}, {"type": "fixed", "size": 2}])
def test_a_new_name_is_read_with_an_alias_and_namespaces_do_not_count(more: Any) -> None:
    old = {"name": "shop.Old", **more}

    assert [Kind.NAME] == kinds(old, {"name": "shop.New", **more})
    assert [] == kinds(old, {"name": "shop.New", "aliases": ["Old"], **more})
    assert [Kind.NAME] == kinds(old, {"name": "mall.New", "aliases": ["Old"], **more})
    assert [] == kinds(old, {"name": "mall.New", "aliases": ["shop.Old"], **more})
    assert [] == kinds(old, {"name": "mall.Old", **more})


def test_the_first_branch_that_matches_reads_a_value() -> None:
    assert [] == kinds("int", ["null", "double", "int"])
    assert [] == kinds(["bytes", "null"], ["null", "bytes"])
    # fastavro would decode the bytes as UTF-8.
    assert [Kind.TYPE] == kinds("bytes", ["string", "bytes"])
    assert [] == kinds("bytes", ["bytes", "string"])
    assert [] == kinds(["string", "bytes"], ["string", "bytes"])


def test_records_that_contain_themselves_are_compared_once() -> None:
    node: Any = {
        "type": "record", "name": "Node",
        "fields": [
            {"name": "next", "type": ["null", "Node"]},
            {"name": "others", "type": {"type": "array", "items": "Node"}},
            {"name": "n", "type": "int"},
        ],
    }  # fmt: skip

    assert [] == kinds(node, node)
    wider = json.loads(json.dumps(node).replace('"int"', '"long"'))
    assert [] == kinds(node, wider)
    assert [Kind.TYPE] == kinds(wider, node)
