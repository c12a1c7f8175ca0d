"""The application that is measured: it sends, receives, handles and forwards messages.

It is the same with every instrumentation. What a user would have to add to it for one of them is in
`instrumentation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from benchmarks.overhead.rows import Work

Handle = Callable[[Any], Awaitable[None]]
Headers = list[tuple[str, bytes | None]]

PARTITIONS: Final = 4
VALUE: Final = b"x" * 200
GROUP: Final = "bench"
IN_FLIGHT: Final = 1000
_COMMIT_MS: Final = 500
_BATCH: Final = 500
_TIMEOUT_S: Final = 60.0


def topics_of(work: Work, name: str) -> list[str]:
    """Return the topics that the work sends to and receives from.

    Args:
        work: What the application does.
        name: The topic; with several, the beginning of their names.
    """
    if work.topics == 1:
        return [name]
    return [f"{name}-{number:04}" for number in range(work.topics)]


def forwarded(name: str) -> str:
    """Return the topic that events are forwarded to."""
    return f"{name}-forwarded"


def partitions_of(work: Work, name: str) -> dict[str, int]:
    """Return all topics of the work with their numbers of partitions."""
    topics = dict.fromkeys(topics_of(work, name), PARTITIONS if work.topics == 1 else 1)
    return topics | {forwarded(name): PARTITIONS} if work.forwards else topics


def producer_options(work: Work) -> dict[str, Any]:
    """Return aiokafka's options for the producer."""
    return {"max_batch_size": work.max_batch_size}


def consumer_options(work: Work, *, commits: bool) -> dict[str, Any]:
    """Return aiokafka's options for the consumer; with a group where it commits.

    Args:
        work: What the application does.
        commits: Whether the loop commits by itself; else aiokafka does, as often.
    """
    options: dict[str, Any] = {"auto_offset_reset": "earliest", "fetch_max_wait_ms": 10}
    if work.reading == "consume":
        options |= {"group_id": GROUP, "auto_commit_interval_ms": _COMMIT_MS}
        options["enable_auto_commit"] = not commits
    return options


def typed(number: int) -> Headers:
    """Return the headers of an event: its type and subject, as CloudEvents calls them."""
    return [("ce_type", b"OrderPlaced"), ("ce_subject", b"order-%06d" % number)]


async def send(
    producer: Any, work: Work, topics: list[str], messages: int, *, first: int = 0
) -> None:
    """Send messages, with many of them under way.

    Args:
        producer: The producer.
        work: What kind of messages.
        topics: Where to, in turns.
        messages: How many.
        first: The number of the first one, which its headers contain.
    """
    window = max(IN_FLIGHT, 10 * len(topics))
    pending: list[asyncio.Future[Any]] = []
    for number in range(first, first + messages):
        headers: Headers | None = None
        if work.forwards:
            headers = typed(number)
        elif work.headers:
            headers = [
                ("tenant", b"eu-%d" % (number % 10)),
                ("request-id", b"%032x" % number),
                ("schema", b"orders/3"),
            ]
        topic = topics[number % len(topics)]
        key = b"%d" % (number % 100)
        pending.append(await producer.send(topic, VALUE, key=key, headers=headers))
        if len(pending) == window:
            await asyncio.gather(*pending)
            pending.clear()
    await asyncio.gather(*pending)


class Handler:
    """Handles records: sets attributes, forwards, or does nothing, as the work says.

    Args:
        work: What to do with a record.
        producer: Forwards.
        topic: Where it forwards to.
        set_attributes: Sets three attributes on the span.
    """

    def __init__(
        self, work: Work, producer: Any, topic: str, set_attributes: Callable[[], None]
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._set_attributes = set_attributes
        self._pending: list[asyncio.Future[Any]] = []
        self._number = 0
        self.handle: Handle = self._nothing
        if work.forwards:
            self.handle = self._forward
        elif work.attributes:
            self.handle = self._describe

    async def finish(self) -> None:
        """Wait until the broker has what was forwarded."""
        pending, self._pending = self._pending, []
        await asyncio.gather(*pending)

    async def _nothing(self, record: Any) -> None:
        """Do nothing."""

    async def _describe(self, _record: Any) -> None:
        self._set_attributes()

    async def _forward(self, record: Any) -> None:
        self._number += 1
        sent = await self._producer.send(
            self._topic, record.value, key=record.key, headers=typed(self._number)
        )
        self._pending.append(sent)
        if len(self._pending) == IN_FLIGHT:
            await self.finish()


Receive = Callable[[int], Awaitable[None]]


def receiver(work: Work, consumer: Any, handle: Handle) -> Receive:
    """Return a function that receives and handles a number of messages.

    A wrapped consumer has the methods `process` and `process_batch`, and they are used; the others
    handle records without.
    """
    read = {"process": _by_one, "batch": _by_batch}.get(work.reading, _iterate)

    async def receive(messages: int) -> None:
        async with asyncio.timeout(_TIMEOUT_S):
            await read(consumer, handle, messages)

    return receive


async def _iterate(consumer: Any, handle: Handle, messages: int) -> None:
    async for record in consumer:
        await handle(record)
        messages -= 1
        if not messages:
            return


async def _by_one(consumer: Any, handle: Handle, messages: int) -> None:
    process = getattr(consumer, "process", None)
    for _ in range(messages):
        record = await consumer.getone()
        if process is None:
            await handle(record)
        else:
            async with process(record):
                await handle(record)


async def _by_batch(consumer: Any, handle: Handle, messages: int) -> None:
    process = getattr(consumer, "process_batch", None)
    while messages > 0:
        polled = await consumer.getmany(timeout_ms=1000, max_records=_BATCH)
        for records in polled.values():
            messages -= len(records)
            if process is None:
                await _handle_all(records, handle)
            else:
                async with process(records):
                    await _handle_all(records, handle)


async def _handle_all(records: list[Any], handle: Handle) -> None:
    for record in records:
        await handle(record)


class Gate:
    """Handles the records of a loop that runs all the time only when they are asked for.

    Args:
        handle: Handles a record.
    """

    def __init__(self, handle: Handle | None = None) -> None:
        self._handle = handle
        self._left = 0
        self._open, self._all = asyncio.Event(), asyncio.Event()

    async def receive(self, messages: int) -> None:
        """Let a number of records be handled, and wait for that."""
        self._left = messages
        self._all.clear()
        self._open.set()
        async with asyncio.timeout(_TIMEOUT_S):
            await self._all.wait()

    def open(self) -> None:
        """Let all records through, for the end."""
        self._open.set()

    async def handle(self, record: Any) -> None:
        """Handle a record of the loop, once it may."""
        if not self._open.is_set():
            await self._open.wait()
        if self._handle is not None:
            await self._handle(record)
        self._left -= 1
        if not self._left:
            # What is sent from now on waits until it is asked for.
            self._open.clear()
            self._all.set()
