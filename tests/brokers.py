"""Keep a broker or a registry running across tests that each have their own event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest

from demo_pipeline.broker.apicurio import ApicurioRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from demo_pipeline.broker import EmbeddedBroker, KafkaCluster

Server = TypeVar("Server")


@contextmanager
def running_broker(make: Callable[[], EmbeddedBroker | KafkaCluster]) -> Iterator[str]:
    """Run a broker in its own event loop, and yield its bootstrap servers."""
    with _running(make, attrgetter("bootstrap_servers"), timeout_s=120) as servers:
        yield servers


@contextmanager
def running_registry() -> Iterator[str]:
    """Run an Apicurio Registry in its own event loop, and yield its URL."""
    with _running(ApicurioRegistry, attrgetter("url"), timeout_s=600) as url:
        yield url


@contextmanager
def _running(
    make: Callable[[], AbstractAsyncContextManager[Server]],
    address_of: Callable[[Server], str],
    *,
    timeout_s: float,
) -> Iterator[str]:
    ready: Future[str] = Future()
    stop = threading.Event()

    async def run() -> None:
        async with make() as server:
            ready.set_result(address_of(server))
            await asyncio.to_thread(stop.wait)

    def ended(running: Future[None]) -> None:
        error = running.exception()
        if error is not None and not ready.done():
            ready.set_exception(error)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(run()))
        running.add_done_callback(ended)
        try:
            yield ready.result(timeout=timeout_s)
        finally:
            stop.set()
        running.result(timeout=60)


def unavailable(reason: str) -> NoReturn:
    """Skip a test whose component is missing. In CI, fail it instead."""
    if os.environ.get("CI") or os.environ.get("PIPELINE_TRACING_CI"):
        pytest.fail(reason)
    pytest.skip(reason)
