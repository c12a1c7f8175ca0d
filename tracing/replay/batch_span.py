"""The span of a replayed batch, and the mark by which handlers recognise a replay."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, detach, get_current, get_value
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode

from tracing.core import semconv
from tracing.core.otel_context import SPAN_KEY, SUPPRESSED
from tracing.headers.codec import latest
from tracing.messaging.fan_in import MAX_LINKS, deciding, link_to
from tracing.messaging.handling import Handling, running_task
from tracing.messaging.message_type import described, type_of
from tracing.messaging.outcome import ERROR, OK

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from contextvars import Token

    from opentelemetry.trace import Link, Span

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry

_REPLAY_KEY: Final = "pipeline-tracing-replay"


class ReplayedBatch(Handling):
    """The handling of records of the past, at which nothing may be sent or charged once more.

    Its span begins a trace of its own and is linked to those that created the first 128 records. It
    is in no figure of wait, end-to-end or processing time: the records are late by their nature.

    Attributes:
        read_model: The read model that is rebuilt.
        generation: The generation that is built.
        records: The records.
        span: The process span; invalid before the handling starts.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        read_model: str,
        generation: int,
        records: Sequence[Any],
    ) -> None:
        self._telemetry = telemetry
        self._info = info
        self.read_model = read_model
        self.generation = generation
        self.records = records
        self.span: Span = INVALID_SPAN
        self._token: Token[Context] | None = None
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        """Start the span and make it current in the running task. Never raises."""
        try:
            self._start()
        except Exception as fault:
            self._telemetry.diagnostics.failed("replay", fault)

    def end(self, error: BaseException | None = None) -> None:
        """End the span. Never raises."""
        token, self._token = self._token, None
        if token is None:
            return
        own, self._task = self._task, None
        # Detaching in another task would fail, and that task's context is not ours to change.
        if own is running_task():
            detach(token)
        try:
            self._end(error)
        except Exception as fault:
            self._telemetry.diagnostics.failed("replay", fault)

    def _start(self) -> None:
        ambient = get_current()
        if ambient.get(SUPPRESSED):
            # The mark stays: it is no telemetry, and handlers rely on it.
            self._token = attach(Context({**ambient, _REPLAY_KEY: self}))
            self._task = running_task()
            return
        topics = {record.topic for record in self.records}
        topic = next(iter(topics)) if len(topics) == 1 else None
        attributes: dict[str, AttributeValue] = {
            semconv.SYSTEM: self._info.transport.system,
            semconv.OPERATION_NAME: semconv.PROCESS,
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.PROCESS],
            **self._info.attributes(),
            semconv.BATCH_COUNT: len(self.records),
            semconv.REPLAY_READ_MODEL: self.read_model,
            semconv.REPLAY_GENERATION: self.generation,
        }
        if topic is not None:
            attributes[semconv.DESTINATION] = topic
        links = self._links()
        self.span = self._telemetry.spans.start(
            semconv.span_name(semconv.PROCESS, topic),
            # Whatever started the replay may be long gone: it is no part of its trace.
            Context(),
            SpanKind.CONSUMER,
            attributes,
            links,
            time_ns(),
            follows=deciding(link.context for link in links),
        )
        self._token = attach(Context({**ambient, SPAN_KEY: self.span, _REPLAY_KEY: self}))
        self._task = running_task()

    def _links(self) -> list[Link]:
        links: list[Link] = []
        for record in self.records[:MAX_LINKS]:
            present = latest(record.headers)
            creation, _, _ = self._telemetry.propagation.extract(
                record.headers, present, record.topic, record.timestamp
            )
            if creation is not None:
                placement = self._info.transport.placement(record)
                message_type = type_of(self._telemetry, record, present)
                links.append(link_to(creation, {**placement, **described(message_type)}))
        return links

    def _end(self, error: BaseException | None) -> None:
        span = self.span
        if error is None:
            self._telemetry.spans.enrich(span, {semconv.OUTCOME: OK})
        elif isinstance(error, Exception):
            self._telemetry.spans.enrich(span, {semconv.OUTCOME: ERROR})
            span.set_attribute(semconv.ERROR_TYPE, semconv.error_type(error))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def current_replay() -> ReplayedBatch | None:
    """Return the replayed batch that the running task handles; `None` outside of any replay.

    A handler that sends, charges or notifies must not do so inside::

        if tracing.replay.current_replay() is None:
            await send_mail(order)
    """
    batch = get_value(_REPLAY_KEY)
    return batch if isinstance(batch, ReplayedBatch) else None
