"""The rules of compatibility agree with what fastavro reads."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
from fastavro.validation import validate
from hypothesis import HealthCheck, assume, event, given, settings

from demo_pipeline.evolution.canonical import canonical_form, fingerprint
from demo_pipeline.evolution.changes import changes
from demo_pipeline.evolution.parsing import parse
from demo_pipeline.evolution.resolution import mismatches
from tests.demo_pipeline.evolution.schema_pairs import Json, reaching, schema_pairs, text

relaxed = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)


def reads(writer: Json, reader: Json, value: Any) -> bool:
    """Write a record with one schema and read it with the other: is it what the reader expects?"""
    data = BytesIO()
    fastavro.schemaless_writer(data, fastavro.parse_schema(writer), value)
    data.seek(0)
    expected = fastavro.parse_schema(reader)
    try:
        record = fastavro.schemaless_reader(data, fastavro.parse_schema(writer), expected)
    except Exception:  # fastavro raises whatever follows from a mismatch
        return False
    return bool(validate(record, expected, raise_errors=False))


@given(schema_pairs())
@relaxed
def test_what_is_declared_compatible_can_be_read(pair: tuple[Json, Json]) -> None:
    writer, reader = pair
    assume(not mismatches(writer=parse(text(writer)), reader=parse(text(reader))))
    event("compatible")

    assert [] == [value for value in reaching(writer) if not reads(writer, reader, value)]


@given(schema_pairs())
@relaxed
def test_what_is_refused_has_a_record_that_cannot_be_read(pair: tuple[Json, Json]) -> None:
    writer, reader = pair
    found = mismatches(writer=parse(text(writer)), reader=parse(text(reader)))
    assume(found)
    for mismatch in found:
        event(mismatch.kind)

    assert any(not reads(writer, reader, value) for value in reaching(writer))


@given(schema_pairs())
@relaxed
def test_a_fingerprint_differs_exactly_where_the_canonical_forms_do(
    pair: tuple[Json, Json],
) -> None:
    old, new = (parse(text(each)) for each in pair)

    assert (canonical_form(old) == canonical_form(new)) == (fingerprint(old) == fingerprint(new))
    assert (canonical_form(old) == canonical_form(new)) == (changes(old, new) == [])
