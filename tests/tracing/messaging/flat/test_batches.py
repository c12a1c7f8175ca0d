"""Batches on the flat path are read as by the general code, record by record."""

from __future__ import annotations

import asyncio
from functools import cache
from time import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiokafka.structs import ConsumerRecord, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from tracing import Boundary, Telemetry, TracedConsumer
from tracing.core import log
from tracing.messaging.fan_in import FanIn
from tracing.messaging.flat import batch
from tracing.messaging.flat.batch import FlatFanIn
from tracing.messaging.flat.engine import Engine, engine_of
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_MS: Final = int(time() * 1000)
ORIGIN: Final = b"pipeline.name=orders,pipeline.origin="
TRACE: Final = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
USUAL: Final = (
    ("traceparent", TRACE),
    ("baggage", ORIGIN + b"%d" % (NOW_MS - 5000)),
    ("ce_id", b"4711"),
    ("ce_source", b"/shop"),
    ("ce_type", b"OrderPlaced"),
)


def record(
    headers: Any = USUAL, *, offset: Any = 7, partition: int = 0, timestamp: Any = NOW_MS - 1000
) -> Any:
    return ConsumerRecord(
        "orders", partition, offset, timestamp, 0, b"k", b"v", None, 1, 1, headers
    )


def without(name: str) -> tuple[tuple[str, Any], ...]:
    return tuple((each, value) for each, value in USUAL if each != name)


def instead(name: str, value: Any) -> tuple[tuple[str, Any], ...]:
    return (*without(name), (name, value))


class Way:
    """A consumer, whose batches are read flat or not."""

    def __init__(self, **options: Any) -> None:
        self.capture = Capture("test")
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=self.capture.tracer_provider,
            meter_provider=self.capture.meter_provider,
            **options,
        )
        bare = InMemoryConsumer("orders", broker=InMemoryBroker())
        self.consumer = TracedConsumer(bare, self.telemetry, group="g")
        self.engine = engine_of(self.telemetry)
        self.lanes = self.consumer._lanes

    def read(self, records: Sequence[Any], *, flat: bool, max_links: int = 128) -> dict[str, Any]:
        handled = [(each, self.lanes["orders", each.partition]) for each in records]
        if flat:
            assert self.engine is not None
            read = FlatFanIn(self.engine, self.telemetry).read(handled, NOW_MS, max_links)
        else:
            read = FanIn(self.telemetry, NOW_MS, max_links)
            for each, lane in handled:
                read.add(each, lane)
        return {
            "flow": list(read.flow.items()),
            "links": [(link.context, list((link.attributes or {}).items())) for link in read.links],
            "deciding": read.links.deciding(),
            "unlinked": read.unlinked,
            "faults": read.faults,
            "arrived": [(each, wait, origin) for each, wait, origin, _ in read.arrived],
            "marks": read.marks,
            "lanes": [dict(lane.attributes) for lane in read.lanes],
        }


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> tuple[Way, Way]:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")
    general = Way()
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "on")
    return general, Way()


def taken(engine: Engine | None) -> int:
    assert engine is not None
    return engine.taken["batch"]


@pytest.mark.parametrize(
    "headers",
    [
        USUAL,
        instead("traceparent", TRACE[:-1] + b"0"),
        without("traceparent"),
        without("baggage"),
        without("ce_type"),
        instead("baggage", b"pipeline.name=orders"),
        instead("baggage", b"user=u1"),
        instead("baggage", b"user=u1,pipeline.name=refunds,pipeline.origin=%d" % (NOW_MS - 9)),
        (),
    ],
)
def test_an_ordinary_record_is_read_flat(ways: tuple[Way, Way], headers: Any) -> None:
    general, flat = ways

    assert general.read([record(headers)], flat=False) == flat.read([record(headers)], flat=True)
    assert 1 == taken(flat.engine)


@pytest.mark.parametrize(
    ("unusual", "reason"),
    [
        (record((*USUAL, ("tracestate", b"vendor=value"))), "context_headers"),
        (record(instead("traceparent", b"00-0-0-0")), "context_headers"),
        (record(instead("traceparent", None)), "context_headers"),
        (record((*USUAL, ("traceparent", TRACE))), "headers"),
        (record((*USUAL, *((f"h{each}", b"") for each in range(300)))), "headers"),
        (record(instead("baggage", b"")), "baggage"),
        (record(instead("baggage", ORIGIN + b"1")), "baggage"),
        (record(instead("baggage", ORIGIN + b"9" * 20)), "baggage"),
        (record(instead("baggage", "text")), "baggage"),
        (record(instead("ce_type", b"\xff")), "topic"),
        (record(instead("ce_type", "text")), "topic"),
        (
            record(
                (*USUAL, ("__pipeline.replay.group", b"g"), ("__pipeline.replay.id", b"orders/0/1"))
            ),
            "replayed",
        ),
        (record(timestamp=-1), "record"),
        (record(timestamp=1000), "record"),
        (record(timestamp=None), "record"),
        (record(None), "headers"),
        (record("none"), "headers"),
        (record([*USUAL, ("a", b"b", b"c")]), "headers"),
    ],
)
def test_an_unusual_record_is_left_to_the_general_code(
    ways: tuple[Way, Way], unusual: Any, reason: str
) -> None:
    general, flat = ways
    records = [record(), unusual, record(partition=1)]

    assert general.read(records, flat=False) == flat.read(records, flat=True)
    assert flat.engine is not None
    assert {reason: 1} == {each: n for each, n in flat.engine.fallbacks.items() if n}
    assert 2 == taken(flat.engine)


