"""How a handler says that it waits for something that it shares with others."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, cast

from opentelemetry.context import get_value

from tracing.core.otel_context import PROCESSING_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Handling(Protocol):
    def waited(self, resource: str, seconds: float) -> None: ...


@contextmanager
def waiting_for(resource: str) -> Iterator[None]:
    """Record how long the block takes as a wait for a shared resource, and not as work.

    Put it around what waits for its turn, and around nothing else::

        with tracing.waiting_for("database"):
            connection = await pool.acquire()

    The wait is recorded if the block raises, too. See `waited_for` for where it appears. Report a
    wait once: one inside another, or around a transaction that reports its own, counts twice.

    Args:
        resource: What is shared, such as `database` or `card-provider-quota`: a fixed word or two,
            no personal data.

    Task and thread safety: as `waited_for`.
    """
    began = perf_counter()
    try:
        yield
    finally:
        waited_for(resource, perf_counter() - began)


def waited_for(resource: str, seconds: float) -> None:
    """Record that the handler has waited for a shared resource, which is measured elsewhere.

    It is a value of the histogram `pipeline.resource.wait.duration`, and is added to the attribute
    `pipeline.resource.wait.RESOURCE` of the process span, or of the span of the attempt. The wait
    stays a part of `messaging.process.duration`, as the conventions define that. All waits of an
    attempt count as the time since its start at most.

    Outside of a handler it does nothing, as in what a handler has started and not awaited. Never
    raises.

    Args:
        resource: What is shared; see `waiting_for`. A process names 64 of them, further ones are
            `_OTHER`.
        seconds: How long the wait took.

    Task and thread safety: any task or thread that runs in the handler's context, as those of
    `asyncio.to_thread` do.
    """
    handling = cast("_Handling | None", get_value(PROCESSING_KEY))
    if handling is not None:
        handling.waited(resource, seconds)
