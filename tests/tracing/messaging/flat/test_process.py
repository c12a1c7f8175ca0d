"""What is handled on the flat path has the spans, metrics and contexts of the general code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider

import tracing
from tests.tracing.messaging.flat.both_ways import (
    BAGGAGE,
    NOW_MS,
    PARENT,
    UNSAMPLED,
    Records,
    Way,
    both_ways,
    headers,
    record,
)
from tracing import Telemetry, TracedConsumer
from tracing.core import log
from tracing.export.span_encoding import SpanEncoder
from tracing.headers.w3c import is_version_00
from tracing.kafka.transport import KAFKA
from tracing.messaging.catch_up import LaneCatchUp
from tracing.messaging.flat import process
from tracing.messaging.flat.engine import engine_of
from tracing.metrics.instruments import Count
from tracing.metrics.message_types import MAX_MESSAGE_TYPES, MAX_OTHER_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

_PROVIDER = TracerProvider(shutdown_on_exit=False)

MANY = b",".join([BAGGAGE, *(b"key.%d=value%%20%d" % (number, number) for number in range(9))])

_LATE = b"pipeline.origin=%d" % (NOW_MS + 3_600_000)

ORDINARY: dict[str, Callable[[], Any]] = {
    "event": lambda: record(headers()),
    "several of a flow": lambda: [record(headers(), offset) for offset in range(3)],
    "unsampled": lambda: record(headers(parent=UNSAMPLED)),
    "without a sender's span": lambda: record(headers(parent=None)),
    "without headers": lambda: record([]),
    "random flag": lambda: record(headers(parent=PARENT[:-1] + b"3")),
    "odd flags": lambda: record(headers(parent=PARENT[:-2] + b"fd")),
    "without baggage": lambda: record([pair for pair in headers() if pair[0] != "baggage"]),
    "foreign pipeline": lambda: record(headers(("baggage", BAGGAGE.replace(b"orders", b"shop")))),
    "ten entries": lambda: [record(headers(("baggage", MANY)), offset) for offset in range(2)],
    "baggage without an origin": lambda: record(headers(("baggage", b"a=1,b=2;property"))),
    "origin first": lambda: record(headers(("baggage", b"pipeline.origin=%d,x=1" % NOW_MS))),
    "application headers": lambda: record(headers(("x", b"1"), ("y", None))),
    "tombstone": lambda: record(headers(), value=None),
    "clock ahead": lambda: record(headers(), timestamp=NOW_MS + 60_000),
    "not UTF-8": lambda: record(
        [("ce_id", b"\xff"), ("ce_subject", "é".encode()), ("ce_time", b"?")]
    ),
    "long id": lambda: record([("ce_id", b"x" * 300), ("ce_subject", b"y" * 1024)]),
    "of the future": lambda: record([("ce_time", b"2999-01-02T03:04:05.678Z")]),
    "created just now": lambda: record([("ce_time", _just_now())]),
}


def _just_now() -> bytes:
    from datetime import UTC, datetime  # noqa: PLC0415

    return (
        datetime.fromtimestamp(NOW_MS / 1000 - 2, UTC).isoformat(timespec="milliseconds").encode()
    )


def _records(made: Any) -> list[Any]:
    return made if isinstance(made, list) else [made]


async def _loop(way: Way) -> None:
    async for handled in way.consumer:
        way.noted += [handled.offset, way.context()]
    way.noted.append(get_current())


async def _blocks(way: Way) -> None:
    for handled in way.consumer.wrapped._records:  # type: ignore[attr-defined]  # a double
        async with way.consumer.process(handled) as processing:
            way.noted += [processing.event, way.context(), processing.record.offset]
            assert processing.span is trace.get_current_span()
            assert tracing.current_processing() is processing
        way.noted.append(get_current())


@pytest.mark.parametrize("handle", [_loop, _blocks])
@pytest.mark.parametrize("name", ORDINARY)
async def test_an_ordinary_record(
    monkeypatch: pytest.MonkeyPatch, name: str, handle: Callable[[Way], Any]
) -> None:
    flat = await both_ways(monkeypatch, lambda: _records(ORDINARY[name]()), handle)

    assert flat.engine is not None
    assert not any(flat.engine.fallbacks.values())
    assert len(_records(ORDINARY[name]())) == flat.engine.taken["process"]


@pytest.mark.parametrize("parent", [PARENT, UNSAMPLED])
async def test_a_wait_of_the_handler_stays_on_the_flat_path(
    parent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def afterwards(ended: asyncio.Event) -> None:
        await ended.wait()
        tracing.waited_for("database", 0.0)

    async def handle(way: Way) -> None:
        ended = asyncio.Event()
        left_over = []
        async for _ in way.consumer:
            tracing.waited_for("database", 0.0)
            left_over.append(asyncio.create_task(afterwards(ended)))
        ended.set()
        await asyncio.gather(*left_over)

    flat = await both_ways(monkeypatch, lambda: [record(headers(parent=parent))], handle)

    waits: Any = flat.capture.metric("pipeline.resource.wait.duration", {"resource": "database"})
    assert 1 == waits.count
    assert flat.engine
    assert 1 == flat.engine.taken["process"]
    assert not any(flat.engine.fallbacks.values())


async def test_waits_before_and_after_the_general_code_takes_over_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def handle(way: Way) -> None:
        async for _ in way.consumer:
            await asyncio.sleep(0.02)
            tracing.waited_for("database", 0.005)
            processing = tracing.current_processing()
            assert processing is not None
            processing.reject("sold out")
            tracing.waited_for("database", 0.005)

    flat = await both_ways(monkeypatch, lambda: [record(headers())], handle)

    assert flat.engine
    assert 1 == flat.engine.taken["process"]
    (span,) = flat.capture.spans()
    assert 0.01 == (span.attributes or {})["pipeline.resource.wait.database"]


async def test_a_wait_in_another_attempt_is_on_the_span_of_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def handle(way: Way) -> None:
        async for _ in way.consumer:
            await asyncio.sleep(0.02)
            tracing.waited_for("database", 0.005)
            processing = tracing.current_processing()
            assert processing is not None
            error = ConnectionError()
            processing.attempt_failed(error)
            # Between the attempts, no handler waits.
            tracing.waited_for("database", 0.001)
            attempt = processing.retry(2, 0.0, error)
            await asyncio.sleep(0.02)
            tracing.waited_for("database", 0.003)
            attempt.end(None)

    flat = await both_ways(monkeypatch, lambda: [record(headers())], handle)

    assert flat.engine
    assert 1 == flat.engine.taken["process"]
    waits = [
        (span.attributes or {})["pipeline.resource.wait.database"] for span in flat.capture.spans()
    ]
    assert [0.003, 0.005] == waits


async def test_types_beyond_those_with_a_label_share_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound = MAX_MESSAGE_TYPES + MAX_OTHER_TYPES
    many = [[("ce_type", b"Type%d" % number)] for number in range(bound + 6)]

    flat = await both_ways(
        monkeypatch, lambda: [record(carried, at) for at, carried in enumerate(many)], _loop
    )

    assert flat.engine is not None
    assert bound + 6 == flat.engine.taken["process"]
    last = f"Type{bound + 5}"
    assert last == (flat.capture.spans()[-1].attributes or {})["cloudevents.event_type"]
    encoded = SpanEncoder().encode(flat.capture.spans()[-1:])
    assert 1 == encoded.count(last.encode())


async def test_records_behind_the_history_of_a_group_are_flat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def handle(way: Way) -> None:
        reached: list[LaneCatchUp] = []
        catch_up = LaneCatchUp(
            ("orders", 0), NOW_MS, transport=KAFKA, end_of=lambda _: 2, count=Count(),
            begun=reached.append, reached=reached.append, ended=reached.append,
            failed=lambda _: None,
        )  # fmt: skip
        catch_up.end = 2
        way.consumer._lanes["orders", 0].catching_up(catch_up)
        async for _ in way.consumer:
            way.noted.append((len(reached), catch_up.taken, way.context()))

    flat = await both_ways(monkeypatch, lambda: [record(headers(), at) for at in range(5)], handle)

    assert flat.engine is not None
    assert 3 == flat.engine.taken["process"]
    assert 2 == flat.engine.fallbacks["record"]


async def _polls(way: Way) -> None:
    for records in (await way.consumer.getmany()).values():
        for handled in reversed(records):
            async with way.consumer.process(handled):
                way.noted.append(way.context())


async def test_records_of_a_poll_are_linked_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = await both_ways(
        monkeypatch, lambda: [record(headers(), offset) for offset in range(3)], _polls
    )

    assert flat.engine is not None
    assert 3 == flat.engine.taken["process"]
    assert [1, 1, 1] == [len(span.links) for span in flat.capture.spans()[1:]]


UNUSUAL: dict[str, tuple[str, Callable[[], Any]]] = {
    "tracestate": ("context_headers", lambda: record(headers(("tracestate", b"a=1")))),
    "malformed parent": ("context_headers", lambda: record(headers(parent=PARENT.upper()))),
    "no trace": ("context_headers", lambda: record(headers(parent=b"00-%032d" % 0 + PARENT[35:]))),
    "no span": ("context_headers", lambda: record(headers(parent=PARENT[:36] + b"%016d-01" % 0))),
    "later version": ("context_headers", lambda: record(headers(parent=b"01" + PARENT[2:]))),
    "parent without a value": ("context_headers", lambda: record([("traceparent", None)])),
    "parent is no bytes": ("context_headers", lambda: record([("traceparent", "text")])),
    "long subject": ("headers", lambda: record([("ce_subject", b"y" * 2000)])),
    "duplicated": ("headers", lambda: record(headers(("ce_id", b"4712")))),
    "no pairs": ("headers", lambda: record(["header"])),
    "no pairs of many": ("headers", lambda: record([("a", b"b", b"c")] * 7)),
    "no headers": ("headers", lambda: record(None)),
    "type is no name": ("record", lambda: record([("ce_type", b"\x00")])),
    "type is no bytes": ("record", lambda: record([("ce_type", "text")])),
    "malformed baggage": ("baggage", lambda: record(headers(("baggage", b"\xff")))),
    "future origin": ("baggage", lambda: record(headers(("baggage", _LATE)))),
    "old origin": ("baggage", lambda: record(headers(("baggage", BAGGAGE[:-3])))),
    "two origins": ("baggage", lambda: record(headers(("baggage", BAGGAGE + b"," + BAGGAGE)))),
    "invalid pipeline": ("baggage", lambda: record(headers(("baggage", b"pipeline.name=%01,a=1")))),
    "long baggage": ("baggage", lambda: record(headers(("baggage", b"a=" + b"1" * 3000)))),
    "replayed": ("replayed", lambda: record(headers(("__pipeline.replay.group", b"g")))),
    "old": ("record", lambda: record(headers(), timestamp=NOW_MS - 3_700_000)),
    "without a time": ("record", lambda: record(headers(), timestamp=-1)),
}  # fmt: skip


@pytest.mark.parametrize("handle", [_loop, _blocks])
@pytest.mark.parametrize("name", UNUSUAL)
async def test_an_unusual_record_is_left_to_the_general_code_and_counted(
    monkeypatch: pytest.MonkeyPatch, name: str, handle: Callable[[Way], Any]
) -> None:
    reason, make = UNUSUAL[name]

    flat = await both_ways(monkeypatch, lambda: [make()], handle)

    assert flat.engine is not None
    assert {reason: 1} == {each: count for each, count in flat.engine.fallbacks.items() if count}
    assert 0 == flat.engine.taken["process"]


async def test_a_mistake_of_the_library_is_counted_as_such_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "EARLIEST_MS", "no number")
    monkeypatch.setattr(log, "_warned", set())

    flat = await both_ways(monkeypatch, lambda: [record(headers())] * 2, _loop)

    assert flat.engine is not None
    assert {"fault": 2} == {each: count for each, count in flat.engine.fallbacks.items() if count}
    (line,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert "flat path" in line
    assert "TypeError" in line


@given(
    st.lists(
        st.tuples(st.integers(0, 54), st.sampled_from(b"0123456789abcdefABFGg-_ +.\xff\0")),
        max_size=3,
    ),
    st.sampled_from([PARENT, UNSAMPLED, b"00-%032d-%016d-01" % (1, 1)]),
    st.sampled_from([0, 55, 54, 36, 3]),
)
def test_a_traceparent_is_flat_if_it_is_one_of_version_00(
    changes: list[tuple[int, int]], valid: bytes, cut: int
) -> None:
    header = bytearray(valid)
    for at, byte in changes:
        header[at] = byte
    parent = bytes(header[cut:])
    consumer = TracedConsumer(Records([]), Telemetry("orders", tracer_provider=_PROVIDER))  # type: ignore[arg-type]  # a double
    flat, engine = consumer._flat, engine_of(consumer.telemetry)
    assert flat is not None
    assert engine is not None

    handling = flat.begin(record(headers(parent=parent)))

    if handling is not None:
        handling.end_handling()
    assert (is_version_00(parent) is not None) == (handling is not None)
    assert (handling is None) == engine.fallbacks["context_headers"]
