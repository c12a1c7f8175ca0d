"""A pipeline beside the orders: it asks for returns or exchanges, and a warehouse handles both.

python -m tests.outage.returns_service PIPELINE SERVERS FOLDER

Both pipelines share a topic and a group, each with a partition of its own; exchanges take longer.
The truth goes to files in the folder: a line for each record sent, `sent-PIPELINE.txt`, and
for each one handled its pipeline and its age in seconds, `handled.txt`. One in ten is handled at
the second or third attempt.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from itertools import cycle, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from tracing import Retry, TracedConsumer, TracedProducer, cloudevent, consume, otlp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import ConsumerRecord

    from tracing import Telemetry

TOPIC: Final = "returns.requests"
GROUP: Final = "warehouse"
PIPELINES: Final = ("returns", "exchanges")
PARTITION_OF: Final = {pipeline: number for number, pipeline in enumerate(PIPELINES)}
_EVERY_S: Final = 0.5
_FAILS_EVERY: Final = 10
_RETRY: Final = Retry(delay_s=0.2)
_TAKES_S: Final = {"returns": (0.01, 0.05), "exchanges": (0.1, 0.45)}


async def run(pipeline: str, servers: str, folder: Path) -> None:
    """Send records of a pipeline until a signal; the process of the first one handles all."""
    sent, handled = folder / f"sent-{pipeline}.txt", folder / "handled.txt"
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    providers = otlp.configure(pipeline)
    telemetry = providers.telemetry(pipeline)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_send(sent, pipeline, servers, telemetry, stop))
            if pipeline == PIPELINES[0]:
                tasks.create_task(_handle(handled, servers, telemetry, stop))
    finally:
        await asyncio.to_thread(providers.shutdown)


async def _send(
    sent: Path, pipeline: str, servers: str, telemetry: Telemetry, stop: asyncio.Event
) -> None:
    bare = AIOKafkaProducer(bootstrap_servers=servers, request_timeout_ms=5_000)
    async with TracedProducer(bare, telemetry) as producer:
        while not stop.is_set():
            value = json.dumps([pipeline, time.time()]).encode()
            headers = cloudevent(type=pipeline)
            try:
                await producer.send_and_wait(
                    TOPIC, value, partition=PARTITION_OF[pipeline], headers=headers
                )
            except KafkaError:
                # While its topic does not exist; what was not acknowledged is not counted.
                await asyncio.sleep(_EVERY_S)
                continue
            _append(sent, "1")
            await asyncio.sleep(_EVERY_S)


async def _handle(handled: Path, servers: str, telemetry: Telemetry, stop: asyncio.Event) -> None:
    bare = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=servers,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metadata_max_age_ms=5_000,
    )

    to_fail = failures()

    async def handle(record: ConsumerRecord[bytes, bytes]) -> None:
        if next(to_fail):
            raise ConnectionError
        pipeline, sent_at = json.loads(record.value or b"")
        await asyncio.sleep(random.uniform(*_TAKES_S[pipeline]))
        _append(handled, f"{pipeline} {time.time() - sent_at:.6f}")

    async with TracedConsumer(bare, telemetry) as consumer:
        await consume(consumer, handle, retry=_RETRY, stop=stop)


def failures() -> Iterator[bool]:
    """Say of each attempt whether it fails: once or twice after some that do not."""
    for times in cycle((1, 2)):
        yield from repeat(False, _FAILS_EVERY)
        yield from repeat(True, times)


def _append(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(f"{line}\n")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
