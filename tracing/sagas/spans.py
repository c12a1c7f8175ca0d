"""The spans of sagas: the parent of each, and its id, which is the same in every process."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from tracing.core.otel_context import SPAN_KEY
from tracing.headers.codec import latest
from tracing.headers.context import continuing

if TYPE_CHECKING:
    from tracing.core.semconv import AttributeValue
    from tracing.sagas.context import SagaContext
    from tracing.telemetry import Telemetry

NOWHERE: Final = ""
"""Stands for a topic: a saga's own store is no boundary."""
_ERROR_STATUS: Final = Status(StatusCode.ERROR)


class SagaSpans:
    """Exports the spans of the sagas of one name once they have ended.

    The id of a saga's span is derived from the saga, so that its steps are its children although
    it is exported last, perhaps by another process. A span reported twice has the same id.

    Args:
        telemetry: The telemetry that the service's clients share.
        saga: The name of the sagas.
    """

    def __init__(self, telemetry: Telemetry, saga: str) -> None:
        self._telemetry = telemetry
        self._saga = saga

    def saga(
        self,
        name: str,
        context: SagaContext,
        attributes: dict[str, AttributeValue],
        ended_ns: int,
        *,
        failed: bool,
    ) -> None:
        """Export a saga's own span."""
        times = (context.started_ns, ended_ns)
        self._export(name, self._root(context), attributes, times, self._id(context), failed=failed)

    def step(
        self,
        name: str,
        context: SagaContext,
        attributes: dict[str, AttributeValue],
        times: tuple[int, int],
        *,
        run: str,
        failed: bool,
    ) -> None:
        """Export the span of one run of a step; `run` identifies the run within the saga."""
        self._export(
            name, self.inside(context), attributes, times, self._id(context, run), failed=failed
        )

    def inside(self, context: SagaContext) -> Context:
        """Return the context of the saga's own span."""
        root = self._root(context)
        if not self._telemetry.spans.takes_span_ids:
            return root
        parent = trace.get_current_span(root).get_span_context()
        if not parent.is_valid:
            return root
        own = SpanContext(
            parent.trace_id,
            self._id(context),
            is_remote=True,
            trace_flags=parent.trace_flags,
            trace_state=parent.trace_state,
        )
        return Context({**root, SPAN_KEY: NonRecordingSpan(own)})

    def _root(self, context: SagaContext) -> Context:
        """Return the context in which the saga started."""
        headers = [(name, value.encode("latin-1")) for name, value in context.headers]
        propagation, started_ms = self._telemetry.propagation, context.started_ns // 1_000_000
        return continuing(propagation.extract(headers, latest(headers), NOWHERE, started_ms))

    def _id(self, context: SagaContext, run: str | None = None) -> int:
        # Eight bytes of a hash collide as rarely as the random ids of other spans.
        identity = f"{self._saga}\0{context.saga_id}\0{context.started_ns}"
        if run is not None:
            identity += f"\0{run}"
        digest = sha256(identity.encode("utf-8", "backslashreplace")).digest()
        return int.from_bytes(digest[:8]) or 1

    def _export(
        self,
        name: str,
        context: Context,
        attributes: dict[str, AttributeValue],
        times: tuple[int, int],
        span_id: int,
        *,
        failed: bool,
    ) -> None:
        cause = trace.get_current_span().get_span_context()
        parent_id = trace.get_current_span(context).get_span_context().span_id
        # Inside the saga itself, as after a timer, no other span is the cause.
        caused = cause.is_valid and cause.span_id not in {parent_id, span_id}
        links = (Link(cause),) if caused else ()
        span = self._telemetry.spans.start(
            name, context, SpanKind.INTERNAL, attributes, links, times[0], span_id
        )
        if failed:
            span.set_status(_ERROR_STATUS)
        span.end(times[1])
