"""A process for tests to kill, which empties an outbox: `DATABASE_URL BROKER_FILE [stay]`.

With `stay` it continues to relay after that. The relay's logs go to standard error.

The broker is a file with a line per record, which outlives the process. Its acknowledgements take a
moment, like those of a real broker. A write is not atomic: when it crosses a page of the file, a
reader can see half of it, and a kill can leave half of it. So a record ends in a mark, and a record
without the mark has not arrived.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from tracing import Telemetry
from tracing.sql import OutboxRelay, SqlOutbox
from tracing.testing import eventually

END_OF_RECORD = b"."


class FileProducer:
    """Appends `key value ce_id .` to a file, and fails now and then."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        # Ends the line that a killed predecessor may have begun.
        os.write(self._file, b"\n")

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> None:
        await asyncio.sleep(random.uniform(0, 0.002))
        if random.random() < 0.05:
            raise ConnectionError
        os.write(self._file, b"%b %b %b %b\n" % (key, value, dict(headers)["ce_id"], END_OF_RECORD))
        await asyncio.sleep(random.uniform(0, 0.002))
        if random.random() < 0.05:
            # The record has arrived, but the sender cannot know it.
            raise TimeoutError


async def main(url: str, file: str, stay: str = "") -> None:
    logging.basicConfig(level=logging.INFO)
    engine = create_async_engine(url)
    outbox = SqlOutbox(Telemetry("orders"), service="orders")
    relay = OutboxRelay(
        outbox, engine, FileProducer(file), batch=50, retry_delay_s=0.001, max_retry_delay_s=0.01
    )
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))

    async def drained() -> bool:
        return running.done() or await relay.drain()

    # The relay stands by until the database notices that its predecessor has ended.
    await eventually(drained, timeout_s=60)
    if not stay:
        stop.set()
    await running
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
