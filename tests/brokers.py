"""Keep a broker running across tests that each have their own event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo_pipeline.broker import EmbeddedBroker, KafkaCluster


@contextmanager
def running_broker(make: Callable[[], EmbeddedBroker | KafkaCluster]) -> Iterator[str]:
    """Run a broker in its own event loop, and yield its bootstrap servers."""
    ready: Future[str] = Future()
    stop = threading.Event()

    async def run() -> None:
        async with make() as broker:
            ready.set_result(broker.bootstrap_servers)
            await asyncio.to_thread(stop.wait)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(run()))
        try:
            running.add_done_callback(lambda done: done.exception() and ready.cancel())
            yield ready.result(timeout=120)
        finally:
            stop.set()
            running.result(timeout=60)


def unavailable(reason: str) -> NoReturn:
    """Skip a test whose component is missing. In CI, fail it instead."""
    if os.environ.get("CI") or os.environ.get("PIPELINE_TRACING_CI"):
        pytest.fail(reason)
    pytest.skip(reason)
