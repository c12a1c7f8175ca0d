from __future__ import annotations

import asyncio
from typing import Any

import pytest

from demo_pipeline.app.bootstrap import RunningService, _beside, _relaying
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.services import SERVICES
from tracing import Telemetry, TracedProducer
from tracing.sql import OutboxRelay
from tracing.testing import InMemoryBroker, InMemoryProducer


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_relay_that_fails_is_the_service_failing(open_service_database: Any) -> None:
    async def fail() -> None:
        raise LookupError("no such outbox")

    database = await open_service_database("payment")
    working = asyncio.create_task(_beside(_for_ever(), asyncio.create_task(fail())))
    await asyncio.wait({working})
    failure = RunningService(SERVICES["payment"], database, working, None).failure()
    assert "service payment failed: LookupError: no such outbox" == str(failure)


async def test_a_reader_that_fails_is_the_service_failing_while_its_relay_goes_on() -> None:
    async def fail() -> None:
        raise LookupError("what is this record?")

    relaying = asyncio.create_task(_for_ever())
    with pytest.raises(LookupError, match="what is this record"):
        await _beside(fail(), relaying)
    assert not relaying.done()
    relaying.cancel()


async def test_a_service_publishes_its_outbox_before_it_stops(
    open_context: Any,
) -> None:
    broker, context = InMemoryBroker(), await open_context("payment")
    producer = TracedProducer(InMemoryProducer(broker), Telemetry("orders"))
    relay = OutboxRelay(context.outbox, context.database, producer, poll_interval_s=3600)
    async with (
        _relaying(relay, steady_pace()) as relaying,
        context.database.begin() as connection,
    ):
        await context.outbox.add(connection, "payment.events", b"v", key=b"k")
    assert [b"v"] == [record.value for record in broker.records("payment.events")]
    assert relaying.done()
