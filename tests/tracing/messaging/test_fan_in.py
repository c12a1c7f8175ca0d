"""Many records handled as one, and one that becomes many: their flow and their lag."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord
from opentelemetry import baggage
from opentelemetry.context import Context, attach, detach

import tracing
from tests.tracing.messaging.test_traces import named
from tracing.delivery.inbox import Duplicates
from tracing.headers.flow import in_flow
from tracing.headers.identity import EventIdentity
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, assert_span_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.tracing.conftest import Clients
    from tracing import Telemetry, TracedConsumer

WAIT = "pipeline.wait.duration"
END_TO_END = "pipeline.end_to_end.duration"
REPLAYED = {"__pipeline.replay.group": "g", "__pipeline.replay.id": "t/0/1"}


def _record(
    offset: int, *, flow_s: float, headers: Mapping[str, str] | None = None, more: str = ""
) -> Any:
    now_ms = int(time.time() * 1000)
    written = {
        "baggage": f"pipeline.name=orders,pipeline.origin={now_ms - int(flow_s * 1000)}{more}",
        "ce_id": f"e-{offset}",
        "ce_source": "/test",
        **(headers or {}),
    }
    return ConsumerRecord(
        "t", 0, offset, now_ms - 1000, 0, None, b"x", None, 0, 1,
        tuple((name, value.encode()) for name, value in written.items()),
    )  # fmt: skip


@pytest.fixture
def consumer(telemetry: Telemetry) -> TracedConsumer:
    bare = InMemoryConsumer("t", broker=InMemoryBroker())
    return tracing.TracedConsumer(bare, telemetry, group="g")


def _count_and_sum(capture: Capture, name: str) -> Any:
    found: Any = capture.metric(name, {"messaging.destination.name": "t"})
    return (0, 0.0) if found is None else (found.count, found.sum)


async def test_the_result_of_a_batch_is_linked_to_all_records_and_carries_the_oldest_origin(
    clients: Clients, capture: Capture
) -> None:
    orders, totals = await clients.topic(), await clients.topic("totals")
    producer = await clients.producer()
    batches = await clients.consumer(orders, group="totals")
    results = await clients.consumer(totals, group="reports")
    now_ms = int(time.time() * 1000)
    for age_s in (10, 60, 30):
        flow = f"pipeline.name=orders,pipeline.origin={now_ms - age_s * 1000}"
        with _in_flow(flow):
            await producer.send_and_wait(orders, b"v", partition=0)

    records: list[Any] = []
    while len(records) < 3:
        for found in (await batches.getmany(timeout_ms=1000)).values():
            records += found
    async with batches.process_batch(records):
        await producer.send_and_wait(totals, b"3")
    flows = []
    async for total in results:
        flows.append(dict(total.headers)["baggage"])
        break
    await results.stop()

    assert [f"pipeline.name=orders,pipeline.origin={now_ms - 60_000}".encode()] == flows
    assert_span_tree(
        [span for span in capture.spans() if not span.name.startswith("poll")],
        named(
            """
            send $orders PRODUCER
            send $orders PRODUCER
            send $orders PRODUCER
            process $orders CONSUMER messaging.batch.message_count=3$links
              send $totals PRODUCER
                process $totals CONSUMER
            """.replace("$links", " ~> send $orders" * 3 + " ~> ?"),  # the last is the poll
            orders=orders,
            totals=totals,
        ),
        attributes=["messaging.batch.message_count"],
        links=True,
    )  # fmt: skip
    found_lag: Any = capture.metric(END_TO_END, {"messaging.consumer.group.name": "reports"})
    assert (1, pytest.approx(60, abs=5)) == (found_lag.count, found_lag.sum)


async def test_one_record_that_becomes_many_gives_its_origin_to_each(
    clients: Clients, capture: Capture
) -> None:
    orders, mails = await clients.topic(), await clients.topic("mails")
    producer = await clients.producer()
    handled = await clients.consumer(orders, group="mailing")
    sent = await clients.consumer(mails, group="post")
    flow = f"pipeline.name=orders,pipeline.origin={int(time.time() * 1000) - 42_000}"
    with _in_flow(flow):
        await producer.send_and_wait(orders, b"v")

    async for _ in handled:
        for number in range(3):
            await producer.send_and_wait(mails, b"m", partition=number % 2)
        break
    await handled.stop()
    origins = []
    async for mail in sent:
        origins.append(dict(mail.headers)["baggage"])
        if len(origins) == 3:
            break
    await sent.stop()

    assert [flow.encode()] * 3 == origins
    assert_span_tree(
        capture.spans(),
        named(
            """
            send $orders PRODUCER
              process $orders CONSUMER
                send $mails PRODUCER
                  process $mails CONSUMER
                send $mails PRODUCER
                  process $mails CONSUMER
                send $mails PRODUCER
                  process $mails CONSUMER
            """,
            orders=orders,
            mails=mails,
        ),
    )


async def test_each_record_of_a_batch_has_its_own_times_and_the_batch_is_counted_once(
    consumer: TracedConsumer, capture: Capture
) -> None:
    async with consumer.process_batch([_record(0, flow_s=5), _record(1, flow_s=15)]):
        pass

    assert (2, pytest.approx(2, abs=0.5)) == _count_and_sum(capture, WAIT)
    assert (2, pytest.approx(20, abs=0.5)) == _count_and_sum(capture, END_TO_END)
    assert 1 == _count_and_sum(capture, "messaging.process.duration")[0]


async def test_replays_and_duplicates_in_a_batch_record_no_lag(
    consumer: TracedConsumer, capture: Capture, telemetry: Telemetry
) -> None:
    records = [
        _record(0, flow_s=5),
        _record(1, flow_s=5),
        _record(2, flow_s=90_000, headers=REPLAYED),
    ]
    async with consumer.process_batch(records):
        Duplicates(telemetry, "g").skipped("t", EventIdentity.of(records[1]))
        flow = _flow_of_a_send()

    assert (2, 1) == (_count_and_sum(capture, WAIT)[0], _count_and_sum(capture, END_TO_END)[0])
    assert int(time.time() * 1000) - int(flow["pipeline.origin"]) < 60_000


async def test_baggage_is_kept_where_all_records_agree(consumer: TracedConsumer) -> None:
    records = [
        _record(0, flow_s=5, more=",tenant=a,region=north"),
        _record(1, flow_s=5, more=",tenant=a,region=south"),
    ]
    async with consumer.process_batch(records):
        flow = _flow_of_a_send()

    assert {"pipeline.name", "pipeline.origin", "tenant"} == flow.keys()


async def test_a_failed_batch_raises_and_ends_no_flow(
    consumer: TracedConsumer, capture: Capture
) -> None:
    with pytest.raises(ConnectionError):
        async with consumer.process_batch([_record(0, flow_s=5), _record(1, flow_s=5)]):
            raise ConnectionError("no database")

    assert_span_tree(
        capture.spans(),
        "process t CONSUMER ERROR error.type=ConnectionError pipeline.outcome=error",
        attributes=["error.type", "pipeline.outcome"],
    )
    assert (2, 0) == (_count_and_sum(capture, WAIT)[0], _count_and_sum(capture, END_TO_END)[0])


async def test_a_rejected_batch_is_not_an_error(consumer: TracedConsumer, capture: Capture) -> None:
    with pytest.raises(tracing.Rejected):
        async with consumer.process_batch([_record(0, flow_s=5)]):
            raise tracing.Rejected("closed")

    assert_span_tree(
        capture.spans(),
        "process t CONSUMER pipeline.outcome=rejected pipeline.rejection.reason=closed",
        attributes=["pipeline.outcome", "pipeline.rejection.reason"],
    )


async def test_a_batch_of_several_topics_has_no_destination(
    consumer: TracedConsumer, capture: Capture
) -> None:
    one, other = _record(0, flow_s=5), _record(1, flow_s=5)
    object.__setattr__(other, "topic", "u")
    async with consumer.process_batch([one, other]):
        pass

    (span,) = capture.spans()
    assert "process" == span.name
    assert "messaging.destination.name" not in (span.attributes or {})


async def test_links_are_capped_and_their_number_is_recorded(
    consumer: TracedConsumer, capture: Capture
) -> None:
    parent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with consumer.process_batch(
        [_record(offset, flow_s=5, headers=parent) for offset in range(130)]
    ):
        pass

    (span,) = capture.spans()
    attributes: Any = span.attributes
    assert (128, 2) == (len(span.links), attributes["pipeline.links.dropped"])
    assert 130 == attributes["messaging.batch.message_count"]
    assert 2 == capture.metric("pipeline.telemetry.dropped", {"reason": "links"})


async def test_an_empty_batch_and_invalid_headers_do_no_harm(
    consumer: TracedConsumer, capture: Capture
) -> None:
    async with consumer.process_batch([]):
        pass
    assert () == tuple(capture.spans())
    broken = _record(0, flow_s=5, headers={"traceparent": "?", "baggage": ",,=;"})
    object.__setattr__(broken, "headers", (*broken.headers, ("baggage", None), ("x", b"\xff")))
    async with consumer.process_batch([broken]) as batch:
        assert (broken,) == batch.records
        assert batch is tracing.current_batch()
    assert tracing.current_batch() is None
    assert 1 == len(capture.spans())


async def test_a_batch_can_be_retried_and_entering_it_twice_does_no_harm(
    consumer: TracedConsumer, capture: Capture
) -> None:
    batch = consumer.process_batch([_record(0, flow_s=5)])
    with pytest.raises(ConnectionError):
        async with batch:
            raise ConnectionError
    async with batch, batch:
        pass

    assert tracing.current_batch() is None
    assert_span_tree(
        capture.spans(),
        "process t CONSUMER ERROR pipeline.outcome=error\nprocess t CONSUMER pipeline.outcome=ok",
        attributes=["pipeline.outcome"],
    )


async def test_the_result_of_replays_alone_keeps_their_origin(consumer: TracedConsumer) -> None:
    async with consumer.process_batch([_record(2, flow_s=90_000, headers=REPLAYED)]):
        flow = _flow_of_a_send()

    assert int(time.time() * 1000) - int(flow["pipeline.origin"]) >= 90_000_000


@pytest.mark.parametrize("origin", ["0", "99999999999999"])
async def test_an_impossible_origin_does_not_become_that_of_the_batch(
    consumer: TracedConsumer, capture: Capture, origin: str
) -> None:
    evil = {"baggage": f"pipeline.name=evil,pipeline.origin={origin}"}
    async with consumer.process_batch([_record(0, flow_s=5, headers=evil), _record(1, flow_s=5)]):
        assert "orders" == _flow_of_a_send()["pipeline.name"]

    assert 1 == capture.metric("pipeline.context.invalid", {"reason": "origin"})


async def test_error_types_and_pipelines_are_bounded_over_all_batches_and_partitions(
    consumer: TracedConsumer, capture: Capture
) -> None:
    for number in range(60):
        record = _record(0, flow_s=5, headers={"baggage": f"pipeline.name=p{number}"})
        object.__setattr__(record, "partition", number)
        kind = type(f"Error{number}", (Exception,), {})
        with pytest.raises(kind):
            async with consumer.process_batch([record]):
                raise kind

    rest: Any = capture.metric("messaging.process.duration", {"error.type": "_OTHER"})
    waits: Any = capture.metric(WAIT, {"pipeline": "_OTHER"})
    assert (28, 29) == (rest.count, waits.count)


async def test_a_batch_without_a_timestamp_still_has_a_span(
    consumer: TracedConsumer, capture: Capture
) -> None:
    record = _record(0, flow_s=5)
    object.__setattr__(record, "timestamp", None)
    async with consumer.process_batch([record]):
        pass

    assert (1, 0) == (len(capture.spans()), _count_and_sum(capture, WAIT)[0])


async def test_the_span_of_a_batch_has_its_longest_wait_and_lag(
    consumer: TracedConsumer, capture: Capture
) -> None:
    async with consumer.process_batch([_record(0, flow_s=5), _record(1, flow_s=15)]):
        pass

    (span,) = capture.spans()
    attributes: Any = span.attributes
    assert 1 == pytest.approx(attributes["pipeline.wait.duration"], abs=0.5)
    assert 15 == pytest.approx(attributes["pipeline.end_to_end.duration"], abs=0.5)


def _flow_of_a_send() -> dict[str, Any]:
    return dict(baggage.get_all())


@contextmanager
def _in_flow(written: str) -> Iterator[None]:
    flow = dict(entry.split("=") for entry in written.split(","))
    token = attach(Context(in_flow(flow)))
    try:
        yield
    finally:
        detach(token)
