"""Clients that record a schedule's commits and dead letters, and let dead letters fail."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from tests.chaos.schedules import DeadLetterFault
from tracing.headers.dead_letter import OFFSET, PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.schedule_history import History

CURRENT_LOOP: ContextVar[str] = ContextVar("current_loop", default="?")
"""Name of the loop for which the current task handles records."""


class WatchedConsumer(AIOKafkaConsumer):
    """A consumer that checks each of its commits."""

    def __init__(self, *topics: str, history: History, loop_name: str, **options: Any) -> None:
        super().__init__(*topics, **options)  # type: ignore[no-untyped-call]  # aiokafka's
        self._history = history
        self._loop_name = loop_name

    async def commit(self, offsets: Any = None) -> None:
        if offsets is None:
            self._history.problem(f"{self._loop_name} commits all fetched records")
        self._history.committing(self._loop_name, offsets or {})
        await super().commit(offsets)  # type: ignore[no-untyped-call]  # aiokafka's


class DeadLetterProducer(AIOKafkaProducer):
    """A producer whose first sends have the faults of the schedule."""

    def __init__(
        self,
        faults: Iterator[DeadLetterFault],
        history: History,
        key_of: Callable[[tuple[int, int]], int],
        **options: Any,
    ) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # aiokafka's
        self._faults = faults
        self._history = history
        self._key_of = key_of

    async def send(self, topic: str, *args: Any, **options: Any) -> asyncio.Future[Any]:
        headers = dict(options.get("headers") or ())
        position = int(headers[PARTITION]), int(headers[OFFSET])
        loop_name, history = CURRENT_LOOP.get(), self._history
        history.dead_letter_sending(loop_name, position)
        fault = next(self._faults, DeadLetterFault.NONE)
        if fault is DeadLetterFault.BEFORE:
            history.note(loop_name, f"dead letter of p{position[0]}@{position[1]} {fault}")
            raise MessageSizeTooLargeError(str(fault))
        sending: Any = super().send(topic, *args, **options)  # type: ignore[no-untyped-call]  # aiokafka's
        future: asyncio.Future[Any] = await sending
        if fault is DeadLetterFault.AFTER:
            await asyncio.wait((future,))
            history.note(loop_name, f"dead letter of p{position[0]}@{position[1]} {fault}")
            raise MessageSizeTooLargeError(str(fault))

        def acknowledged(sent: asyncio.Future[Any]) -> None:
            if not sent.cancelled() and sent.exception() is None:
                history.dead_letter_acknowledged(loop_name, position, self._key_of(position))

        future.add_done_callback(acknowledged)
        return future
