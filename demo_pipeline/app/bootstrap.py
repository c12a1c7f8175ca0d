"""The composition root: builds the real clients of a service and runs it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

import tracing
from demo_pipeline.app.apis import api_of
from demo_pipeline.app.http_server import serving
from demo_pipeline.app.logs import exported_logs
from demo_pipeline.app.orders_client import orders_client
from demo_pipeline.broker import has_progress
from demo_pipeline.domain.codec import Codec
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.domain.topics import KINDS, PIPELINE
from demo_pipeline.runtime.commit_budget import CommitBudget
from demo_pipeline.runtime.connection_waits import ConnectionWaits
from demo_pipeline.runtime.consuming import record_handler
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.runtime.faults import Faults, FaultySender
from demo_pipeline.runtime.group_commit import group_commit
from demo_pipeline.runtime.scenarios import SCENARIOS, STEADY
from demo_pipeline.runtime.service import Work
from demo_pipeline.runtime.service_context import ServiceContext
from tracing.sql import OutboxRelay, SqlInbox, SqlOutbox

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Coroutine

    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.pace import Pace
    from demo_pipeline.domain.schemas import Schemas
    from demo_pipeline.runtime.orders_api import OrdersApi
    from demo_pipeline.runtime.service import Service
    from tracing.otlp import Providers

# Short, so that a run of a few seconds shows retries.
_RETRY: Final = tracing.Retry(attempts=3, delay_s=0.4, max_delay_s=5.0)
_DRAIN_S: Final = 10.0
_CLOSE_S: Final = 5.0
_RELAY_DRAIN_S: Final = 3.0
_RELAY_STOP_S: Final = 2.0
# Replicas add to a shared outbox without waking the relay that is at work. On SQLite there is one
# process, which wakes its relay after each commit.
_POLL_S: Final = 0.1
_POLL_ALONE_S: Final = 1.0
# The relay measures its backlog once a second, and deletes then what was sent: one commit for
# both. An inbox skips what a crash sends again.
_DELETION_DELAY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kafka cluster and how to fetch from it.

    Attributes:
        bootstrap_servers: Its addresses as `host:port`, separated by commas.
        fetch_max_wait_ms: How long a fetch may wait for records. Kafka answers as soon as it has
            some; the embedded broker always waits that long.
        session_timeout_ms: After this time a silent consumer counts as dead. The embedded broker
            also waits half of it for more members of a new group.
    """

    bootstrap_servers: str
    fetch_max_wait_ms: int = 500
    session_timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class RunningService:
    """A running service.

    Attributes:
        service: The service.
        database: Its database.
        consuming: Ends when the service stops reading: with an exception if reading, its relay or
            its timers failed.
        url: The base URL of its HTTP API, if it has one.
    """

    service: Service
    database: AsyncEngine
    consuming: asyncio.Task[None]
    url: str | None

    def failure(self) -> DemoError | None:
        """Return why the service stopped by itself; `None` while it runs."""
        if not self.consuming.done() or self.consuming.cancelled():
            return None
        error = self.consuming.exception()
        if error is None:
            return None
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        failure = DemoError(f"service {self.service.name} failed: {reason}")
        failure.__cause__ = error
        return failure


