"""aiokafka's clients traced without being wrapped: their methods are replaced in the classes.

A replacement calls the function that it replaced, never the client's method: that may be a
subclass's that called it, or another library's that lies on top of it.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from tracing import coexistence
from tracing.consumer import TracedConsumer
from tracing.diagnostics import warn_once
from tracing.iteration import TracedRecords, received
from tracing.kafka.poll_loops import PollLoops
from tracing.kafka.replaced import Parameters, Replaced, asynchronous, synchronous
from tracing.kafka.replacement import Replacement
from tracing.producer import TracedProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.telemetry import Telemetry


class ZeroCode:
    """Replaces what aiokafka's clients send and receive by, until it is removed.

    Clients that exist already are traced as well, and go on untraced when it is removed.

    Args:
        telemetry: What the service's clients share.
        at_construction: Called whenever a client is made.
        at_first_use: Called when a client sends or receives for the first time.
        poll_loops: Whether what `getone` and `getmany` return is handled until more is asked for.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        at_construction: Callable[[], None],
        at_first_use: Callable[[], None] | None,
        poll_loops: bool,
    ) -> None:
        self._at_construction = at_construction
        self._loops = PollLoops() if poll_loops else None
        self._producers = Replaced(TracedProducer, telemetry, at_first_use)
        self._consumers = Replaced(TracedConsumer, telemetry, at_first_use)
        self._constructors: list[Replacement] = []

    def install(self, producer: type[Any], consumer: type[Any]) -> None:
        """Replace the methods of aiokafka's two classes."""
        for client in (producer, consumer):
            self._constructors.append(Replacement(client, "__init__", self._constructor))
        for name in ("send", "send_batch"):
            self._producers.replace(producer, name, asynchronous)
        self._producers.replace(producer, "create_batch", synchronous)
        polls = _Polls(self._loops)
        self._consumers.replace(consumer, "getone", polls.getone)
        self._consumers.replace(consumer, "getmany", polls.getmany)
        self._consumers.replace(consumer, "commit", polls.commit)
        self._consumers.replace(consumer, "stop", polls.stop)
        self._consumers.replace(consumer, "__aiter__", polls.iterate)
        coexistence.zero_code(active=True)

    def remove(self) -> None:
        """Put the methods back."""
        for replacement in self._constructors:
            replacement.remove()
        self._producers.remove()
        self._consumers.remove()
        if self._loops is not None:
            self._loops.close()
        coexistence.zero_code(active=False)

    def _constructor(self, replacement: Replacement) -> Callable[..., None]:
        at_construction = self._at_construction

        @functools.wraps(replacement.original)
        def construct(client: Any, /, *args: Any, **kwargs: Any) -> None:
            if replacement.active:
                try:
                    at_construction()
                except Exception as fault:
                    warn_once("aiokafka's clients may be instrumented twice", error=fault)
            replacement.bound(client)(*args, **kwargs)

        return construct


class _Polls:
    """What replaces the methods by which records are received.

    Args:
        loops: What is handled until more is asked for; `None` where that is switched off.
    """

    def __init__(self, loops: PollLoops | None) -> None:
        self._loops = loops

    def getone(
        self, replaced: Replaced[TracedConsumer], _name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        loops = self._loops

        @functools.wraps(replacement.original)
        async def getone(client: Any, /, *args: Any, **kwargs: Any) -> Any:
            if loops is not None:
                loops.finish()
            traced = replaced.traced(client, replacement)
            if traced is None or kwargs:
                record = await replacement.bound(client)(*args, **kwargs)
                received(client, record)
                return record
            record = await traced.getone(*args)
            if loops is not None:
                loops.received_one(client, traced, record)
            return record

        return getone

    def getmany(
        self, replaced: Replaced[TracedConsumer], _name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        loops, parameters = self._loops, Parameters(TracedConsumer.getmany)

        @functools.wraps(replacement.original)
        async def getmany(client: Any, /, *args: Any, **kwargs: Any) -> Any:
            if loops is not None:
                loops.finish()
            traced = replaced.traced(client, replacement)
            if traced is None or not parameters.fit(args, kwargs):
                return await replacement.bound(client)(*args, **kwargs)
            records = await traced.getmany(*args, **kwargs)
            if loops is not None:
                loops.received_many(client, traced, records)
            return records

        return getmany

    def commit(
        self, replaced: Replaced[TracedConsumer], name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        loops, commit = self._loops, asynchronous(replaced, name, replacement)

        @functools.wraps(replacement.original)
        async def committing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
            if loops is not None:
                loops.committing(client)
            return await commit(client, *args, **kwargs)

        return committing

    def stop(
        self, replaced: Replaced[TracedConsumer], name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        loops, stop = self._loops, asynchronous(replaced, name, replacement)

        @functools.wraps(replacement.original)
        async def stopping(client: Any, /, *args: Any, **kwargs: Any) -> Any:
            if loops is None:
                return await stop(client, *args, **kwargs)
            loops.stopping(client, sys.exc_info()[1])
            try:
                return await stop(client, *args, **kwargs)
            finally:
                loops.stopped(client)

        return stopping

    def iterate(
        self, replaced: Replaced[TracedConsumer], _name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        @functools.wraps(replacement.original)
        def iterate(client: Any, /) -> Any:
            traced = replaced.traced(client, replacement)
            iterator = replacement.bound(client)()
            if traced is None:
                return iterator
            return _Records(traced, iterator, client, replacement, self._loops)

        return iterate


class _Records(TracedRecords):
    """One `async for` over a consumer that is not wrapped; untraced once the method is put back."""

    def __init__(
        self,
        consumer: TracedConsumer,
        iterator: Any,
        client: object,
        replacement: Replacement,
        loops: PollLoops | None,
    ) -> None:
        consumer.finish_unfinished()
        super().__init__(consumer, iterator, client)
        self._replacement = replacement
        self._loops = loops

    async def __anext__(self) -> Any:
        if self._loops is not None:
            # What the loop's body received by a getone of its own, which lies within.
            self._loops.finish()
        if self._replacement.active:
            return await super().__anext__()
        self.finish()
        return await self._iterator.__anext__()
