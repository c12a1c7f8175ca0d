"""A process that relays until its outbox is empty, to be killed: `DATABASE_URL BROKER_FILE [stay]`.

With `stay` it goes on relaying after that. What the relay logs goes to standard error.

The broker is a file: what is appended to it has arrived, a line per record, and outlives the
process. Its acknowledgements take a moment, as a real broker's. A write is not atomic: where it
crosses a page of the file a reader can see one half of it, and a kill can leave it at that. So a
record ends in a mark, and half of one has not arrived.
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
    """Appends `key value ce_id .` to a file; now and then it refuses."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        # Ends the line in which a killed predecessor was.
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
            # It arrived, and nobody knows.
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

    # It stands by until the database has noticed that its predecessor is gone.
    await eventually(drained, timeout_s=60)
    if not stay:
        stop.set()
    await running
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
