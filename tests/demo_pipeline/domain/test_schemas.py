"""Dataclasses, schemas and their history agree."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from demo_pipeline.domain.schemas import FOLDER, History, committed, parse
from demo_pipeline.domain.topics import TOPIC_OF

NAMES = sorted(message.__name__ for message in TOPIC_OF)


def _avro_type(annotation: Any, seen: set[str]) -> Any:
    """Return the Avro type of a dataclass's field."""
    if annotation is str:
        return "string"
    if annotation is int:
        return "long"
    if annotation is date:
        return {"type": "int", "logicalType": "date"}
    if get_origin(annotation) is tuple:
        return {"type": "array", "items": _avro_type(get_args(annotation)[0], seen)}
    if get_origin(annotation) is UnionType:
        some = [each for each in get_args(annotation) if each is not type(None)]
        return ["null", *(_avro_type(each, seen) for each in some)]
    return _record(annotation, seen)


def _record(message: Any, seen: set[str]) -> dict[str, Any]:
    outermost = not seen
    seen.add(message.__name__)
    hints = get_type_hints(message)
    fields = []
    for field in dataclasses.fields(message):
        expected = {"name": field.name, "type": _avro_type(hints[field.name], seen)}
        if field.default is not dataclasses.MISSING:
            expected["default"] = field.default
        fields.append(expected)
    record = {"type": "record", "name": message.__name__, "fields": fields}
    return {**record, "namespace": "demo_pipeline"} if outermost else record


def _without_docs(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_docs(value) for key, value in schema.items() if key != "doc"}
    if isinstance(schema, list):
        return [_without_docs(each) for each in schema]
    return schema


@pytest.mark.parametrize("message", TOPIC_OF, ids=lambda message: message.__name__)
def test_the_current_schema_has_the_fields_types_and_defaults_of_the_dataclass(
    message: type,
) -> None:
    schema = json.loads((FOLDER / f"{message.__name__}.avsc").read_text())
    assert _record(message, set()) == _without_docs(schema)


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_released_schema_is_the_current_one(name: str) -> None:
    assert (FOLDER / f"{name}.avsc").read_text() == committed().released(name).text


def test_every_message_has_a_schema_and_every_schema_has_a_message() -> None:
    assert NAMES == sorted(
        file.name.removesuffix(".avsc") for file in FOLDER.iterdir() if file.name.endswith(".avsc")
    )
    assert NAMES == sorted(each.name for each in (FOLDER / "history").iterdir() if each.is_dir())


def test_every_released_version_has_an_id_and_versions_have_no_gap() -> None:
    ids = json.loads((FOLDER / "history" / "ids.json").read_text())
    released = sorted((entry["subject"], entry["version"]) for entry in ids.values())
    files = {
        name: sorted(file.name for file in (FOLDER / "history" / name).iterdir()) for name in NAMES
    }
    assert [str(number) for number in range(1, len(ids) + 1)] == list(ids)
    assert released == sorted(
        (f"demo_pipeline.{name}", number)
        for name in NAMES
        for number in range(1, len(files[name]) + 1)
    )
    assert files == {
        name: sorted(f"v{number}.avsc" for number in range(1, len(files[name]) + 1))
        for name in NAMES
    }


@pytest.mark.parametrize("schema", committed().schemas, ids=str)
def test_the_subject_of_a_schema_is_the_full_name_of_its_record(schema: Any) -> None:
    ids = json.loads((FOLDER / "history" / "ids.json").read_text())
    entry = ids[str(committed().id_of(schema))]
    assert (schema.subject, schema.version) == (entry["subject"], entry["version"])


def test_a_version_that_was_never_released_is_an_error() -> None:
    with pytest.raises(LookupError, match="OrderShipped has no schema of version 99: add it"):
        committed().released("OrderShipped", 99)


@pytest.mark.parametrize("text", ["", "[]", '"string"', '{"type": "record"}', "[" * 100_000])
def test_what_is_no_schema_of_a_record_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="schema"):
        parse(text)


def test_a_history_is_read_once_for_the_whole_process() -> None:
    assert committed() is committed()
    assert isinstance(committed(), History)
