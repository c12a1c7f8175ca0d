"""One finite run: a broker, all services, some orders, and the result."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo_pipeline.app.bootstrap import Cluster, start_service
from demo_pipeline.app.endings import Endings
from demo_pipeline.app.ensemble import together, while_all_work
from demo_pipeline.app.http_server import listen, url_of
from demo_pipeline.app.load import place_orders
from demo_pipeline.app.run_record import RunRecord
from demo_pipeline.broker import EmbeddedBroker, KafkaCluster, create_topics, wait_until_reachable
from demo_pipeline.domain.pace import Pace
from demo_pipeline.report.wording import counted
from demo_pipeline.runtime.database import database_url
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.runtime.orders_api import OrdersApi
from demo_pipeline.runtime.private_files import sweep, temp_folder
from demo_pipeline.runtime.registry import open_schemas
from demo_pipeline.runtime.scenarios import SCENARIOS
from demo_pipeline.services import analytics, latecomers_of, orders, services_of, topics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from demo_pipeline.app.bootstrap import RunningService
    from demo_pipeline.app.load import Load
    from demo_pipeline.app.progress import Progress
    from demo_pipeline.report import RunResult
    from demo_pipeline.runtime.service import Service

    Started = AbstractAsyncContextManager[Mapping[str, RunningService]]

REACH_S = 10.0
"""Seconds to wait for an existing cluster or schema registry."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What to run.

    Attributes:
        load: The orders to place.
        scenario: The name of the scenario.
        bootstrap_servers: The cluster to use; by default an embedded broker.
        kafka: Whether to start Apache Kafka instead of the embedded broker.
        http_port: The port of the orders API; 0 uses a free one.
        timeout_s: Seconds to wait for the placed orders to end, on an idle machine; see `Pace`.
        databases: The folder that keeps the services' databases; by default they are deleted.
        views_port: The port of the views of analytics; 0 uses a free one.
        name_users: Whether the result names the customers of orders; they are personal data.
    """

    load: Load
    scenario: str
    bootstrap_servers: str | None
    kafka: bool
    http_port: int
    timeout_s: float
    databases: Path | None = None
    views_port: int = 0
    name_users: bool = False


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The result of a run, and its problems, one line each."""

    result: RunResult
    problems: tuple[str, ...]


async def run(
    options: RunOptions, progress: Progress, record: RunRecord | None = None
) -> RunOutcome:
    """Run once, and leave nothing behind but the result.

    Args:
        options: What to run.
        progress: Receives the progress of the run.
        record: Is filled during the run, for callers that report on it even if this raises or is
            cancelled.

    Raises:
        DemoError: The run could not start, or a service failed.
        BrokerError: There is no broker.
    """
    record = record or RunRecord(options.scenario)
    pace = Pace()
    # Even if this run needs no temporary folder.
    sweep(Path(tempfile.gettempdir()))
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(options.http_port))
        views = stack.enter_context(listen(options.views_port, "--views-port"))
        listeners = {orders.SERVICE.name: listener, analytics.SERVICE.name: views}
        schemas = await stack.enter_async_context(open_schemas(timeout_s=REACH_S))
        progress.step("starting the broker")
        cluster = await _cluster(options, stack, progress)
        scenario = SCENARIOS[options.scenario]
        services = services_of(scenario)
        everyone = (*services.values(), *latecomers_of(scenario).values())
        await create_topics(cluster.bootstrap_servers, topics_of(everyone))
        progress.step("starting the services")
        # Only the services of this run know the secret.
        api = OrdersApi(url_of(listener), secrets.token_urlsafe())
        folder = options.databases or stack.enter_context(temp_folder("databases"))

        def hosted(name: str, service: Service) -> AbstractAsyncContextManager[RunningService]:
            url = database_url(name, folder)
            return start_service(
                service,
                cluster,
                record.recording.providers(name),
                database_url=url,
                # Not one that a URL names.
                temporary=options.databases is None and str(folder) in url,
                listener=listeners.get(name),
                scenario=options.scenario,
                pace=pace,
                schemas=schemas,
                orders_api=api,
            )

        def started(some: Mapping[str, Service]) -> Started:
            return together({name: hosted(name, service) for name, service in some.items()})

        running = await stack.enter_async_context(started(services))
        record.started_unix_ns, began = time.time_ns(), time.monotonic()
        progress.step("placing orders")
        try:
            problems = await while_all_work(
                running, _play(options, running, record, progress, pace, started)
            )
        finally:
            record.duration_s = time.monotonic() - began
        progress.step("stopping the services")
    return RunOutcome(record.result(problems), problems)


async def _cluster(options: RunOptions, stack: AsyncExitStack, progress: Progress) -> Cluster:
    if options.kafka:
        progress.step("starting Apache Kafka (Maven downloads it the first time)")
        kafka = await stack.enter_async_context(KafkaCluster())
        return Cluster(kafka.bootstrap_servers)
    if options.bootstrap_servers is None:
        broker = await stack.enter_async_context(EmbeddedBroker())
        return Cluster(broker.bootstrap_servers, fetch_max_wait_ms=30, session_timeout_ms=6000)
    await wait_until_reachable(options.bootstrap_servers, timeout_s=REACH_S)
    return Cluster(options.bootstrap_servers)


async def _play(
    options: RunOptions,
    running: Mapping[str, RunningService],
    record: RunRecord,
    progress: Progress,
    pace: Pace,
    started: Callable[[Mapping[str, Service]], Started],
) -> tuple[str, ...]:
    """Place all orders and wait for their end, then for latecomers; return the problems."""

    def accepted(order_id: str, user_id: str) -> None:
        record.order_ids.append(order_id)
        if options.name_users:
            record.users[order_id] = user_id
        progress.placed()

    url = running["orders"].url
    if url is None:
        raise DemoError("service orders has no HTTP API")
    scenario = SCENARIOS[options.scenario]
    load = replace(
        options.load,
        declined_every=scenario.declined_every,
        customers=scenario.customers,
        burst=scenario.burst,
    )
    refused = await place_orders(url, load, accepted)
    problems = []
    if refused:
        problems.append(
            f"{len(refused):,} of {counted(options.load.orders, 'order')} could not be placed: "
            f"{', '.join(sorted(set(refused)))}"
        )
    progress.step("waiting for the orders to end")
    endings = Endings(record, progress, pace, options.timeout_s)
    problems += await endings.reached(running)
    latecomers = latecomers_of(scenario)
    if latecomers and not problems:
        await asyncio.sleep(scenario.late_s)
        progress.step(f"starting {', '.join(latecomers)}, which read everything from the beginning")
        async with started(latecomers) as joined:
            problems += await while_all_work(joined, endings.reached(joined))
    return tuple(problems)