def test_a_mistake_of_the_library_is_counted_as_such_and_logged(
    ways: tuple[Way, Way], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(batch, "EARLIEST_MS", "no number")
    monkeypatch.setattr(log, "_warned", set())
    general, flat = ways

    assert general.read([record()], flat=False) == flat.read([record()], flat=True)
    assert flat.engine is not None
    assert {"fault": 1} == {each: n for each, n in flat.engine.fallbacks.items() if n}
    assert 1 == sum("flat path" in each.getMessage() for each in caplog.records)


def test_a_topic_with_a_boundary_is_left_to_the_general_code() -> None:
    way = Way(boundaries={"orders": Boundary(trace_context=False)})

    assert [] == way.read([record()], flat=True)["links"]
    assert 0 == taken(way.engine)


def test_records_beyond_the_limit_are_counted_and_not_linked(ways: tuple[Way, Way]) -> None:
    general, flat = ways
    records = [record(offset=offset) for offset in range(5)]

    read = flat.read(records, flat=True, max_links=3)

    assert general.read(records, flat=False, max_links=3) == read
    assert 3 == len(read["links"])
    assert 2 == read["unlinked"]


def _digits(origin_ms: int) -> bytes:
    return ORIGIN + b"%d" % origin_ms


_TRACES = st.sampled_from(
    [None, TRACE, TRACE[:-1] + b"0", TRACE.replace(b"0af7", b"1af7"), b"", b"00-", b"\xff"]
)
_BAGGAGE = st.one_of(
    st.none(),
    st.integers(NOW_MS - 10_000, NOW_MS + 10_000).map(_digits),
    st.sampled_from(
        [
            _digits(NOW_MS - 7000) + b",user=u1",
            _digits(NOW_MS - 8000) + b",user=u1,tenant=t",
            b"pipeline.name=refunds,pipeline.origin=%d" % (NOW_MS - 9000),
            b"user=u1",
            b"",
            b"=",
        ]
    ),
)
_RECORDS = st.builds(
    lambda trace, baggage, kind, offset, partition, wait_ms, replayed: record(
        tuple(
            (name, value)
            for name, value in (
                ("traceparent", trace),
                ("baggage", baggage),
                ("ce_type", kind),
                ("__pipeline.replay.group", replayed),
                ("__pipeline.replay.id", replayed and b"orders/0/1"),
            )
            if value is not None
        ),
        offset=offset,
        partition=partition,
        timestamp=NOW_MS - wait_ms,
    ),
    _TRACES,
    _BAGGAGE,
    st.sampled_from([None, b"OrderPlaced", b"OrderPaid", b"\x00"]),
    st.integers(2, 1 << 40),
    st.integers(0, 2),
    st.integers(-1000, 100_000),
    st.sampled_from([None, None, None, b"g"]),
)


@given(st.lists(_RECORDS, max_size=6), st.integers(0, 4))
@settings(deadline=None, max_examples=100)
def test_both_ways_read_the_same(records: list[Any], max_links: int) -> None:
    general, flat = _both()

    assert general.read(records, flat=False, max_links=max_links) == flat.read(
        records, flat=True, max_links=max_links
    )
    for count in ("clock_skew", "origin_skew"):
        assert (
            getattr(general.telemetry.diagnostics, count).value
            == getattr(flat.telemetry.diagnostics, count).value
        )
    assert _metrics(general) == _metrics(flat)


@cache
def _both() -> tuple[Way, Way]:
    return Way(), Way()


def _metrics(way: Way) -> list[Any]:
    data = way.capture._metric_reader.get_metrics_data()
    assert data is not None
    return sorted(
        (metric.name, sorted((point.attributes or {}).items()), getattr(point, "value", None))
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if "context.invalid" in metric.name
    )


async def _polled_and_handled(way: Way, records: Sequence[Any]) -> list[Any]:
    partitions: dict[TopicPartition, list[Any]] = {}
    for each in records:
        partitions.setdefault(TopicPartition("orders", each.partition), []).append(each)
    way.consumer._polling.polled(partitions, 0.0, 1)
    async with way.consumer.process_batch(records):
        await asyncio.sleep(0)
    return [
        (
            span.name,
            span.kind,
            [
                (name, value)
                for name, value in (span.attributes or {}).items()
                if not name.endswith(".duration")
            ],
            [
                (
                    hex(link.context.trace_id) if link.attributes else "the poll",
                    list((link.attributes or {}).items()),
                )
                for link in span.links
            ],
        )
        for span in way.capture.spans()
    ]


async def test_the_spans_of_polls_and_batches_are_the_same_both_ways(
    ways: tuple[Way, Way],
) -> None:
    general, flat = ways
    records = [
        *(record(offset=offset, partition=offset % 3) for offset in range(140)),
        record(instead("ce_type", b"OrderPaid"), offset=140),
        record((*USUAL, ("tracestate", b"vendor=value")), offset=141),
    ]

    shown = await _polled_and_handled(flat, records)

    assert await _polled_and_handled(general, records) == shown
    assert ["poll orders", "process orders"] == [name for name, *_ in shown]
    assert [128, 128] == [len(links) for *_, links in shown]
    assert 141 == taken(flat.engine)
    for way in ways:
        waits: Any = way.capture.metric("pipeline.wait.duration")
        lags: Any = way.capture.metric("pipeline.end_to_end.duration")
        assert (142, 142) == (waits.count, lags.count)
        assert 142 == way.capture.metric("messaging.client.consumed.messages")
