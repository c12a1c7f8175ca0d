"""Sends of traces that the sampler drops end, and are refused by the flat path, as all others."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import RecordMetadata, TopicPartition
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from tests.tracing.messaging.flat.send_world import MOMENT, SendWorld, current
from tracing import Boundary, TracedProducer
from tracing.core.otel_context import SUPPRESSED
from tracing.messaging.flat.engine import engine_of
from tracing.metrics.histograms import Aggregator

_SENT_MS = int(MOMENT.timestamp() * 1000)
_PLACE = TopicPartition("orders", 0)


def _written(timestamp_ms: int) -> RecordMetadata:
    return RecordMetadata("orders", 0, _PLACE, 7, timestamp_ms, 0, 0)


ENDS: dict[str, Any] = {
    "acknowledged": _written(_SENT_MS + 3_600_000),
    "acknowledged by a broker whose clock is behind": _written(_SENT_MS - 3_600_000),
    "sent without an acknowledgement": None,
    "failed": KafkaTimeoutError(),
    "cancelled": asyncio.CancelledError(),
}


async def _left_by(end: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str], int]:
    """Return what a send that ends in this way leaves, what asyncio reports, and the flat sends."""
    aggregator = Aggregator()
    world = SendWorld(ALWAYS_OFF, aggregator=aggregator)
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
    answers: list[asyncio.Future[Any]] = []

    async def send(
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> asyncio.Future[Any]:
        answers.append(loop.create_future())
        return answers[-1]

    async def case(producer: TracedProducer) -> None:
        monkeypatch.setattr(producer.wrapped, "send", send)
        await producer.send("orders", b"v")
        answer = answers.pop()
        if isinstance(end, asyncio.CancelledError):
            answer.cancel()
        elif isinstance(end, Exception):
            answer.set_exception(end)
        else:
            answer.set_result(end)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    lines = await world.left_by(case)
    for metric, series in aggregator.totals().items():
        for labels, total in series.items():
            lines.append(f"{metric.name} {sorted(labels)} {total.count} {round(total.sum, -2)}")
    gc.collect()
    loop.set_exception_handler(None)
    engine = engine_of(world.telemetry)
    return lines, reported, 0 if engine is None else engine.taken["send"]


@pytest.mark.parametrize("end", ENDS)
async def test_a_send_that_is_not_recorded_ends_as_in_the_general_code(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, reported, flat = await _left_by(ENDS[end], monkeypatch)
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")
    of_the_general_code = await _left_by(ENDS[end], monkeypatch)

    assert of_the_general_code == (lines, reported, 0)
    assert 1 == flat
    assert (["Future exception was never retrieved"] if end == "failed" else []) == reported
    assert any(line.startswith("messaging.client.operation.duration") for line in lines) == (
        end != "cancelled"
    )


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF)])
async def test_what_is_unusual_about_such_a_send_goes_through_the_general_code(
    sampler: Any,
) -> None:
    world = SendWorld(sampler, boundaries={"elsewhere": Boundary(trace_context=False)})
    world.broker.create_topic("elsewhere", partitions=1)
    async with world.producer as producer:
        await producer.send_and_wait("orders", b"v")
        with current(Context({SUPPRESSED: True})):
            await producer.send_and_wait("orders", b"v")
        await producer.send_and_wait("elsewhere", b"v")
        world.telemetry.describe_schema = lambda *_: {}
        await producer.send_and_wait("orders", b"v")

    counted = {reason: number for reason, number in world.engine.fallbacks.items() if number}
    assert {"suppressed": 1, "topic": 1, "schema": 1} == counted
    assert 1 == world.engine.taken["send"]
    plain, suppressed, described = world.broker.records("orders")
    assert [name for name, _ in plain.headers] == [name for name, _ in described.headers]
    assert not suppressed.headers


async def test_every_dropped_trace_and_every_event_has_an_id_of_its_own() -> None:
    world = SendWorld(ALWAYS_OFF)
    async with world.producer as producer:
        for _ in range(300):
            await producer.send_and_wait("orders", b"v")

    headers = [dict(record.headers) for record in world.broker.records("orders")]
    assert 300 == len({each["ce_id"] for each in headers})
    parents = {each["traceparent"] for each in headers}
    assert 300 == len(parents)
    assert all(parent[-2:] in {b"00", b"02"} for parent in parents)
