"""Clients that a schedule watches, and whose dead letters it lets fail."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from tests.chaos.schedules import LetterFault
from tracing.headers.dead_letter import OFFSET, PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.history import History

LIFE: ContextVar[str] = ContextVar("life", default="?")
"""The life in which the current task handles records."""


class WatchedConsumer(AIOKafkaConsumer):
    """A consumer whose commits are checked as they are made."""

    def __init__(self, *topics: str, history: History, life: str, **options: Any) -> None:
        super().__init__(*topics, **options)  # type: ignore[no-untyped-call]  # aiokafka's
        self._history = history
        self._life = life

    async def commit(self, offsets: Any = None) -> None:
        if offsets is None:
            self._history.problem(f"{self._life} commits whatever was fetched")
        self._history.commits(self._life, offsets or {})
        await super().commit(offsets)  # type: ignore[no-untyped-call]  # aiokafka's


class LetterProducer(AIOKafkaProducer):
    """A producer whose first sends fail as the schedule says."""

    def __init__(
        self,
        faults: Iterator[LetterFault],
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
        place = int(headers[PARTITION]), int(headers[OFFSET])
        life, history = LIFE.get(), self._history
        history.letters(life, place)
        fault = next(self._faults, LetterFault.NONE)
        if fault is LetterFault.BEFORE:
            history.note(life, f"dead letter of p{place[0]}@{place[1]} {fault}")
            raise MessageSizeTooLargeError(str(fault))
        sending: Any = super().send(topic, *args, **options)  # type: ignore[no-untyped-call]  # aiokafka's
        future: asyncio.Future[Any] = await sending
        if fault is LetterFault.AFTER:
            await asyncio.wait((future,))
            history.note(life, f"dead letter of p{place[0]}@{place[1]} {fault}")
            raise MessageSizeTooLargeError(str(fault))

        def acknowledged(sent: asyncio.Future[Any]) -> None:
            if not sent.cancelled() and sent.exception() is None:
                history.lettered_by(life, place, self._key_of(place))

        future.add_done_callback(acknowledged)
        return future
