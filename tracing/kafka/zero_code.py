"""Tracing of aiokafka's clients without wrappers: their classes' methods are replaced.

A replacement calls the function that it replaced, never the client's method. That may be the
subclass's method that called it, or another library's replacement on top of it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tracing.kafka import coexistence
from tracing.kafka.cluster_id import cluster_of
from tracing.kafka.coexistence import OfficialInstrumentation
from tracing.kafka.consumer import TracedConsumer
from tracing.kafka.iteration import TracedRecords
from tracing.kafka.method_replacement import Replacement
from tracing.kafka.next_record import received
from tracing.kafka.poll_loops import PollLoops
from tracing.kafka.producer import TracedProducer
from tracing.kafka.traced_methods import Parameters, TracedMethods, asynchronous, synchronous

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.telemetry import Telemetry


class ZeroCode:
    """Replaces the methods by which aiokafka's clients send and receive, until it is removed.

    Existing clients are traced as well, and continue untraced after the removal.

    Args:
        telemetry: The service's telemetry.
        at_first_use: Called when a client first sends or receives.
        poll_loops: Whether what `getone` and `getmany` return is handled until the next call.
    """

    def __init__(
        self, telemetry: Telemetry, *, at_first_use: Callable[[], None] | None, poll_loops: bool
    ) -> None:
        self._telemetry = telemetry
        self._at_first_use = at_first_use
        self._loops = PollLoops() if poll_loops else None
        self._replacements: list[Replacement] = []

    def install(self, producer: type[Any], consumer: type[Any]) -> None:
        """Replace the methods of aiokafka's two classes."""
        official = OfficialInstrumentation(producer, consumer)
        official.switch_off()
        shared = self._telemetry, self._at_first_use, official
        producers = TracedMethods(TracedProducer, *shared)
        for name in ("send", "send_batch"):
            producers.replace(producer, name, asynchronous)
        producers.replace(producer, "create_batch", synchronous)
        consumers = TracedMethods(TracedConsumer, *shared)
        polls = _Polls(self._loops)
        consumers.replace(consumer, "getone", polls.getone)
        consumers.replace(consumer, "getmany", polls.getmany)
        consumers.replace(consumer, "commit", polls.commit)
        consumers.replace(consumer, "stop", polls.stop)
        consumers.replace(consumer, "__aiter__", polls.iterate)
        construct = functools.partial(_constructor, official)
        self._replacements = [
            *(Replacement(client, "__init__", construct) for client in (producer, consumer)),
            *producers.replacements(),
            *consumers.replacements(),
        ]
        coexistence.zero_code(active=True)

    def remove(self) -> None:
        """Restore the methods."""
        for replacement in self._replacements:
            replacement.remove()
        if self._loops is not None:
            self._loops.close()
        coexistence.zero_code(active=False)


def _constructor(
    official: OfficialInstrumentation, replacement: Replacement
) -> Callable[..., None]:
    @functools.wraps(replacement.original)
    def construct(client: Any, /, *args: Any, **kwargs: Any) -> None:
        if replacement.active:
            official.switch_off()
        replacement.bound(client)(*args, **kwargs)
        if replacement.active:
            # Before the client starts, which brings the first metadata.
            cluster_of(client)

    return construct


class _Polls:
    """Makes the replacements of the methods that receive records.

    Args:
        loops: The loops of consecutive calls; `None` where they are switched off.
    """

    def __init__(self, loops: PollLoops | None) -> None:
        self._loops = loops

    def getone(
        self, replaced: TracedMethods[TracedConsumer], _name: str, replacement: Replacement
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
        self, replaced: TracedMethods[TracedConsumer], _name: str, replacement: Replacement
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
        self, replaced: TracedMethods[TracedConsumer], name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        loops, commit = self._loops, asynchronous(replaced, name, replacement)

        @functools.wraps(replacement.original)
        async def committing(client: Any, /, *args: Any, **kwargs: Any) -> Any:
            if loops is not None:
                loops.settling(client, args[0] if args else kwargs.get("offsets"))
            return await commit(client, *args, **kwargs)

        return committing

    def stop(
        self, replaced: TracedMethods[TracedConsumer], name: str, replacement: Replacement
    ) -> Callable[..., Any]:
        loops, stop = self._loops, asynchronous(replaced, name, replacement)

        @functools.wraps(replacement.original)
        async def stopping(client: Any, /, *args: Any, **kwargs: Any) -> Any:
            if loops is None:
                return await stop(client, *args, **kwargs)
            loops.settling(client)
            try:
                return await stop(client, *args, **kwargs)
            finally:
                loops.stopped(client)

        return stopping

    def iterate(
        self, replaced: TracedMethods[TracedConsumer], _name: str, replacement: Replacement
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
    """One `async for` over an unwrapped consumer; untraced once the method is restored."""

    def __init__(
        self,
        consumer: TracedConsumer,
        iterator: Any,
        client: object,
        replacement: Replacement,
        loops: PollLoops | None,
    ) -> None:
        super().__init__(consumer, consumer._iterations, iterator, client)  # noqa: SLF001 - a drop-in has no name for this
        self._replacement = replacement
        self._loops = loops

    def _stands_for(self) -> Any:
        return self._iterator

    async def __anext__(self) -> Any:
        if self._loops is not None:
            # A record that the loop's body received by its own `getone`, inside this one.
            self._loops.finish()
        if self._replacement.active:
            return await super().__anext__()
        self.finish()
        return await self._iterator.__anext__()
