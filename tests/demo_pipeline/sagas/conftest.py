from __future__ import annotations

import dataclasses
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord
from sqlalchemy import select

from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.deadlines import PATIENT
from demo_pipeline.domain.events import Order, OrderLine
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.connection_waits import ConnectionWaits
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.group_commit import group_commit
from demo_pipeline.runtime.service_context import ServiceContext
from demo_pipeline.services import orchestrator
from tracing import Telemetry
from tracing.sql import SqlInbox, SqlOutbox
from tracing.sql.outbox_rows import unpack
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.service import RecordHandler

    AtWork = Callable[..., AbstractAsyncContextManager["Desk"]]


class Desk:
    """A running orchestrator without a broker: it takes events and puts commands in its outbox."""

    def __init__(self, context: ServiceContext, handle: RecordHandler) -> None:
        self.context = context
        self._handle = handle
        self._offset = 0

    async def take(self, *events: Message) -> None:
        """Handle events, in this order."""
        for event in events:
            self._offset += 1
            await self._handle(await record_of(event, self._offset))

    async def sent(self) -> list[tuple[Message | None, dict[str, bytes | None]]]:
        """Return the messages in the outbox with their headers, in order."""
        table = self.context.outbox.table.c
        async with self.context.database.connect() as connection:
            result = await connection.execute(
                select(table.topic, table.value, table.headers).order_by(table.sequence)
            )
            rows = [(topic, value, unpack(packed)) for topic, value, packed in result]
        codec = self.context.codec
        return [
            (await codec.decode(_record(topic, value, headers, 0)), dict(headers))
            for topic, value, headers in rows
        ]

    async def commands(self) -> list[str]:
        """Return the commands in the outbox, in order, with the attempt if it is not the first."""
        commands = []
        for message, _ in await self.sent():
            attempt = getattr(message, "attempt", 1)
            commands.append(type(message).__name__ + (f" {attempt}" if attempt > 1 else ""))
        return commands


@pytest.fixture
def order() -> Order:
    return Order("o-1", "user-07", (OrderLine("kettle", 2, 4450),), 8900, "card-07", "8 Street")


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("orchestrator") as telemetry:
        yield telemetry


@pytest.fixture
def at_work(tmp_path: Path, capture: Capture) -> AtWork:
    """Return a context manager that runs an orchestrator; all of its runs share one database."""
    service = orchestrator.SERVICE
    url = f"sqlite+aiosqlite:///{tmp_path / 'orchestrator.sqlite3'}"
    telemetry = Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        source="/orchestrator",
    )

    @asynccontextmanager
    async def working(deadlines: Deadlines = PATIENT, **changes: Any) -> AsyncIterator[Desk]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(open_database(service, url))
            waits = ConnectionWaits(service.name, capture.meter_provider)
            context = ServiceContext(
                telemetry,
                database,
                await stack.enter_async_context(group_commit(database, waits)),
                SqlInbox(telemetry, group=service.name, metadata=service.tables),
                SqlOutbox(telemetry, service=service.name, metadata=service.tables),
                lambda _added: None,
                deadlines=deadlines,
            )
            context = dataclasses.replace(context, **changes)
            work = await stack.enter_async_context(orchestrator.orchestrating(context))
            yield Desk(context, work.handle)

    return working


async def record_of(message: Message, offset: int) -> ConsumerRecord[Any, Any]:
    """Return the record of a message."""
    headers = [*headers_of(message), ("ce_source", b"/test")]
    value = Codec().encode(message)
    return _record(TOPIC_OF[type(message)], value, headers, offset, key_of(message))


def _record(
    topic: str, value: bytes, headers: Any, offset: int, key: bytes | None = None
) -> ConsumerRecord[Any, Any]:
    source = ("ce_source", b"/test")
    return ConsumerRecord(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=len(value),
        headers=tuple(headers) if source in headers else (*headers, source),
    )
