"""Which versions of a schema were written and read, as the report shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from demo_pipeline.report.facts import read_spans
from demo_pipeline.report.schema_versions import SchemaVersions, schema_versions
from tests.demo_pipeline.report.showing import line_with, page, printed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo_pipeline.report.recording import Recorder

SUBJECT = "shop.Placed"


def _use(
    recorder: Recorder, service: str, operation: str, version: int, reader: int | None = None,
    *, subject: str = SUBJECT,
) -> None:  # fmt: skip
    attributes: dict[str, str | int | float] = {
        "messaging.operation.name": operation,
        "messaging.destination.name": "orders.events",
        "pipeline.schema.subject": subject,
        "pipeline.schema.version": version,
    }
    if reader is not None:
        attributes["pipeline.schema.reader.version"] = reader
    kind = SpanKind.PRODUCER if operation == "send" else SpanKind.CONSUMER
    recorder.span(service, f"{operation} orders.events", kind, 0, 1, attributes=attributes)


def _evolve(recorder: Recorder, subject: str = SUBJECT) -> None:
    """Write two versions; payment still reads with the first one, analytics with the second."""
    for version in (2, 1, 2):
        _use(recorder, "orders", "send", version, subject=subject)
        _use(recorder, "payment", "process", version, None if version == 1 else 1, subject=subject)
        _use(
            recorder, "analytics", "process", version, None if version == 2 else 2, subject=subject
        )


def test_writers_come_first_and_readers_have_the_version_that_they_read_with(
    recorder: Recorder,
) -> None:
    _evolve(recorder)

    numbers = {1: 1, 2: 2}
    assert (
        SchemaVersions(SUBJECT, "orders", numbers, {}, ()),
        SchemaVersions(SUBJECT, "analytics", {}, numbers, (2,)),
        SchemaVersions(SUBJECT, "payment", {}, numbers, (1,)),
    ) == schema_versions(read_spans(recorder.spans))


def test_one_version_that_is_read_with_another_one_is_shown(recorder: Recorder) -> None:
    _use(recorder, "payment", "process", 1, 2)

    (shown,) = schema_versions(read_spans(recorder.spans))
    assert ({1: 1}, (2,)) == (shown.read, shown.readers)


def test_schemas_with_one_version_are_not_shown(recorder: Recorder, tmp_path: Path) -> None:
    recorder.order("a")
    _use(recorder, "orders", "send", 3)
    _use(recorder, "payment", "process", 3)

    assert () == schema_versions(read_spans(recorder.spans))
    assert "Schema versions" not in printed(recorder.result("a"), 140)
    assert "Schema versions" not in page(recorder.result("a"), tmp_path).text


def test_the_terminal_and_the_page_show_the_versions(recorder: Recorder, tmp_path: Path) -> None:
    recorder.order("a")
    _evolve(recorder)
    result = recorder.result("a")

    text = printed(result, 140)
    assert "orders: shop.Placed v1: 1, v2: 2 - -" == _line("orders: shop.Placed", text)
    assert "payment: shop.Placed - v1: 1, v2: 2 v1" == _line("payment: shop.Placed", text)
    shown = page(result, tmp_path).text
    assert "payment shop.Placed-v1: 1, v2: 2v1" in shown


def _line(start: str, text: str) -> str:
    return " ".join(line_with(start, text).split())


def test_nothing_of_a_schema_becomes_markup_or_a_control_character(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder.order("a")
    _evolve(recorder, "<script>alert(1)</script>\x1b[31m")

    assert "\x1b" not in printed(recorder.result("a"), 160)
    tags = [tag for tag, _ in page(recorder.result("a"), tmp_path).elements]
    assert 2 == tags.count("script")
