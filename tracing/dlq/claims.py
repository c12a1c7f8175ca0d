"""The marks of one replay: written before and after each dead letter that it sends.

Two replays of the same dead letter at the same time are one too many. The marks of a dead letter
are in one partition, which gives them an order: the first one of those that were written after
their replays were started is the one that counts, and the others send nothing.
"""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tracing.dlq.replayed import Mark, mark_key
from tracing.kafka.sender import send_raw

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    from aiokafka.structs import TopicPartition

    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.dlq.replay_log import ReplayLog
    from tracing.kafka.connection import Connection


class Claims:
    """Writes the marks of a run. For one task.

    Args:
        log: The topic of the marks, prepared.
        producer: Writes them.
    """

    def __init__(self, log: ReplayLog, producer: AIOKafkaProducer) -> None:
        self._log = log
        self._producer = producer
        self._run = uuid4().hex
        self._open: dict[LetterId, Letter] = {}
        self._writing: list[tuple[asyncio.Future[Any], bool]] = []

    async def claim(self, dead_letters: Collection[Letter]) -> frozenset[LetterId]:
        """Mark dead letters as begun; return those that another replay has begun before.

        Raises:
            KafkaError: The marks could not be written or read: send none of the dead letters.
            TimeoutError: As above.
        """
        log, run = self._log, self._run
        writing: dict[LetterId, asyncio.Future[Any]] = {}
        for dead_letter in dead_letters:
            # First, so that a mark which was written is withdrawn even if this is interrupted.
            self._open[dead_letter.id] = dead_letter
            writing[dead_letter.id] = await self._write(dead_letter, sent=False)
        written = dict(zip(writing, await asyncio.gather(*writing.values()), strict=True))
        ends: dict[TopicPartition, int] = {}
        for dead_letter_id, position in written.items():
            tp = log.partition_of(dead_letter_id)
            ends[tp] = max(ends.get(tp, 0), position.offset + 1)
        await log.read_to(ends)
        return frozenset(
            dead_letter.id
            for dead_letter in dead_letters
            if log.history.rivals(
                dead_letter,
                run,
                log.ends.get(log.partition_of(dead_letter.id).partition, 0),
                written[dead_letter.id].offset,
            )
        )

    def hand_over(self, dead_letter: Letter) -> None:
        """Record that the client has the dead letter: from now on it may have been sent."""
        # A caller can select a dead letter twice.
        self._open.pop(dead_letter.id, None)

    async def sent(self, dead_letter: Letter) -> None:
        """Mark a dead letter as replayed: a broker has acknowledged it."""
        await self._begin(self._write(dead_letter, sent=True), counts=True)

    async def not_sent(self, dead_letter: Letter) -> None:
        """Withdraw the mark of a dead letter that was certainly not sent."""
        await self._begin(self._withdraw(dead_letter.id, self._run), counts=False)

    async def forget_deleted(self) -> None:
        """Withdraw the marks of dead letters that are deleted, as far as that is possible."""
        try:
            for dead_letter_id, run in await self._log.outdated():
                await self._begin(self._withdraw(dead_letter_id, run), counts=False)
        except KafkaError:
            # They take up space and say nothing. The next replay or purge tries again.
            return
        await self.settle()

    async def settle(self) -> int:
        """Withdraw what was not handed over, and wait until all marks are written.

        Returns:
            Number of dead letters that were sent, and whose mark could not be written: they are
            perhaps replayed, for all that the marks say.
        """
        while self._open:
            _, dead_letter = self._open.popitem()
            await self.not_sent(dead_letter)
        writing, self._writing = self._writing, []
        answers = await asyncio.gather(*(future for future, _ in writing), return_exceptions=True)
        return sum(
            counts and isinstance(answer, BaseException)
            for (_, counts), answer in zip(writing, answers, strict=True)
        )

    async def _begin(self, write: Awaitable[asyncio.Future[Any]], *, counts: bool) -> None:
        """Begin to write a mark; an error is one of its acknowledgement."""
        try:
            future = await write
        except Exception as error:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(error)
        self._writing.append((future, counts))

    async def _write(self, dead_letter: Letter, *, sent: bool) -> asyncio.Future[Any]:
        mark = Mark(
            run=self._run,
            sent=sent,
            at_ms=int(time() * 1000),
            written_ms=dead_letter.record.timestamp,
            edited=dead_letter.edited,
        )
        return await self._send(dead_letter.id, self._run, mark.value())

    async def _withdraw(self, dead_letter_id: LetterId, run: str) -> asyncio.Future[Any]:
        return await self._send(dead_letter_id, run, None)

    async def _send(
        self, dead_letter_id: LetterId, run: str, value: bytes | None
    ) -> asyncio.Future[Any]:
        tp = self._log.partition_of(dead_letter_id)
        key = mark_key(dead_letter_id, run)
        return await send_raw(self._producer, tp.topic, value, key, [], tp.partition)


async def forget_deleted(connection: Connection, log: ReplayLog) -> None:
    """Withdraw the marks of dead letters that are deleted, as far as that is possible.

    Args:
        connection: The cluster.
        log: The topic of the marks, entered.
    """
    if not log.history or log.history.problem is not None:
        return
    async with AIOKafkaProducer(**connection.client(), acks="all") as producer:
        await Claims(log, producer).forget_deleted()
