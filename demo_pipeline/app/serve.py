"""One service in a process of its own, until a signal stops it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo_pipeline.app.apis import SERVED
from demo_pipeline.app.bootstrap import Cluster, start_service
from demo_pipeline.app.http_server import listen
from demo_pipeline.app.recording import exporting_providers
from demo_pipeline.broker import create_topics, wait_until_reachable
from demo_pipeline.domain.deadlines import PATIENT
from demo_pipeline.runtime.database import database_url
from demo_pipeline.runtime.registry import open_schemas
from demo_pipeline.services import ALL_TOPICS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo_pipeline.app.bootstrap import RunningService


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve.

    Attributes:
        service: The service's name.
        bootstrap_servers: The cluster.
        http_port: The port of its HTTP API, if it has one; 0 uses a free one.
    """

    service: str
    bootstrap_servers: str
    http_port: int


async def serve(options: ServeOptions, ready: Callable[[RunningService], None]) -> None:
    """Run one service until SIGINT or SIGTERM; it then finishes the work it has begun.

    Its SQLite file is in the current folder, unless a URL names another database.

    Args:
        options: What to serve.
        ready: Called once the service runs.

    Raises:
        DemoError: The service could not start, or failed.
        UsageError: The environment names something impossible.
        BrokerError: The cluster does not answer.
    """
    service = SERVICES[options.service]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        listener = None
        if service.name in SERVED:
            listener = stack.enter_context(listen(options.http_port))
        schemas = await stack.enter_async_context(open_schemas())
        await wait_until_reachable(options.bootstrap_servers)
        await create_topics(options.bootstrap_servers, ALL_TOPICS)
        running = await stack.enter_async_context(
            start_service(
                service,
                Cluster(options.bootstrap_servers),
                exporting_providers(service.name),
                database_url=database_url(service.name, Path()),
                listener=listener,
                deadlines=PATIENT,
                schemas=schemas,
            )
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)
        ready(running)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, running.consuming}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
