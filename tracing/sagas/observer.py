"""Observing choreographed flows, from their events alone."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Final

from tracing.core.callables import require_async
from tracing.sagas.tracker import SagaTracker

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracing.messaging.transport import Message
    from tracing.sagas.flow import FlowEvent, SagaFlow
    from tracing.sagas.store import SagaHistory, SagaLog
    from tracing.telemetry import Telemetry

_NS: Final = 1_000_000_000


class SagaObserver:
    """Infers the health of choreographed flows; no service has to change for it.

    Read the flows' topics with a consumer group of its own, from the beginning, and pass every
    record to the observer::

        observer = tracing.SagaObserver([flow], log, telemetry)
        await tracing.consume(consumer, observer.observe, retry=tracing.Retry())

    All state is in the log, and depends only on the events and their own times. Events may come
    in any order and more than once. The one exception: when an instance has two ends with
    different outcomes, the end that comes first counts, because a counted end cannot be undone. To
    rebuild the log, stop the observer, delete the log's contents (`SqlSagaLog.forget`), reset the
    group to the beginning, and start the observer again.

    An instance's spans and durations are recorded once its end is known, in the trace of the event
    that started it. The numbers of active and overdue instances are read at every metric
    collection. An instance that ended long ago, as in a rebuild, is counted without spans or
    durations. A step's duration is the time since the previous step known by then.

    Args:
        flows: The flows to look for; their names must differ.
        log: Stores the events.
        telemetry: The telemetry that the service's clients share.
        quiet_after_s: Age, in seconds, above which an ended instance gets no spans or durations.

    Raises:
        TypeError: The log has no async `note` or `health`.
        ValueError: There is no flow, or two have the same name.
        RuntimeError: No event loop runs.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(
        self,
        flows: Collection[SagaFlow],
        log: SagaLog,
        telemetry: Telemetry,
        *,
        quiet_after_s: float = 3600.0,
    ) -> None:
        names = [flow.name for flow in flows]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"flows need different names, not {names!r}")
        require_async(getattr(log, "note", None), "the method note() of a saga log")
        self._log = log
        self._quiet_after_s = quiet_after_s
        self._flows = [(flow, SagaTracker(flow.name, telemetry, health=log)) for flow in flows]

    async def observe(self, record: Message) -> None:
        """Store a record's event; ignore a record that belongs to no flow.

        Raises:
            Exception: The log's error; the record has to be delivered again.
        """
        for flow, tracker in self._flows:
            event = flow.read(record)
            if event is not None:
                await self._note(flow, tracker, event)

    async def aclose(self) -> None:
        """Read health a last time; call it before you close the log. Never raises."""
        for _, tracker in self._flows:
            await tracker.aclose()

    async def _note(self, flow: SagaFlow, tracker: SagaTracker, event: FlowEvent) -> None:
        context = deadline_ns = None
        if event.starts:
            context = tracker.begin(event.saga_id, event.at_ns)
            deadline_ns = event.at_ns + int(flow.deadline_s * _NS)
        history = await self._log.note(flow.name, event, context=context, deadline_ns=deadline_ns)
        if history is not None and (time_ns() - history.ended_ns) / _NS <= self._quiet_after_s:
            _report(tracker, history)


def _report(tracker: SagaTracker, history: SagaHistory) -> None:
    context = history.context
    for step, started_ns, ended_ns in history.steps:
        tracker.step(context, step, started_ns=started_ns, ended_ns=ended_ns)
    if not history.end_reported:
        tracker.ended(
            context, history.outcome, ended_ns=history.ended_ns, deadline_ns=history.deadline_ns
        )