@asynccontextmanager
async def start_service(
    service: Service,
    cluster: Cluster,
    providers: Providers,
    *,
    database_url: str,
    temporary: bool = False,
    listener: socket.socket | None = None,
    scenario: str = STEADY,
    deadlines: Deadlines | None = None,
    pace: Pace | None = None,
    schemas: Schemas | None = None,
    orders_api: OrdersApi | None = None,
) -> AsyncIterator[RunningService]:
    """Run a service during the block; at its end, the service finishes the work it has begun.

    Args:
        service: The service.
        cluster: Its Kafka cluster; the topics exist already.
        providers: Its telemetry, shut down at the end.
        database_url: Its database.
        temporary: Whether it is deleted at the end: it need not have what the group read before.
        listener: The port of its HTTP API, if it has one; closed at the end.
        scenario: What goes wrong in it.
        deadlines: The deadlines of its sagas; by default those of the scenario.
        pace: Stretches the deadlines; by default they do not stretch.
        schemas: Where the ids of schemas come from; by default the committed history.
        orders_api: The orders API, for services that ask it, and for the one that serves it.

    Raises:
        DemoError: The service could not start, or failed: then at the end of the block.
    """
    story, pace = SCENARIOS[scenario], pace or steady_pace()
    async with AsyncExitStack() as stack:
        # In a thread: a slow OTLP endpoint must not delay the other services.
        stack.push_async_callback(asyncio.to_thread, providers.shutdown)
        stack.enter_context(exported_logs(service.name, providers))
        telemetry = providers.telemetry(
            PIPELINE,
            source=f"/{service.name}",
            order_check=True,
            message_kinds=KINDS,
            body_sizes=True,
        )
        # Before anything is served: a view of a database that was lost must not look complete.
        late = bool(service.fill_late and not temporary) and await has_progress(
            cluster.bootstrap_servers, service.name, service.topics
        )
        database = await stack.enter_async_context(open_database(service, database_url, late=late))
        waits = ConnectionWaits(service.name, providers.meter_provider)
        budget = CommitBudget(service.commits_per_s)
        commits = await stack.enter_async_context(group_commit(database, waits, budget=budget))
        producer = _producer(service, cluster, telemetry)
        # Before the start: a producer that is interrupted while it starts must be closed as well.
        stack.push_async_callback(_close, producer)
        await producer.start()
        inbox = SqlInbox(telemetry, group=service.name, metadata=service.tables)
        outbox = SqlOutbox(telemetry, service=service.name, metadata=service.tables)
        faults = Faults(story, pace)
        client = None
        if service.asks_orders and orders_api is not None:
            client = await stack.enter_async_context(orders_client(orders_api, providers))
        sqlite = database.dialect.name == "sqlite"
        relay = OutboxRelay(
            outbox,
            commits.transactions if sqlite else database,
            FaultySender(producer, faults),
            poll_interval_s=_POLL_ALONE_S if sqlite else _POLL_S,
            drain_timeout_s=_RELAY_STOP_S,
            deletion_delay_s=_DELETION_DELAY_S,
        )
        context = ServiceContext(
            telemetry,
            database,
            commits,
            inbox,
            outbox,
            relay.wake,
            faults,
            deadlines or story.deadlines,
            pace,
            Codec(
                schemas,
                telemetry=telemetry,
                writes=story.writes,
                reads=story.reads.get(service.name, {}),
            ),
            orders=client,
        )
        # Closed after everything that may still add to the outbox.
        relaying = await stack.enter_async_context(_relaying(relay, pace))
        url = None
        if listener is not None:
            # Before the service joins its group, which may have to wait for a dead member to time
            # out: orders are accepted meanwhile.
            app = api_of(service, context, providers, story=story, orders_api=orders_api)
            url = await stack.enter_async_context(serving(app, listener))
            stack.callback(context.arrivals.close)
        consumer = _consumer(service, cluster, telemetry)
        stack.push_async_callback(_close, consumer)
        await consumer.start()
        context.ends.follow(consumer, service.topics)
        stop = asyncio.Event()
        work = await stack.enter_async_context(_at_work(service, context))
        reading = tracing.consume(
            consumer,
            work.handle,
            # Faults last longer where the shop is slow, so attempts are further apart.
            retry=replace(_RETRY, attempts=service.attempts, jitter=partial(_delay_s, pace)),
            dead_letters=tracing.DeadLetters(producer),
            on_unreadable="dead_letter",
            stop=stop,
            drain_timeout_s=_DRAIN_S,
        )
        consuming = asyncio.create_task(
            _beside(reading, relaying, *work.beside), name=f"{service.name} consumes"
        )
        running = RunningService(service, database, consuming, url)
        stack.push_async_callback(_finish, running, stop)
        yield running


def _delay_s(pace: Pace, longest_s: float) -> float:
    return _RETRY.jitter(longest_s * pace.factor)


@asynccontextmanager
async def _relaying(relay: OutboxRelay, pace: Pace) -> AsyncIterator[asyncio.Task[None]]:
    """Relay during the block; at its end, drain the outbox as far as the broker allows."""
    stop = asyncio.Event()
    relaying = asyncio.create_task(relay.run(stop))
    try:
        yield relaying
    finally:
        try:
            await relay.drain(_RELAY_DRAIN_S * pace.factor)
            stop.set()
            await asyncio.wait({relaying}, timeout=_RELAY_STOP_S + _CLOSE_S)
        finally:
            relaying.cancel()
        await asyncio.wait({relaying}, timeout=_CLOSE_S)


@asynccontextmanager
async def _at_work(service: Service, context: ServiceContext) -> AsyncIterator[Work]:
    if service.at_work is None:
        yield Work(record_handler(service, context))
    else:
        async with service.at_work(context) as work:
            yield work


async def _beside(reading: Coroutine[None, None, None], *others: asyncio.Task[None]) -> None:
    """Read until a task beside it fails: without the relay, results would not be published."""
    task = asyncio.create_task(reading)
    try:
        await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            for other in others:
                if other.done():
                    other.result()
        await task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _finish(running: RunningService, stop: asyncio.Event) -> None:
    """Let a service finish its work, within a time limit: without a broker it never could."""
    stop.set()
    try:
        await asyncio.wait({running.consuming}, timeout=_DRAIN_S + _CLOSE_S)
    finally:
        running.consuming.cancel()
    await asyncio.wait({running.consuming}, timeout=_CLOSE_S)
    failure = running.failure()
    if failure is not None:
        raise failure


async def _close(client: tracing.TracedProducer | tracing.TracedConsumer) -> None:
    # Without a broker, aiokafka would wait for its return.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.stop(), _CLOSE_S)


def _producer(
    service: Service, cluster: Cluster, telemetry: tracing.Telemetry
) -> tracing.TracedProducer:
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers, client_id=service.name, acks="all"
    )
    return tracing.TracedProducer(producer, telemetry)


def _consumer(
    service: Service, cluster: Cluster, telemetry: tracing.Telemetry
) -> tracing.TracedConsumer:
    consumer = AIOKafkaConsumer(
        *service.topics,
        bootstrap_servers=cluster.bootstrap_servers,
        client_id=service.name,
        group_id=service.name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=cluster.fetch_max_wait_ms,
        session_timeout_ms=cluster.session_timeout_ms,
        heartbeat_interval_ms=cluster.session_timeout_ms // 6,
    )
    return tracing.TracedConsumer(consumer, telemetry, group=service.name)
